from __future__ import annotations

import numpy as np
import pytest

from edgerec.model.personalization.worse import worse_users

USERS, REQUESTS = 200, 12


def differences(shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Return users and differences of AUC with noise that is larger than the shift."""
    noise = np.random.default_rng(1).normal(0, 0.1, (USERS, REQUESTS))
    return np.repeat(np.arange(USERS), REQUESTS), (noise + shift).ravel()


def test_noise_alone_flags_no_more_users_than_the_level() -> None:
    found = worse_users(*differences(0.0), seed=1)
    # The share of 200 users at the level 0.05 has a standard deviation of 0.015.
    assert found.worse == pytest.approx(0.05, abs=0.045)
    assert found.noise == pytest.approx(0.05, abs=0.045)
    assert found.users == USERS


def test_a_real_loss_is_found() -> None:
    found = worse_users(*differences(-0.1), seed=1)
    assert found.worse > 0.8
    assert found.better == 0
    assert found.noise < 0.1


def test_users_with_few_requests_do_not_count() -> None:
    found = worse_users(np.repeat(np.arange(10), 4), np.full(40, -1.0), seed=1)
    assert found.users == 0
    assert found.worse == 0


def test_requests_without_a_difference_do_not_count() -> None:
    assert worse_users(np.zeros(20, np.int64), np.zeros(20), seed=1).users == 0
