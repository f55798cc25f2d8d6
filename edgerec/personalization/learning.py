"""What a device does with a user's events: judge the patch in use, train a new one, and decide which one is used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import EdgeRecError, first_line
from edgerec.personalization.events import Events
from edgerec.personalization.gate import NEWEST, judge
from edgerec.personalization.head import PersonalHead
from edgerec.personalization.training import train

Array = NDArray[np.float32]

TRAINED, REJECTED, ROLLED_BACK = "trained", "rejected", "rolled back"


@dataclass(frozen=True)
class Learnt:
    """The result of `learn`.

    Attributes:
        theta: (rank + 1,) float32, the patch to use; None: use the shared model.
        events: number of events from which it was trained.
        outcome: `trained`; `rejected` by the gate; `rolled back`; or why it could not be trained.
        rollbacks: how often a patch of the user was rolled back, with this time.
    """

    theta: Array | None
    events: int
    outcome: str
    rollbacks: int


def learn(head: PersonalHead, events: Events, before: Learnt | None, *, new: slice, budget_s: float | None) -> Learnt:
    """Return the patch that the user has from now on.

    The gate (`edgerec.personalization.gate`) judges the patch in use by the new events, which it has not seen. If it
    rejects the patch, this is rolled back, and from then on the gain of meta-training speaks against patches of this
    user. A new patch is trained without the newest events and judged by them. If it may be used, it is trained again
    with all events. If the training itself fails, the patch in use stays, unless it is rolled back.

    Args:
        head: the head of the model version.
        events: the events of the user, at least one.
        before: the result of the training before; None if there is none.
        new: the rows of `events` that came after the training before.
        budget_s: the largest duration in seconds; None: any.
    """
    deadline = None if budget_s is None else perf_counter() + budget_s
    before = before or Learnt(None, 0, "", 0)
    served = events.take(new)
    gate = _distrustful(head) if before.rollbacks else head
    failed = before.theta is not None and len(served) > 0 and not judge(gate, before.theta, served).use
    if failed:
        before, gate = Learnt(None, 0, ROLLED_BACK, before.rollbacks + 1), _distrustful(head)
    older, newest = events.split(NEWEST)
    try:
        used = judge(gate, train(head, older, deadline=deadline), newest).use
        theta = train(head, events, deadline=deadline) if used else None
    except EdgeRecError as error:
        return replace(before, outcome=f"{ROLLED_BACK}; {first_line(error)}" if failed else first_line(error))
    if theta is None:
        return Learnt(None, 0, ROLLED_BACK if failed else REJECTED, before.rollbacks)
    return Learnt(theta, len(events), TRAINED, before.rollbacks)


def _distrustful(head: PersonalHead) -> PersonalHead:
    """Return the head for a gate that expects a loss as large as the gain of meta-training."""
    return replace(head, training=head.training.model_copy(update={"gain": -abs(head.training.gain)}))
