"""What a method of meta-training reads: users with their events, and users that it may tune settings on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.model.personalization.activations import Activations
from edgerec.model.personalization.problem import Problem, events_of, standard_head
from edgerec.model.personalization.tasks import Task, fold_of
from edgerec.personalization.events import Events
from edgerec.personalization.gradient import PatchLoss
from edgerec.personalization.head import PersonalHead

TUNED_PARTS = 4
"""One of this many parts of the users of meta-training decides settings of what is fitted on the other parts."""
MOST_TUNING_USERS = 400
"""Rates and pulls of fine-tuning are tuned on at most this many users. That is enough to choose among a few."""


@dataclass(frozen=True, eq=False)
class Trainee:
    """A user of meta-training, with known events and query events of the standard head."""

    task: Task
    known: Events
    query: Events

    @cached_property
    def problem(self) -> Problem:
        """The known events."""
        return Problem.of(self.known)

    @cached_property
    def query_problem(self) -> Problem:
        """The query events."""
        return Problem.of(self.query)

    @cached_property
    def whole(self) -> Problem:
        """All events."""
        parts = (self.problem, self.query_problem)
        return Problem(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "logit", "label")))


@dataclass(frozen=True, eq=False)
class MetaWorld:
    """The users of meta-training. No user of evaluation is among them.

    Attributes:
        activations: the exposures.
        standard: the head that standardises activations.
        trainees: the users.
        seed: seed of what is random.
    """

    activations: Activations
    standard: PersonalHead
    trainees: Sequence[Trainee]
    seed: int

    @cached_property
    def fitted(self) -> list[Trainee]:
        """The users on which candidates of settings are fitted."""
        return [each for each in self.trainees if not self._tunes(each)]

    @cached_property
    def tuned(self) -> list[Trainee]:
        """The other users, which decide between them."""
        return [each for each in self.trainees if self._tunes(each)]

    @cached_property
    def some(self) -> list[Trainee]:
        """At most `MOST_TUNING_USERS` users, for settings that few numbers decide."""
        order = np.random.default_rng(self.seed).permutation(len(self.trainees))[:MOST_TUNING_USERS]
        return [self.trainees[index] for index in np.sort(order)]

    def _tunes(self, each: Trainee) -> bool:
        return fold_of(each.task.user, folds=TUNED_PARTS, seed=self.seed + 1_000_003) == 0


def meta_world(
    activations: Activations, tasks: Sequence[Task], *, candidate: bool, version_id: str, seed: int
) -> MetaWorld:
    """Return what methods read, from the users `tasks`."""
    standard = standard_head(activations, tasks, candidate=candidate, version_id=version_id)
    trainees = [
        Trainee(task, events_of(activations, standard, task.known), events_of(activations, standard, task.query))
        for task in tasks
    ]
    return MetaWorld(activations, standard, [each for each in trainees if len(each.known) and len(each.query)], seed)


def stacked(trainees: Sequence[Trainee]) -> Problem:
    """Return all events of some users."""
    return Problem(
        *(np.concatenate([getattr(each.whole, name) for each in trainees]) for name in ("x", "logit", "label"))
    )


def mean_query_loss(trainees: Sequence[Trainee], head: PersonalHead, patch: Callable[[Trainee], NDArray[Any]]) -> float:
    """Return the mean log loss of the query events of some users with their patches of the standard head."""
    total, events = 0.0, 0
    for each in trainees:
        loss = PatchLoss.of(head, each.query).each(np.asarray(patch(each), np.float64))
        total += float(loss.sum())
        events += len(loss)
    return total / events
