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

    The patch in use is judged by the new events, which it has not seen: if the shared model predicts them better, the
    patch is rolled back, and the gain of meta-training no longer speaks for patches of this user. A new patch is
    trained without the newest events and judged by them (`edgerec.personalization.gate`). If it may be used, it is
    trained again with all events. If the training itself fails, the patch in use stays, unless it is rolled back.

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
    failed = before.theta is not None and len(served) > 0 and not judge(head, before.theta, served).use
    if failed:
        before = Learnt(None, 0, ROLLED_BACK, before.rollbacks + 1)
    strict = replace(head, training=head.training.model_copy(update={"gain": 0.0})) if before.rollbacks else head
    older, newest = events.split(NEWEST)
    try:
        used = judge(strict, train(head, older, deadline=deadline), newest).use
        theta = train(head, events, deadline=deadline) if used else None
    except EdgeRecError as error:
        return replace(before, outcome=f"{ROLLED_BACK}; {first_line(error)}" if failed else first_line(error))
    if theta is None:
        return Learnt(None, 0, ROLLED_BACK if failed else REJECTED, before.rollbacks)
    return Learnt(theta, len(events), TRAINED, before.rollbacks)
