from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgerec.core.errors import SessionError
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.hubsm import HubsmStepper
from edgerec.device_runtime.ranker import DeviceRanker
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from tests import oracle
from tests.mnn_models import CANDIDATES, EXPOSURES, PAGE_VIEWS, Built, built, graphs, to_mnn
from tests.oracle import with_attention

# The logits here differ by several units. Rounding in three float32 recurrent layers changes them by about 1e-6.
TOLERANCE = 2e-5


@dataclasses.dataclass(frozen=True)
class Case:
    """A request, the encoded behaviours that the device stores for it, and the logits that the equations give."""

    candidates: np.ndarray
    exposures: Encodings
    page_views: Encodings
    want: np.ndarray


def encode(model: bytes, actions: np.ndarray, items: np.ndarray) -> Encodings:
    stepper = HubsmStepper(model)
    keys, values, state = [], [], stepper.initial_state()
    for action, item in zip(actions, items, strict=True):
        key, value, state = stepper.step(action, item, state)
        keys.append(key)
        values.append(value)
    empty = Encodings.empty(stepper.key_width, stepper.hidden)
    return Encodings(np.array(keys), np.array(values)) if keys else empty


def case(made: Built, count: int, times: tuple[int, int], *, seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    candidates = rng.normal(size=(count, 21)).astype(np.float32)
    device, exact = [], []
    for kind, time in zip(("ie", "ipv"), times, strict=True):
        stack = getattr(made.model, kind)
        actions, items = (
            rng.normal(size=(time, side[0].input_width)).astype(np.float32) for side in (stack.action, stack.item)
        )
        device.append(encode(getattr(made, kind), actions, items))
        exact.append(oracle.encode(stack, actions.astype(np.float64), items.astype(np.float64)))
    want = oracle.score(made.model.crban, candidates.astype(np.float64), *exact)
    return Case(candidates, *device, want)


@pytest.fixture(scope="module")
def ranker() -> DeviceRanker:
    return DeviceRanker(built().crban)


@pytest.mark.parametrize("times", [(0, 0), (1, 0), (0, 1), (2, 2), (7, 5), (EXPOSURES, PAGE_VIEWS)])
@pytest.mark.parametrize("count", [1, 2, 11, CANDIDATES])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_scores_equal_the_equations(scale: float, count: int, times: tuple[int, int]) -> None:
    made = built(0, scale)
    one = case(made, count, times)
    scores = DeviceRanker(made.crban).score(one.candidates, one.exposures, one.page_views)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, one.want, atol=scale * TOLERANCE)


def test_scores_do_not_depend_on_earlier_calls(ranker: DeviceRanker) -> None:
    made = built()
    short, full = case(made, 3, (2, 0)), case(made, CANDIDATES, (EXPOSURES, PAGE_VIEWS), seed=1)
    fresh = DeviceRanker(made.crban).score(short.candidates, short.exposures, short.page_views)
    for _ in range(3):
        ranker.score(full.candidates * np.float32(50), full.exposures, full.page_views)
        np.testing.assert_array_equal(ranker.score(short.candidates, short.exposures, short.page_views), fresh)


def test_a_later_call_does_not_change_returned_scores(ranker: DeviceRanker) -> None:
    first, second = case(built(), 5, (3, 3)), case(built(), 5, (3, 3), seed=1)
    scores = ranker.score(first.candidates, first.exposures, first.page_views)
    kept = scores.copy()
    ranker.score(second.candidates, second.exposures, second.page_views)
    np.testing.assert_array_equal(scores, kept)
    assert scores.flags.owndata


def test_the_last_candidate_changes_the_scores_of_all_others(ranker: DeviceRanker) -> None:
    one = case(built(), 6, (3, 3))
    scores = ranker.score(one.candidates, one.exposures, one.page_views)
    changed = one.candidates.copy()
    changed[-1] += 1
    assert np.abs(ranker.score(changed, one.exposures, one.page_views)[:-1] - scores[:-1]).min() > 1e-4


