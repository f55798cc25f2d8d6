"""How much a patch of few events is shrunk (`Training.shrink_events`), as query events of other users decide."""

from __future__ import annotations

from dataclasses import replace

from edgerec.model.personalization.learned import Learned
from edgerec.model.personalization.simple import best
from edgerec.model.personalization.world import MetaWorld, mean_query_loss

EVENTS = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
"""The numbers that are tried. With n events, the change of a patch is multiplied by ``n / (n + k)``."""


def with_shrink(world: MetaWorld, learned: Learned) -> Learned:
    """Return a method of gradient steps with tuned `shrink_events` in its head.

    The users that decide are those that decide other settings, too.
    """

    def shrunk(events: float) -> Learned:
        training = learned.head.training.model_copy(update={"shrink_events": events})
        return replace(learned, head=replace(learned.head, training=training))

    def loss(events: float) -> float:
        tried = shrunk(events)
        return mean_query_loss(world.tuned, world.standard, lambda each: tried.patch(each.known, each.known))

    events = best(EVENTS, loss)
    return replace(shrunk(events), settings={**(learned.settings or {}), "shrink_events": events})
