"""The users of evaluation with their patches: what each method says of each query exposure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.core.console import progress
from edgerec.model.personalization.activations import Activations
from edgerec.model.personalization.learned import Learned
from edgerec.model.personalization.problem import events_of
from edgerec.model.personalization.tasks import Task
from edgerec.personalization.events import Events
from edgerec.personalization.gate import NEWEST, judge

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """What one method says.

    Attributes:
        logit: (n,) personal logits, by row of the activations; NaN where there is none.
        used: by user, whether the gate lets the patch through.
        ms: milliseconds of the training of each patch.
        bytes: size of a patch.
    """

    logit: Floats
    used: dict[int, bool]
    ms: list[float]
    bytes: int

    @classmethod
    def empty(cls, count: int, size: int) -> Scores:
        """Return the scores before any user."""
        return cls(np.full(count, np.nan), {}, [], size)


def score(
    activations: Activations,
    tasks: Sequence[Task],
    methods: Mapping[str, Learned],
    scores: dict[str, Scores],
    seed: int,
) -> None:
    """Train the patches of the users `tasks`, and write their logits into `scores`.

    The user whose events the controls read is the next one in a random circle, so nobody gets the own ones.
    """
    order = np.random.default_rng(seed).permutation(len(tasks))
    other = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    for name, learned in methods.items():
        found = scores.setdefault(name, Scores.empty(len(activations), learned.head.start.nbytes))
        known = [events_of(activations, learned.head, task.known) for task in tasks]
        for index, task in enumerate(progress(tasks, what=f"evaluate {name}", total=len(tasks))):
            own, donor = known[index], known[other[index]]
            if not len(own) or not len(donor):
                theta = learned.head.start
            else:
                began = time.perf_counter()
                theta = learned.patch(own, donor)
                found.ms.append(1000 * (time.perf_counter() - began))
            phi = learned.head.read(activations.values[task.query])
            personal = phi @ theta[:-1] + theta[-1]
            found.logit[task.query] = activations.logit[task.query] + personal
            found.used[task.user] = _gate(learned, own, donor)


def _gate(learned: Learned, own: Events, donor: Events) -> bool:
    """Return whether the gate would use the patch of a user."""
    if not learned.trains:
        return True
    older, newest = own.split(NEWEST)
    return bool(len(older)) and judge(learned.head, learned.patch(older, donor), newest).use
