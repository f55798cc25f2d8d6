"""Users as tasks: what trains a patch, what checks it, and what measures it. All parts are whole pages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.model.personalization.activations import Activations

KNOWN_SHARE = 0.6
"""The share of a user's pages that a patch may learn from. The others measure it."""


@dataclass(frozen=True)
class Task:
    """One user. Each part is a range of rows of `Activations`, and they follow each other in time.

    Attributes:
        user: the user.
        known: rows that train the patch. The newest of them are the gate's (`Events.split`).
        query: rows that measure the patch.
        pages: number of pages in `known`.
    """

    user: int
    known: slice
    query: slice
    pages: int

    @property
    def all(self) -> slice:
        """All rows of the user."""
        return slice(self.known.start, self.query.stop)


def tasks_of(activations: Activations) -> list[Task]:
    """Return a task for each user with at least two pages, in order of user.

    Pages that begin at the same time stay together, because there is no order between them.
    """
    user, time = activations.user, activations.page_time
    if not len(user):
        return []
    new_user = np.flatnonzero(np.diff(user)) + 1
    new_page = np.flatnonzero((np.diff(user) != 0) | (np.diff(time) != 0)) + 1
    bounds = np.concatenate([[0], new_user, [len(user)]])
    pages = np.concatenate([[0], new_page, [len(user)]])
    tasks = []
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        own = pages[np.searchsorted(pages, first) : np.searchsorted(pages, last) + 1].tolist()
        count = len(own) - 1
        if count < 2:
            continue
        known = min(int(np.ceil(count * KNOWN_SHARE)), count - 1)
        tasks.append(Task(int(user[first]), slice(own[0], own[known]), slice(own[known], own[count]), pages=known))
    return tasks


def fold_of(user: int, *, folds: int, seed: int) -> int:
    """Return the fold of a user, from 0 to `folds` - 1. It depends on the user and the seed alone."""
    digest = hashlib.sha256(f"{seed}/{user}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % folds


def split_users(tasks: Sequence[Task], fold: int, *, folds: int, seed: int) -> tuple[list[Task], list[Task]]:
    """Return the tasks of meta-training and those of evaluation. The users of `fold` are evaluated."""
    own = [fold_of(task.user, folds=folds, seed=seed) == fold for task in tasks]
    return (
        [task for task, inside in zip(tasks, own, strict=True) if not inside],
        [task for task, inside in zip(tasks, own, strict=True) if inside],
    )


GROUPS = {"1-5": (1, 5), "6-20": (6, 20), "21+": (21, 1 << 60)}
"""Groups of users by the number of known pages."""


def groups_of(tasks: Sequence[Task]) -> dict[str, NDArray[np.bool_]]:
    """Return which tasks belong to each group of `GROUPS`."""
    pages = np.array([task.pages for task in tasks])
    return {name: (pages >= least) & (pages <= most) for name, (least, most) in GROUPS.items()}
