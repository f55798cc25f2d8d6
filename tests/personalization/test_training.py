"""Training of a patch: gradients, optimisers, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.core.errors import NotFiniteError, ShapeError, TrainingError
from edgerec.personalization.events import Events
from edgerec.personalization.gradient import PatchLoss
from edgerec.personalization.head import PersonalHead
from edgerec.personalization.training import train, within_reach
from edgerec.personalization.user_rate import LARGEST, UserRate, describe
from tests.personalization.heads import a_head, some_events

SEEDS = st.integers(0, 10_000)


def numeric(loss: PatchLoss, theta: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Return the gradient by central differences."""
    moves = np.eye(len(theta)) * step
    return np.array([(loss.value(theta + move) - loss.value(theta - move)) / (2 * step) for move in moves])


@given(seed=SEEDS, rank=st.integers(1, 8), count=st.integers(1, 40))
def test_the_gradient_of_every_number_is_the_numeric_one(seed: int, rank: int, count: int) -> None:
    head = a_head(rank, seed=seed)
    loss = PatchLoss.of(head, some_events(head, count, seed=seed))
    theta = np.random.default_rng(seed).normal(size=rank + 1)
    gradient = loss.gradient(theta)
    assert gradient.all()  # a zero would pass many comparisons
    np.testing.assert_allclose(gradient, numeric(loss, theta), rtol=1e-5, atol=1e-7)


@given(seed=SEEDS)
def test_the_curvature_is_the_slope_of_the_gradient(seed: int) -> None:
    head = a_head(3, seed=seed)
    loss = PatchLoss.of(head, some_events(head, 30, seed=seed))
    theta, moves = np.random.default_rng(seed).normal(size=4), np.eye(4) * 1e-5
    slopes = [(loss.gradient(theta + move) - loss.gradient(theta - move)) / 2e-5 for move in moves]
    np.testing.assert_allclose(loss.curvature(theta), slopes, rtol=1e-4, atol=1e-6)


def test_fifty_steps_are_those_of_keras() -> None:
    import keras
    import tensorflow as tf

    head = a_head(5, steps=50)
    events = some_events(head, 80)
    layer = keras.layers.Dense(1, dtype="float64")
    layer.build((None, 5))
    start = head.start.astype(np.float64)
    layer.set_weights([start[:-1, None], start[-1:]])
    phi, logits, labels = (tf.constant(array, tf.float64) for array in (events.phi, events.logits, events.labels))
    rates, pull = head.rates.astype(np.float64), head.pull.astype(np.float64)
    for _ in range(50):
        with tf.GradientTape() as tape:
            each = keras.losses.binary_crossentropy(
                labels[:, None], (logits + layer(phi)[:, 0])[:, None], from_logits=True
            )
            value = tf.reduce_mean(each)
        kernel, bias = tape.gradient(value, [layer.kernel, layer.bias])
        # The proximal step: Keras' step along the log loss, then the minimum of the pull and the distance to it.
        moved = np.append(layer.kernel.numpy()[:, 0], layer.bias.numpy()) - rates * np.append(kernel, bias)
        strength = rates * pull / len(events)
        theta = (moved + strength * start) / (1 + strength)
        layer.set_weights([theta[:-1, None], theta[-1:]])
    expected = np.append(layer.kernel.numpy()[:, 0], layer.bias.numpy())
    assert abs(expected - start).max() > 0.1
    np.testing.assert_allclose(train(head, events), expected, atol=1e-5)


def test_newton_steps_find_the_minimum() -> None:
    head = a_head(6, optimiser="newton", steps=20)
    events = some_events(head, 50)
    theta = train(head, events).astype(np.float64)
    loss = PatchLoss.of(head, events)
    assert abs(loss.gradient(theta)).max() < 1e-6
    slow = replace(head, training=head.training.model_copy(update={"optimiser": "gradient", "steps": 1000}))
    by_descent = loss.value(train(slow, events).astype(np.float64))
    assert loss.value(theta) <= by_descent <= loss.value(theta) + 1e-4


