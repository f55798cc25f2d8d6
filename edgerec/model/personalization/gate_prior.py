"""What the gate knows before it sees a user: the gain of patches in meta-training, and for how many events it counts.

Let g_u be the mean gain of user u's gate events, from n_u events. Its variance is ``between + within / n_u``: users
differ, and few events are noisy. A user's gain, given n events with the mean g, is then expected to be
``(n g + k gain) / (n + k)`` with ``k = within / between``.

Source: Efron and Morris, *Stein's Estimation Rule and Its Competitors*, 1973.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgerec.model.personalization.learned import Learned
from edgerec.model.personalization.problem import Floats, events_of
from edgerec.model.personalization.world import MetaWorld
from edgerec.personalization.gate import NEWEST
from edgerec.personalization.gradient import PatchLoss

MOST_EVENTS = 1000.0
"""The gain of meta-training never counts as more events than this, also if users hardly differ. So enough bad events
of one user always close the gate."""
REACH = 2.0
"""A patch may move as far as the farthest of meta-training, times this."""


def with_gate(world: MetaWorld, learned: Learned) -> Learned:
    """Return the method with the gate's prior knowledge and the bound on the change of a patch in its head."""
    head, gains, lengths = learned.head, [], [0.0]
    for each in world.some:
        older, newest = events_of(world.activations, head, each.task.known).split(NEWEST)
        if not len(newest) or not len(older):
            continue
        theta = learned.patch(older, older).astype(np.float64)
        loss = PatchLoss.of(head, newest)
        gains.append(loss.each(np.zeros_like(theta)) - loss.each(theta))
        change = theta - head.start
        lengths.append(float(np.sqrt((head.pull * change) @ change)))
    if not gains:
        return learned
    gain, events = prior_gain(gains)
    reach = min(REACH * max(lengths) or head.training.reach, 1e6)
    training = head.training.model_copy(update={"gain": gain, "gain_events": events, "reach": reach})
    return replace(learned, head=replace(head, training=training))


def prior_gain(gains: Sequence[Floats]) -> tuple[float, float]:
    """Return the mean gain of an event, and for how many events it counts.

    Args:
        gains: for each user, the gain of each event of the gate.
    """
    count = np.array([len(each) for each in gains])
    means = np.array([each.mean() for each in gains])
    mean = float(count @ means / count.sum())
    inside = sum(float(np.square(each - each.mean()).sum()) for each in gains)
    noise = inside / max(float((count - 1).sum()), 1.0)
    # sum n (g - mean)^2 is expected to be nearly users * noise + sum n * between.
    between = (float(count @ np.square(means - mean)) - len(gains) * noise) / float(count.sum())
    return mean, MOST_EVENTS if between <= 0 else min(noise / between, MOST_EVENTS)
