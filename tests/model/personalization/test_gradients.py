from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgerec.model.personalization.inner import Inner, path, query_loss, through
from edgerec.model.personalization.problem import Floats, Problem
from edgerec.personalization.events import Events
from edgerec.personalization.training import train
from tests.model.personalization.heads import gradient_head_of

RNG = np.random.default_rng(0)
D = 5


def problem(count: int) -> Problem:
    """Return random events."""
    x = np.concatenate([RNG.normal(size=(count, D)), np.ones((count, 1))], axis=1)
    return Problem(x, RNG.normal(size=count), (RNG.random(count) < 0.5).astype(np.float64))


def numeric(function: Callable[[Floats], float], at: Floats) -> Floats:
    """Return the gradient of a function by central differences."""
    steps = 1e-5 * np.eye(len(at))
    return np.array([(function(at + step) - function(at - step)) / 2e-5 for step in steps])


KNOWN, QUERY = problem(12), problem(9)
INNER = Inner(RNG.normal(0, 0.3, D + 1), RNG.uniform(0.1, 0.5, D + 1), pull=3.0, steps=6)


def loss(inner: Inner, factor: float = 1.0) -> float:
    return query_loss(QUERY, path(KNOWN, inner, factor=factor)[-1])[0]


def test_the_gradient_through_all_steps_equals_finite_differences() -> None:
    thetas = path(KNOWN, INNER, factor=1.3)
    _, outer = query_loss(QUERY, thetas[-1])
    found = through(KNOWN, INNER, thetas, outer, factor=1.3)
    by_start = numeric(lambda start: loss(Inner(start, INNER.rates, 3.0, 6), 1.3), INNER.start)
    by_rates = numeric(lambda rates: loss(Inner(INNER.start, rates, 3.0, 6), 1.3), INNER.rates)
    by_factor = numeric(lambda factor: loss(INNER, float(factor[0])), np.array([1.3]))
    # Central differences with steps of 1e-5 have about nine digits.
    assert found.start == pytest.approx(by_start, rel=1e-6, abs=1e-8)
    assert found.rates == pytest.approx(by_rates, rel=1e-6, abs=1e-8)
    assert found.factor == pytest.approx(by_factor[0], rel=1e-6, abs=1e-8)


def test_the_first_order_gradient_leaves_out_the_curvature() -> None:
    thetas = path(KNOWN, INNER)
    _, outer = query_loss(QUERY, thetas[-1])
    first = through(KNOWN, INNER, thetas, outer, first_order=True).start
    assert first == pytest.approx(outer)
    assert np.abs(first - through(KNOWN, INNER, thetas, outer).start).max() > 0.01


def test_the_steps_are_those_of_the_device() -> None:
    head = gradient_head_of(INNER)
    events = Events(
        KNOWN.x[:, :-1].astype(np.float32),
        KNOWN.logit.astype(np.float32),
        KNOWN.label.astype(np.float32),
        np.zeros(len(KNOWN), np.int64),
    )
    # The device stores the patch as float32, which has seven digits.
    assert train(head, events) == pytest.approx(path(KNOWN, INNER)[-1], abs=1e-5)