def test_newton_steps_do_not_overshoot_from_far_away() -> None:
    head = a_head(2, optimiser="newton", steps=50)
    events = some_events(head, 30)
    far = replace(head, start=np.full(3, 40, np.float32), pull=np.full(3, 1e-3, np.float32))
    before, after = PatchLoss.of(far, events), train(far, events).astype(np.float64)
    assert before.value(after) < before.value(before.start)


def test_the_pull_fades_with_the_number_of_events() -> None:
    head = a_head(4, optimiser="newton")
    events = some_events(head, 400)
    few, many = (np.linalg.norm(train(head, events.take(slice(0, count))) - head.start) for count in (10, 400))
    assert few < many


def test_the_change_is_not_longer_than_the_reach() -> None:
    head = a_head(4, optimiser="newton", reach=0.05)
    theta = train(head, some_events(head)).astype(np.float64)
    change = theta - head.start
    assert np.sqrt((head.pull * change) @ change) == pytest.approx(0.05, rel=1e-4)
    np.testing.assert_allclose(within_reach(head, theta), theta, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 3])
def test_a_strong_pull_does_not_make_few_events_overshoot(count: int) -> None:
    head = replace(a_head(3, steps=50), rates=np.full(4, 0.1, np.float32), pull=np.full(4, 1000, np.float32))
    events = some_events(head, count)
    theta = train(head, events).astype(np.float64)
    minimum = train(replace(head, training=head.training.model_copy(update={"optimiser": "newton"})), events)
    # Plain steps would multiply the change by 1 - 0.1 * 1000 / n in each step.
    np.testing.assert_allclose(theta, minimum, atol=1e-5)
    assert abs(theta - head.start).max() > 1e-4


@pytest.mark.parametrize("optimiser", ["newton", "gradient"])
def test_few_events_are_shrunk_and_the_loss_still_falls(optimiser: str) -> None:
    head = a_head(4, optimiser=optimiser)
    events = some_events(head, 30)
    shrinks = replace(head, training=head.training.model_copy(update={"shrink_events": 70.0}))
    whole, part = train(head, events) - head.start, train(shrinks, events) - head.start
    assert abs(whole).max() > 0.1
    np.testing.assert_allclose(part, 0.3 * whole, rtol=1e-4, atol=1e-6)
    loss = PatchLoss.of(head, events)
    assert loss.value(head.start + part.astype(np.float64)) < loss.value(loss.start)


def test_the_reach_bounds_the_change_after_it_was_shrunk() -> None:
    head = a_head(4, optimiser="newton", shrink_events=60.0)
    events = some_events(head, 60)
    change = train(head, events).astype(np.float64) - head.start
    length = float(np.sqrt((head.pull * change) @ change))
    wide = replace(head, training=head.training.model_copy(update={"reach": 1.01 * length}))
    np.testing.assert_array_equal(train(wide, events), train(head, events))


def test_a_zero_gradient_is_refused() -> None:
    head = a_head(3)
    events = some_events(head, 4)
    # Half of the events are clicked at a logit of 0, and nothing is read: there is nothing to learn.
    labels, zeros = np.array([1, 0, 1, 0], np.float32), np.zeros(4, np.float32)
    flat = Events(np.zeros((4, 3), np.float32), zeros, labels, events.requests)
    with pytest.raises(TrainingError, match="gradient is exactly zero"):
        train(replace(head, start=np.zeros(4, np.float32)), flat)


@pytest.mark.parametrize("rate", [50.0, 1e30])
def test_an_exploding_training_is_refused(rate: float) -> None:
    head = a_head(3, steps=200)
    with pytest.raises(TrainingError, match="explodes"):
        train(replace(head, rates=np.full(4, rate, np.float32)), some_events(head))


