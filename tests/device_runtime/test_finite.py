"""Huge numbers and unusual arrays give a correct result, or an error that says what was wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.bundle.golden import read_case, run_case
from edgerec.bundle.inspection import inspect_bundle
from edgerec.bundle.load import load_bundle, load_device_model
from edgerec.bundle.verify import verify_bundle
from edgerec.core.errors import EdgeRecError, NotFiniteError, SessionError
from edgerec.device_runtime.device_model import DeviceModel, encode_behaviours
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.finite import Joined
from edgerec.device_runtime.hubsm import HubsmStepper
from edgerec.device_runtime.matches import SeenItems
from edgerec.device_runtime.ranker import DeviceRanker
from edgerec.device_runtime.session import Session
from tests.mnn_models import built

HUGE = np.float32(3e38)


@pytest.fixture(scope="module")
def stepper() -> HubsmStepper:
    return HubsmStepper(built().ie)


@pytest.fixture(scope="module")
def ranker() -> DeviceRanker:
    return DeviceRanker(built().crban)


def random_array(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.1, 1, shape).astype(np.float32)


def behaviours(count: int = 4) -> Encodings:
    return Encodings(random_array(count, 128), random_array(count, 32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_check_finds_a_number_that_is_not_finite_in_any_of_several_arrays(value: float) -> None:
    joined = Joined((3,), (0, 2), (2, 2))
    assert [part.shape for part in joined.parts] == [(3,), (0, 2), (2, 2)]
    for part in (joined.parts[0], joined.parts[2]):
        part[...] = HUGE  # the sum of their squares is not finite, but all numbers are
        assert joined.finite()
    for place in ((0, (0,)), (0, (2,)), (2, (1, 1))):
        joined.parts[place[0]][place[1]] = value
        assert not joined.finite()
        joined.parts[place[0]][place[1]] = -HUGE
        assert joined.finite()


@pytest.mark.parametrize("name", ["action", "item", "state"])
def test_a_step_returns_finite_numbers_or_names_the_huge_input(name: str, stepper: HubsmStepper) -> None:
    good = {"action": random_array(7), "item": random_array(21), "state": stepper.initial_state()}
    want = stepper.step(**good)
    errors = []
    for seed in range(10):
        signs = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), good[name].shape)
        try:
            step = stepper.step(**{**good, name: signs * HUGE})
        except NotFiniteError as error:
            errors.append(str(error))
        else:
            assert all(np.isfinite(array).all() for array in step)
    assert all(f"received is 3e+38 in `{name}`" in said for said in errors)
    # Huge features only saturate the gates, as the equations say. A huge state is multiplied, so it can overflow.
    assert bool(errors) == (name == "state")
    for array, again in zip(want, stepper.step(**good), strict=True):
        np.testing.assert_array_equal(array, again)


HUGE_REQUESTS: dict[str, Callable[[], tuple[Any, Any, Any]]] = {
    "candidates": lambda: (random_array(5, 21) * HUGE, behaviours(), behaviours()),
    "exposures.values": lambda: (
        random_array(5, 21),
        Encodings(random_array(4, 128), random_array(4, 32) * HUGE),
        behaviours(),
    ),
    "page_views.keys": lambda: (
        random_array(5, 21),
        behaviours(),
        Encodings(random_array(4, 128) * HUGE, random_array(4, 32)),
    ),
}


@pytest.mark.parametrize("name", HUGE_REQUESTS)
def test_rank_keeps_the_order_if_a_huge_input_makes_scores_not_finite(name: str, ranker: DeviceRanker) -> None:
    ordinary = (random_array(5, 21), behaviours(), behaviours())
    want = ranker.score(*ordinary)
    order = ranker.rank(*ordinary)
    assert order.tolist() != [0, 1, 2, 3, 4]
    candidates, exposures, page_views = HUGE_REQUESTS[name]()
    if name == "candidates":
        candidates[1::2] *= -1
    if name == "exposures.values":
        exposures.values[:, ::2] *= -1
    try:
        scores = ranker.score(candidates, exposures, page_views)
    except NotFiniteError as error:
        assert name in str(error)  # noqa: PT017
        scores = np.zeros(5, np.float32)
    assert np.isfinite(scores).all()
    found = ranker.rank(candidates, exposures, page_views)
    np.testing.assert_array_equal(found, np.argsort(-scores, kind="stable"))
    np.testing.assert_array_equal(ranker.score(*ordinary), want)


def test_if_a_score_is_not_finite_score_raises_an_error_and_rank_keeps_the_order(
    ranker: DeviceRanker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in (np.nan, np.inf, -np.inf):
        logits = np.array([1, 2, value, 4, 5] + [0] * 15, np.float32)
        monkeypatch.setattr(ranker, "_logits", logits)
        with pytest.raises(NotFiniteError, match="NaN or infinity in `logits`"):
            ranker.score(random_array(5, 21), behaviours(), behaviours())
        assert ranker.rank(random_array(5, 21), behaviours(), behaviours()).tolist() == [0, 1, 2, 3, 4]
        # Scores of padding are ignored.
        assert ranker.rank(random_array(2, 21), behaviours(), behaviours()).tolist() == [1, 0]


def test_a_case_whose_logits_are_not_finite_gives_only_nan(bundle_path: Path) -> None:
    model, case = load_device_model(bundle_path), read_case(bundle_path / "golden" / "case-12.npz")
    signs = np.where(np.arange(case.candidates.size).reshape(case.candidates.shape) % 2, HUGE, -HUGE)
    logits = run_case(model, dataclasses.replace(case, candidates=signs.astype(np.float32)))
    assert np.isnan(logits).all() or np.isfinite(logits).all()
    assert np.isfinite(run_case(model, case)).all()


def test_arrays_in_any_memory_order_give_the_same_results(
    stepper: HubsmStepper, ranker: DeviceRanker, tmp_path: Path
) -> None:
    def others(array: np.ndarray) -> list[np.ndarray]:
        mapped = np.memmap(tmp_path / str(array.shape), np.float32, "w+", shape=array.shape)
        mapped[...] = array
        return [np.asfortranarray(array), np.repeat(array, 2, axis=-1)[..., ::2], array[::-1].copy()[::-1], mapped]

    action, item, state = random_array(7), random_array(21), random_array(6, 32)
    want = stepper.step(action, item, state)
    for given in zip(others(action), others(item), others(state), strict=True):
        for array, expected in zip(stepper.step(*given), want, strict=True):
            np.testing.assert_array_equal(array, expected)
    scores = ranker.score(random_array(5, 21), behaviours(), behaviours())
    for candidates, keys, values in zip(
        others(random_array(5, 21)), others(random_array(4, 128)), others(random_array(4, 32)), strict=True
    ):
        encodings = Encodings(keys, values).latest(9)
        np.testing.assert_array_equal(ranker.score(candidates, encodings, encodings), scores)


class Odd(np.ndarray):
    """A subclass of `numpy.ndarray`."""


def bad_arrays(good: np.ndarray) -> list[Any]:
    return [
        np.ma.masked_array(good, mask=good > 0.5), good.view(Odd), np.ma.masked, good.astype(object),
        good.astype(">f4"), good.astype("U5"), good.astype(complex), good[:0], good[None],
        good.reshape(-1)[:-1], np.zeros((), np.float32),
        np.zeros(good.shape, [("a", "f4")]), good.tolist(), memoryview(good), iter([]), None, "x", b"x", 1, 1.5, True,
        {}, b"1", type, np.datetime64("now"),
    ]  # fmt: skip


INVALID_COUNTS = [1.5, -1, True, None, "2", b"2", [], {}, np.float64(2), np.array([2]), -(10**30), float("nan"), b"1"]
INVALID_PATHS = [1.5, None, b"bundle", bytearray(9), [], b"1", "\0", Path("\0"), "x" * 5000, Path("x" * 5000)]


def only_edgerec_errors(call: Callable[..., Any], *arguments: Any, **more: Any) -> None:
    """Call the function. It may return or raise an `EdgeRecError`. Any other error fails the test."""
    try:
        call(*arguments, **more)
    except EdgeRecError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_unusual_arrays_are_an_error_of_one_line(stepper: HubsmStepper, ranker: DeviceRanker) -> None:
    good = [random_array(7), random_array(21), stepper.initial_state()]
    session = {name: random_array(*shape) for name, shape in stepper.session.inputs.items()}
    with pytest.raises(SessionError, match="Received: MaskedArray, which is not a plain NumPy array"):
        stepper.step(np.ma.masked_array(good[0], mask=True), *good[1:])
    for index, array in enumerate(good):
        for bad in bad_arrays(array):
            with pytest.raises(SessionError):
                stepper.step(*good[:index], bad, *good[index + 1 :])
    for name, array in session.items():
        for bad in bad_arrays(array):
            with pytest.raises(SessionError):
                stepper.session.run(**{**session, name: bad})
    for call in (ranker.score, ranker.rank):
        for bad in bad_arrays(random_array(5, 21)):
            only_edgerec_errors(call, bad, behaviours(), behaviours())
        for bad in bad_arrays(random_array(4, 128)):
            only_edgerec_errors(call, random_array(5, 21), Encodings(bad, random_array(4, 32)), behaviours())
            only_edgerec_errors(call, random_array(5, 21), bad, behaviours())
        for bad in bad_arrays(random_array(4, 32)):
            only_edgerec_errors(call, random_array(5, 21), behaviours(), Encodings(random_array(4, 128), bad))
    for bad in bad_arrays(random_array(4, 7)):
        only_edgerec_errors(encode_behaviours, stepper, bad, random_array(4, 21))
        only_edgerec_errors(Encodings(random_array(4, 128), bad).latest, 2)
        only_edgerec_errors(Encodings(random_array(4, 128), random_array(4, 32), bad).latest, 2)
    with pytest.raises(SessionError, match="HubsmStepper"):
        encode_behaviours(None, random_array(4, 7), random_array(4, 21))  # type: ignore[arg-type]
    with pytest.raises(SessionError, match="as many rows"):
        encode_behaviours(stepper, random_array(4, 7), random_array(3, 21))


@pytest.mark.parametrize("count", INVALID_COUNTS, ids=repr)
def test_a_count_that_is_not_a_whole_number_is_an_error(count: Any) -> None:
    for call in (
        lambda: behaviours().latest(count),
        lambda: SeenItems(np.zeros((4, 2), np.int64), random_array(4)).since(count),
        lambda: Encodings.empty(count, 3),
        lambda: Encodings.empty(3, count),
    ):
        with pytest.raises(SessionError, match="should be a whole number from 0"):
            call()


def test_latest_returns_the_last_behaviours() -> None:
    seen = SeenItems(np.arange(8).reshape(4, 2), random_array(4))
    for count, rows in ((0, 0), (1, 1), (np.int32(3), 3), (4, 4), (100, 4)):
        found = Encodings(random_array(4, 128), random_array(4, 32), seen).latest(count)
        assert found.seen is not None
        np.testing.assert_array_equal(found.keys, random_array(4, 128)[4 - rows :])
        assert len(found.keys) == len(found.values) == len(found.seen.ids) == len(found.seen.age) == rows


@pytest.mark.parametrize("path", INVALID_PATHS, ids=lambda path: repr(path)[:12])
def test_an_invalid_path_gives_a_short_error(path: Any) -> None:
    for call in (Session, load_device_model, load_bundle, verify_bundle, inspect_bundle, read_case):
        with pytest.raises(EdgeRecError) as caught:
            call(path)
        assert len(str(caught.value)) < 1200


def test_a_path_can_be_a_string(bundle_path: Path) -> None:
    model = load_device_model(str(bundle_path))  # type: ignore[arg-type]
    assert isinstance(model, DeviceModel)
    assert Session(str(bundle_path / "device" / "crban.mnn")).outputs.keys() == {"logits"}  # type: ignore[arg-type]
