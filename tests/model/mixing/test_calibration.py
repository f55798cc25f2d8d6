"""Calibration by kind."""

from __future__ import annotations

import numpy as np

from edgerec.model.mixing.calibration import calibrate, calibration_error, rates


def test_scale_and_shift_of_distorted_logits_are_found() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(-1, 1.5, 40_000)
    clicked = (rng.random(len(truth)) < rates(truth)).astype(float)
    scale, shift = calibrate(2 * truth + 1, clicked)  # the model is too sure, and too high
    assert abs(scale - 0.5) < 0.02
    assert abs(shift + 0.5) < 0.05


def test_a_kind_without_exposures_keeps_its_logits() -> None:
    assert calibrate(np.zeros(0), np.zeros(0)) == (1.0, 0.0)


def test_a_kind_without_clicks_gets_a_finite_shift() -> None:
    scale, shift = calibrate(np.full(50, 0.3), np.zeros(50))
    assert np.isfinite([scale, shift]).all()
    assert rates(np.array([scale * 0.3 + shift]))[0] < 0.3


def test_the_error_is_the_distance_of_predicted_and_real_rates() -> None:
    clicked = np.array([0.0, 1.0] * 500)
    assert calibration_error(np.full(1000, 0.5), clicked) < 0.02
    assert abs(calibration_error(np.full(1000, 0.8), clicked) - 0.3) < 0.02
    assert calibration_error(np.zeros(0), np.zeros(0)) == 0.0