@pytest.mark.parametrize("label", [np.nan, 0.5, 2.0, -1.0])
def test_a_label_that_is_not_0_or_1_is_refused(label: float) -> None:
    events = some_events(a_head())
    labels = events.labels.copy()
    labels[3] = label
    with pytest.raises(NotFiniteError, match="labels should be 0 or 1"):
        replace(events, labels=labels)


@pytest.mark.parametrize("name", ["phi", "logits"])
def test_numbers_that_are_not_finite_are_refused(name: str) -> None:
    events = some_events(a_head())
    array = getattr(events, name).copy()
    array[2] = np.inf
    with pytest.raises(NotFiniteError, match=f"{name} should be finite"):
        replace(events, **{name: array})


def test_arrays_of_different_lengths_are_refused() -> None:
    events = some_events(a_head())
    with pytest.raises(ShapeError, match="same n"):
        replace(events, logits=events.logits[:-1])


def test_no_events_and_another_width_are_refused() -> None:
    head = a_head(4)
    with pytest.raises(TrainingError, match="at least one event"):
        train(head, some_events(head, 5).take(slice(0, 0)))
    with pytest.raises(ShapeError, match="4 columns; received 5"):
        train(head, some_events(a_head(5), 20))


def a_rate(rank: int, *, users: int = 0, output: float = 0.0) -> UserRate:
    rng = np.random.default_rng(3)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    width = rank + 3
    return UserRate(
        draw(width), np.ones(width, np.float32), draw(width, 2), draw(2), np.array([0, 0, output], np.float32),
        draw(users, width), rng.uniform(0, 1, users).astype(np.float32),
    )  # fmt: skip


def test_a_rate_of_the_user_scales_the_steps() -> None:
    head = a_head(3, steps=1)
    events = some_events(head)
    scaled = replace(head, user_rate=a_rate(3, output=float(np.log(np.e**2 - 1))))  # softplus of it is 2
    twice = replace(head, rates=2 * head.rates)
    np.testing.assert_allclose(train(scaled, events), train(twice, events), rtol=1e-5, atol=1e-7)
    assert abs(train(scaled, events) - train(head, events)).max() > 0.01


def test_the_memory_adds_the_factors_of_similar_users() -> None:
    rate = a_rate(3, users=200, output=-50.0)
    for user in (0, 77):
        described = rate.rate_users[user] + rate.rate_mean
        assert rate.rate_factors.min() <= rate.factor(described.astype(np.float64)) <= rate.rate_factors.max()
    near = replace(rate, rate_users=rate.rate_users[:1], rate_factors=rate.rate_factors[:1])
    assert near.factor(np.zeros(6)) == pytest.approx(rate.rate_factors[0])


def test_a_factor_is_bounded() -> None:
    assert a_rate(3, output=1e6).factor(np.zeros(6)) == LARGEST


def test_a_description_has_what_the_shared_model_misses() -> None:
    events = some_events(a_head(3), 40)
    described = describe(events)
    expected = events.labels.mean() - (1 / (1 + np.exp(-events.logits.astype(np.float64)))).mean()
    assert described[-3] == pytest.approx(expected)
    assert described[-1] == pytest.approx(np.log(41))
    np.testing.assert_allclose(described[:3], events.phi.mean(axis=0), rtol=1e-5)


@given(seed=SEEDS, lengths=st.lists(st.integers(1, 5), min_size=1, max_size=12), newest=st.floats(0, 1))
def test_a_split_keeps_requests_whole(seed: int, lengths: list[int], newest: float) -> None:
    head: PersonalHead = a_head(2)
    events = some_events(head, sum(lengths), seed=seed)
    events = replace(events, requests=np.repeat(np.arange(len(lengths)), lengths))
    older, newer = events.split(newest)
    assert len(older) + len(newer) == len(events)
    assert older.request_count + newer.request_count == len(lengths) == events.request_count
    assert older.request_count >= 1
    assert (newer.request_count >= 1) == (newest > 0 and len(lengths) > 1)
