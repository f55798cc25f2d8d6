"""Tests of what a device does with a user's events: train, reject, roll back, or keep."""

from __future__ import annotations

import numpy as np
import pytest

from edgerec.personalization.gate import judge
from edgerec.personalization.learning import REJECTED, ROLLED_BACK, TRAINED, Learnt, learn
from edgerec.personalization.training import train
from tests.personalization.heads import a_head, some_events

HEAD = a_head(3, optimiser="newton", gain=0.05, gain_events=20.0)
EVENTS = some_events(HEAD, 60)
NEW = slice(40, None)
BAD = np.array([0.9, -0.9, 0.9, 1.5], np.float32)


def test_the_first_patch_is_trained_from_all_events() -> None:
    found = learn(HEAD, EVENTS, None, new=slice(0, None), budget_s=None)
    assert (found.outcome, found.events, found.rollbacks) == (TRAINED, 60, 0)
    np.testing.assert_array_equal(found.theta, train(HEAD, EVENTS))


def test_the_gate_rejects_a_patch_of_a_user_whom_meta_training_expects_to_lose() -> None:
    head = a_head(3, optimiser="newton", gain=-1.0, gain_events=1e3)
    found = learn(head, EVENTS, None, new=slice(0, None), budget_s=None)
    assert (found.theta, found.outcome, found.rollbacks) == (None, REJECTED, 0)


def test_a_patch_that_is_worse_on_later_events_is_rolled_back() -> None:
    assert judge(HEAD, BAD, EVENTS.take(NEW)).expected < 0
    found = learn(HEAD, EVENTS, Learnt(BAD, 10, TRAINED, 0), new=NEW, budget_s=None)
    assert found.rollbacks == 1
    assert found.theta is None or not np.array_equal(found.theta, BAD)
    late = learn(HEAD, EVENTS, Learnt(BAD, 10, TRAINED, 0), new=NEW, budget_s=0.0)
    assert (late.theta, late.rollbacks) == (None, 1)
    assert late.outcome.startswith(f"{ROLLED_BACK}; patch: the training takes longer")


@pytest.mark.parametrize(("rollbacks", "outcome"), [(0, TRAINED), (1, ROLLED_BACK), (5, ROLLED_BACK)])
def test_after_a_roll_back_the_gain_of_meta_training_speaks_against_patches(rollbacks: int, outcome: str) -> None:
    """The gain of meta-training counts more than twenty events here."""
    head = a_head(3, optimiser="newton", gain=0.05, gain_events=1e4)
    found = learn(head, EVENTS, Learnt(BAD, 10, TRAINED, rollbacks), new=NEW, budget_s=None)
    assert (found.outcome, found.rollbacks) == (outcome, rollbacks + (rollbacks > 0))


def test_a_training_that_fails_keeps_the_patch_in_use() -> None:
    good = train(HEAD, EVENTS)
    found = learn(HEAD, EVENTS, Learnt(good, 33, TRAINED, 2), new=slice(60, None), budget_s=0.0)
    assert found.theta is good
    assert (found.events, found.rollbacks) == (33, 2)
    assert "longer than its budget" in found.outcome
