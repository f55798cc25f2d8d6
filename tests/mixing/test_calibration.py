"""Calibration by kind."""

from __future__ import annotations

import numpy as np

from edgerec.core.logistic import sigmoid
from edgerec.mixing.calibration import calibrate, calibration_error, held_out


def test_scale_and_shift_of_distorted_logits_are_found() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(-1, 1.5, 40_000)
    clicked = (rng.random(len(truth)) < sigmoid(truth)).astype(float)
    scale, shift = calibrate(2 * truth + 1, clicked)  # the model is too sure, and too high
    assert abs(scale - 0.5) < 0.02
    assert abs(shift + 0.5) < 0.05


def test_a_kind_without_exposures_keeps_its_logits() -> None:
    assert calibrate(np.zeros(0), np.zeros(0)) == (1.0, 0.0)


def test_a_kind_without_clicks_gets_a_finite_shift() -> None:
    scale, shift = calibrate(np.full(50, 0.3), np.zeros(50))
    assert np.isfinite([scale, shift]).all()
    assert sigmoid(np.array([scale * 0.3 + shift]))[0] < 0.1


def test_the_error_is_the_distance_of_predicted_and_real_rates() -> None:
    clicked = np.array([0.0, 1.0] * 500)
    assert calibration_error(np.full(1000, 0.5), clicked) < 0.02
    assert abs(calibration_error(np.full(1000, 0.8), clicked) - 0.3) < 0.02
    assert calibration_error(np.zeros(0), np.zeros(0)) == 0.0


def test_few_clicks_keep_the_differences_of_the_model() -> None:
    rng = np.random.default_rng(6)
    logits = rng.normal(-3, 0.5, 1_000)
    clicked = (rng.random(1_000) < sigmoid(logits + 1)).astype(float)
    scale, shift = calibrate(logits, clicked)
    assert 0.8 < scale < 1.3
    assert abs(sigmoid(scale * logits + shift).mean() - clicked.mean()) < 0.005  # the level is that of the clicks


def test_held_out_rates_are_those_of_other_users() -> None:
    logits, users = np.zeros(400), np.arange(400)
    clicked = (users % 2).astype(float)  # even users never click, odd ones always
    found = held_out(logits, clicked, users)
    assert found[0] > 0.9 > 0.1 > found[1]
