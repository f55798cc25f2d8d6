"""How far users look, and after which cards they leave."""

from __future__ import annotations

import numpy as np
import pytest

from edgerec.data.shard_files import NOT_EXPOSED
from edgerec.model.mixing.looking import LookedAt, examination, leaving, looked_at

_NO = NOT_EXPOSED


def test_the_exposed_beginning_of_a_list_is_counted() -> None:
    one = looked_at(np.array([0, 1, 0, 1]), np.array([0, 1, 0, _NO], np.uint8))
    assert one is not None
    assert one.exposed == 3


@pytest.mark.parametrize("labels", [[_NO, _NO], [0, _NO, 1]])
def test_a_list_that_was_not_seen_from_its_beginning_is_left_out(labels: list[int]) -> None:
    assert looked_at(np.zeros(len(labels), np.int64), np.array(labels, np.uint8)) is None


def test_examination_is_the_chance_to_reach_a_place() -> None:
    rng = np.random.default_rng(2)
    lists = [LookedAt(np.zeros(30, np.int64), int(min(rng.geometric(0.1), 30))) for _ in range(20_000)]
    found = examination(lists, 20)
    assert found[0] == 1.0
    assert found == sorted(found, reverse=True)
    np.testing.assert_allclose(found, 0.9 ** np.arange(20), atol=0.02)


def test_a_kind_after_which_users_leave_more_often_is_found() -> None:
    rng = np.random.default_rng(3)
    lists = []
    for _ in range(4_000):
        kinds = (rng.random(40) < 0.2).astype(np.int64)
        leaves = rng.random(40) < np.where(kinds == 1, 0.10, 0.04)
        exposed = int(np.argmax(leaves)) + 1 if leaves.any() else 40
        lists.append(LookedAt(kinds, exposed))
    found = leaving(lists, 3)
    overall = 0.2 * 0.10 + 0.8 * 0.04
    assert abs(found.rate - overall) < 0.004
    np.testing.assert_allclose(found.by_kind, [0.04 - overall, 0.10 - overall, 0], atol=0.008)
    assert abs(found.cards - 1 / overall) < 2


def test_a_difference_within_the_noise_of_counting_is_almost_none() -> None:
    rng = np.random.default_rng(4)
    lists = []
    for _ in range(150):
        kinds = (rng.random(40) < 0.2).astype(np.int64)
        lists.append(LookedAt(kinds, int(min(rng.geometric(0.05), 40))))
    found = leaving(lists, 2)
    assert np.abs(found.by_kind).max() < 0.02


def test_no_lists_give_no_rate() -> None:
    found = leaving([], 2)
    assert (found.rate, found.cards) == (0.0, 0.0)
    assert found.by_kind.tolist() == [0.0, 0.0]
