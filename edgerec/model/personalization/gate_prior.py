"""What the gate knows before it sees a user: the gain of patches in meta-training, and for how many events it counts.

Let g_u be the mean gain of user u's gate events, from n_u events. Its variance is ``between + within / n_u``: users
differ, and few events are noisy. A user's gain, given n events with the mean g, is then expected to be
``(n g + k gain) / (n + k)`` with ``k = within / between``.

Source: Efron and Morris, *Stein's Estimation Rule and Its Competitors*, 1973.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgerec.model.personalization.learned import Learned
from edgerec.model.personalization.problem import events_of
from edgerec.model.personalization.world import MetaWorld
from edgerec.personalization.gate import NEWEST
from edgerec.personalization.gradient import PatchLoss

MOST_EVENTS = 1e5
"""If users do not differ by more than noise, the gain of meta-training counts as this many events."""
REACH = 2.0
"""A patch may move as far as the farthest of meta-training, times this."""


def with_gate(world: MetaWorld, learned: Learned) -> Learned:
    """Return the method with the gate's prior knowledge and the bound on the change of a patch in its head."""
    head, gains, counts, within, lengths = learned.head, [], [], [], [0.0]
    for each in world.some:
        known = events_of(world.activations, head, each.task.known)
        older, newest = known.split(NEWEST)
        if not len(newest) or not len(older):
            continue
        theta = learned.patch(older, older).astype(np.float64)
        loss = PatchLoss.of(head, newest)
        gain = loss.each(np.zeros_like(theta)) - loss.each(theta)
        gains.append(float(gain.mean()))
        counts.append(len(gain))
        within.append(float(np.square(gain - gain.mean()).sum()))
        change = theta - head.start
        lengths.append(float(np.sqrt((head.pull * change) @ change)))
    if not gains:
        return learned
    n, g = np.array(counts), np.array(gains)
    mean = float(n @ g / n.sum())
    noise = sum(within) / max(float((n - 1).sum()), 1.0)
    # The expected value of sum n (g - mean)^2 is users * within + sum n * between, nearly.
    between = (float(n @ np.square(g - mean)) - len(g) * noise) / float(n.sum())
    events = MOST_EVENTS if between <= 0 else min(noise / between, MOST_EVENTS)
    reach = REACH * max(lengths) or head.training.reach
    training = head.training.model_copy(update={"gain": mean, "gain_events": events, "reach": min(reach, 1e6)})
    return replace(learned, head=replace(head, training=training))
