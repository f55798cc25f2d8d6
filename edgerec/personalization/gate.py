"""The gate: whether a new patch may be used, judged by the user's newest events, on which it was not trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.personalization.events import Events
from edgerec.personalization.gradient import PatchLoss
from edgerec.personalization.head import PersonalHead

NEWEST = 0.2
"""The share of a user's requests that the gate reads."""


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a patch.

    Attributes:
        use: whether the patch may be used.
        gain: by how much it lowers the mean log loss of the newest events; 0 if there are none.
        expected: the same, shrunk towards the gain of meta-training.
        events: number of events of the gate.
    """

    use: bool
    gain: float
    expected: float
    events: int


def judge(head: PersonalHead, theta: NDArray[np.float32], newest: Events) -> Verdict:
    """Judge a patch (rank + 1,) that was trained without the events `newest`.

    With few events, their mean gain is nearly noise. So it is shrunk: the gain of meta-training counts as
    `Training.gain_events` events. A patch is used if the shrunk gain is greater than 0.
    """
    count, prior = len(newest), head.training
    gain = 0.0
    if count:
        loss = PatchLoss.of(head, newest)
        shared, personal = (loss.each(each.astype(np.float64)) for each in (np.zeros_like(theta), theta))
        gain = float((shared - personal).mean())
    weight = count + prior.gain_events
    expected = (count * gain + prior.gain_events * prior.gain) / weight if weight else 0.0
    return Verdict(expected > 0, gain, expected, count)
