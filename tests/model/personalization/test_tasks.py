from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.model.personalization.tasks import Task, groups_of, split_users, tasks_of
from tests.model.personalization.world import make_world


def test_parts_follow_each_other_in_time_and_are_whole_pages() -> None:
    activations = make_world(users=5, pages=7, items=3)
    for task in tasks_of(activations):
        assert task.known.stop == task.query.start
        assert task.pages == 5
        known, query = (set(activations.page[part].tolist()) for part in (task.known, task.query))
        assert len(known) == 5
        assert len(query) == 2
        assert max(known) < min(query)
        assert set(activations.user[task.all].tolist()) == {task.user}


def test_pages_that_begin_at_the_same_time_stay_together() -> None:
    activations = make_world(users=1, pages=4, items=2)
    together = replace(activations, page_time=np.repeat([0, 5, 5, 5], 2))
    (task,) = tasks_of(together)
    assert (task.known, task.query) == (slice(0, 2), slice(2, 8))


def test_users_with_one_page_are_no_tasks() -> None:
    assert tasks_of(make_world(users=3, pages=1)) == []


@settings(max_examples=20)
@given(st.sets(st.integers(0, 10**9), min_size=1, max_size=40), st.integers(2, 5), st.integers(0, 9))
def test_each_user_is_evaluated_once_and_never_with_itself_in_meta_training(
    users: set[int], folds: int, seed: int
) -> None:
    tasks = [Task(user, slice(0, 1), slice(1, 2), 1) for user in sorted(users)]
    evaluated: list[int] = []
    for fold in range(folds):
        learning, own = split_users(tasks, fold, folds=folds, seed=seed)
        assert not {task.user for task in learning} & {task.user for task in own}
        assert len(learning) + len(own) == len(tasks)
        evaluated += [task.user for task in own]
    assert sorted(evaluated) == sorted(users)


def test_groups_are_by_known_pages() -> None:
    tasks = [Task(pages, slice(0, 1), slice(1, 2), pages) for pages in (1, 5, 6, 20, 21, 500)]
    assert {name: inside.tolist() for name, inside in groups_of(tasks).items()} == {
        "1-5": [True, True, False, False, False, False],
        "6-20": [False, False, True, True, False, False],
        "21+": [False, False, False, False, True, True],
    }