def test_rank_sorts_by_score_and_ties_keep_their_order(ranker: DeviceRanker, monkeypatch: pytest.MonkeyPatch) -> None:
    one = case(built(), 11, (3, 3))
    order = ranker.rank(one.candidates, one.exposures, one.page_views)
    np.testing.assert_array_equal(order, np.argsort(-one.want, kind="stable"))
    tied = np.array([1, 2, 1, 2, 2], np.float32)
    monkeypatch.setattr(ranker, "score", lambda *arguments, ids=None: tied)
    assert ranker.rank(one.candidates, one.exposures, one.page_views).tolist() == [1, 3, 4, 0, 2]


CHANGES = {
    "candidate kernel": lambda w: dataclasses.replace(
        w,
        candidate=(
            w.candidate[0],
            dataclasses.replace(w.candidate[1], kernel=w.candidate[1].kernel * np.float32(1.01)),
            w.candidate[2],
        ),
    ),
    "query kernel": lambda w: with_attention(
        w,
        EXPOSURE,
        dataclasses.replace(
            w.attentions[EXPOSURE], query_kernel=w.attentions[EXPOSURE].query_kernel * np.float32(1.01)
        ),
    ),
    "scale": lambda w: with_attention(
        w,
        PAGE_VIEW,
        dataclasses.replace(w.attentions[PAGE_VIEW], scale=w.attentions[PAGE_VIEW].scale * np.float32(1.01)),
    ),
    "head": lambda w: dataclasses.replace(
        w, head=dataclasses.replace(w.head, output_kernel=w.head.output_kernel * np.float32(1.01))
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_weight_that_is_one_percent_off_exceeds_the_tolerance(change: str) -> None:
    made = built()
    one = case(made, CANDIDATES, (EXPOSURES, PAGE_VIEWS))
    other = dataclasses.replace(made.model, crban=CHANGES[change](made.model.crban))
    ranker = DeviceRanker(to_mnn(graphs(other)["crban"]))
    worst = np.abs(ranker.score(one.candidates, one.exposures, one.page_views) - one.want).max()
    assert worst > 10 * TOLERANCE


def test_large_attention_weights_use_the_form_with_tanh() -> None:
    made = built()
    big = np.float32(30)
    attention = dataclasses.replace(
        made.model.crban.attentions[EXPOSURE],
        query_kernel=made.model.crban.attentions[EXPOSURE].query_kernel * big,
        key_kernel=made.model.crban.attentions[EXPOSURE].key_kernel * big,
        scale=made.model.crban.attentions[EXPOSURE].scale * big,
    )
    model = dataclasses.replace(made.model, crban=with_attention(made.model.crban, EXPOSURE, attention))
    files = {name: to_mnn(graph) for name, graph in graphs(model).items()}
    large = Built(model, **files)
    # Keys of the form with tanh may be negative. The ranker accepts them.
    assert (case(large, 1, (7, 5)).exposures.keys < 0).any()
    assert DeviceRanker(large.crban).key_widths[EXPOSURE] == 32
    for times in ((0, 0), (1, 0), (7, 5), (EXPOSURES, PAGE_VIEWS)):
        one = case(large, 11, times)
        scores = DeviceRanker(large.crban).score(one.candidates, one.exposures, one.page_views)
        # Attention scores reach several hundred, where float32 has a rounding error of about 3e-5. The softmax shows
        # this error if two behaviours have nearly the same score.
        np.testing.assert_allclose(scores, one.want, atol=5e-3)


def test_another_number_of_units_works() -> None:
    made = built(3, 1.0, 10, 6)
    one = case(made, 11, (7, 5))
    scores = DeviceRanker(made.crban).score(one.candidates, one.exposures, one.page_views)
    np.testing.assert_allclose(scores, one.want, atol=TOLERANCE)


def test_the_ranker_reads_its_limits_and_widths_from_the_model(ranker: DeviceRanker) -> None:
    assert (ranker.limit, ranker.limits) == (CANDIDATES, {EXPOSURE: EXPOSURES, PAGE_VIEW: PAGE_VIEWS})
    assert (ranker.candidate_width, ranker.hidden) == (21, 32)
    assert ranker.key_widths == {EXPOSURE: 128, PAGE_VIEW: 128}


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def ones(keys: tuple[int, int], values: tuple[int, int]) -> Encodings:
    return Encodings(np.ones(keys, np.float32), np.ones(values, np.float32))


NONE = Encodings.empty(128, 32)
ONE = ones((1, 128), (1, 32))


def with_nan(encodings: Encodings, field: str) -> Encodings:
    array = getattr(encodings, field).copy()
    array[0, 3] = np.nan
    return dataclasses.replace(encodings, **{field: array})


def with_key(encodings: Encodings, key: float) -> Encodings:
    keys = encodings.keys.copy()
    keys[0, 3] = key
    return dataclasses.replace(encodings, keys=keys)


@pytest.mark.parametrize(
    ("candidates", "exposures", "page_views", "named"),
    [
        (zeros(0, 21), NONE, NONE, "1 to 20 items. Received: 0"),
        (zeros(CANDIDATES + 1, 21), NONE, NONE, "Received: 21"),
        (zeros(3, 20), NONE, NONE, "candidates"),
        (zeros(21), NONE, NONE, "candidates"),
        (zeros(3, 21).astype(np.float64), NONE, NONE, "float64"),
        (zeros(3, 21) + np.float32(np.nan), NONE, NONE, "63 NaN"),
        (zeros(3, 21) + np.float32(np.inf), NONE, NONE, "finite"),
        ([[0.0] * 21], NONE, NONE, "list"),
        (zeros(3, 21), ones((EXPOSURES + 1, 128), (EXPOSURES + 1, 32)), NONE, "at most 12"),
        (zeros(3, 21), NONE, ones((PAGE_VIEWS + 1, 128), (PAGE_VIEWS + 1, 32)), "at most 9"),
        (zeros(3, 21), ones((2, 128), (1, 32)), NONE, "as many values"),
        (zeros(3, 21), ones((2, 127), (2, 32)), NONE, "exposures.keys"),
        (zeros(3, 21), NONE, ones((2, 128), (2, 33)), "page_views.values"),
        (zeros(3, 21), Encodings(zeros(1, 128).astype(np.float64), zeros(1, 32)), NONE, "float64"),
        (zeros(3, 21), with_nan(ONE, "keys"), NONE, "exposures.keys"),
        (zeros(3, 21), NONE, with_nan(ONE, "values"), "page_views.values"),
        (zeros(3, 21), Encodings(None, None), NONE, "NoneType"),  # type: ignore[arg-type]
        (zeros(3, 21), None, NONE, r"exposures` should be Encodings; .*empty\(128, 32\).* Received: NoneType"),
        (zeros(3, 21), NONE, (NONE.keys, NONE.values), "page_views` should be Encodings.* Received: tuple"),
        (zeros(3, 21), with_key(ONE, 0.0), NONE, "exposures.keys` should be positive.* Received: 1 numbers"),
        (zeros(3, 21), NONE, with_key(ONE, -1.0), "page_views.keys` should be positive"),
    ],
)
def test_an_invalid_argument_is_an_error_and_the_ranker_still_works(
    candidates: object, exposures: Encodings, page_views: Encodings, named: str, ranker: DeviceRanker
) -> None:
    with pytest.raises(SessionError, match=named):
        ranker.score(candidates, exposures, page_views)  # type: ignore[arg-type]
    one = case(built(), 4, (2, 2))
    np.testing.assert_allclose(ranker.score(one.candidates, one.exposures, one.page_views), one.want, atol=TOLERANCE)


def test_the_ranker_refuses_a_step_model() -> None:
    with pytest.raises(SessionError, match="should have an input `candidates`"):
        DeviceRanker(built().ie)
