"""The proof itself: it passes where two models are one, and fails where one number of one of them is another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from edgerec.bundle.golden import GoldenCase, run_case
from edgerec.bundle.load import load_device_model
from edgerec.core.errors import ParityError
from edgerec.data.samples import TEST, Samples
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.export.onnx_device import OnnxDevice
from edgerec.export.parity import RELATIVE, TOLERANCE, CaseError, check_random, compare
from edgerec.export.random_cases import keras_logits, long_case, random_cases
from edgerec.export.real_requests import check_real, summarise
from edgerec.export.split import device_graphs, split
from edgerec.features.behaviours import Limits
from edgerec.features.spec import FeatureSpec
from edgerec.model.runs import Run, load_run
from tests.random_runs import of_kind, on_device
from tests.synthetic import build, make_logs, relabelled

LIMITS = Limits(candidates=10, exposures=20, page_views=8)
SHORT = Limits(candidates=6, exposures=7, page_views=5)
SHORT_LIST = Limits(candidates=2, exposures=9, page_views=3)


@dataclass(frozen=True)
class Strong:
    """A model whose every part has a say in the scores, and its device half."""

    run: Run
    device: DeviceModel
    onnx: OnnxDevice


@pytest.fixture(scope="module")
def strong(run_path: Path, bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Strong:
    run = load_run(run_path)
    rng = np.random.default_rng(0)
    run.model.set_weights([rng.normal(size=weight.shape).astype(np.float32) for weight in run.model.get_weights()])
    graphs = device_graphs(split(run), SHORT)
    folder = tmp_path_factory.mktemp("strong")
    device = on_device(graphs, folder)
    return Strong(run, device, OnnxDevice.load(graphs))


def test_random_cases_have_every_length_and_sign(run_path: Path) -> None:
    model = load_run(run_path).model
    cases = random_cases(model, LIMITS, seed=1, spread=3.0)
    lengths = [(len(case.exposure_action), len(case.page_view_action), len(case.candidates)) for case in cases]
    assert lengths == list(itertools.product([0, 1, 2, 10, 20], [0, 1, 2, 4, 8], [1, 2, 5, 10]))
    for case in cases:
        assert len(case.exposure_item) == len(case.exposure_action)
        assert len(case.page_view_item) == len(case.page_view_action)
        assert case.logits.shape == (len(case.candidates),)
    for name in ("exposure_action", "exposure_item", "page_view_action", "page_view_item", "candidates"):
        values = np.concatenate([getattr(case, name).ravel() for case in cases])
        assert 0.45 < (values < 0).mean() < 0.55
        assert values.std() == pytest.approx(3.0, rel=0.1)
    again = random_cases(model, LIMITS, seed=1, spread=3.0)
    other = random_cases(model, LIMITS, seed=2, spread=3.0)
    assert np.array_equal(again[-1].candidates, cases[-1].candidates)
    assert not np.array_equal(other[-1].candidates, cases[-1].candidates)


@pytest.mark.parametrize(
    "limits", [Limits(candidates=1, exposures=1, page_views=1), Limits(candidates=2, exposures=9, page_views=3)]
)
def test_lengths_stay_within_small_limits(run_path: Path, limits: Limits) -> None:
    cases = random_cases(load_run(run_path).model, limits, seed=1, spread=1.0)
    assert max(len(case.candidates) for case in cases) == limits.candidates
    assert min(len(case.candidates) for case in cases) == 1
    assert max(len(case.exposure_action) for case in cases) == limits.exposures


@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_steps_equal_whole_sequences(strong: Strong, spread: float) -> None:
    """Keras reads sequences at once; MNN and ONNX Runtime step. With weights this large,
    rounding leaves 2e-5 of logits near ten."""
    cases = random_cases(strong.run.model, SHORT, seed=5, spread=spread)
    assert np.concatenate([case.logits for case in cases]).std() > 0.5
    found = check_random(cases, strong.device, strong.onnx)
    assert found.keys() == {"random_mnn", "random_onnx"}
    assert 0 < max(found.values()) < 3e-5


def test_states_run_on_for_long(strong: Strong) -> None:
    """Many times the window: the state of all of it, attention over the latest."""
    model = strong.run.model
    case = long_case(model, SHORT, steps=60)
    assert (len(case.exposure_action), len(case.page_view_action)) == (60, 60)
    assert 0 < max(check_random([case], strong.device, strong.onnx).values()) < 3e-5
    # From zeros at the window's beginning it would be another request.
    window = replace(
        case,
        exposure_action=case.exposure_action[-SHORT.exposures :],
        exposure_item=case.exposure_item[-SHORT.exposures :],
    )
    assert np.abs(run_case(strong.device, window) - case.logits).max() > 1e-4


def weights_of(model: Any) -> Iterator[Any]:
    """Every tensor behind the dense vectors; the tables have no part in random cases."""
    for layer in (model.hubsm_ie, model.hubsm_ipv, model.ranker):
        yield from layer.trainable_variables


def test_one_percent_of_one_weight_is_found(strong: Strong, monkeypatch: pytest.MonkeyPatch) -> None:
    model = strong.run.model
    # Traced once for all weights: Keras' own loops over steps would take most of the time.
    for layer in (model.hubsm_ie, model.hubsm_ipv, model.ranker):
        monkeypatch.setattr(layer, "call", tf.function(layer.call))
    cases = random_cases(model, SHORT, seed=5, spread=1.0)
    long = [case for case in cases if len(case.exposure_action) >= 2 and len(case.page_view_action) >= 2]
    effects = {}
    variables = list(weights_of(model))
    assert len(variables) == 4 * 2 * 3 + 2 * 3 + 2 * 4 + 4
    for variable in variables:
        kept = variable.numpy()
        changed = kept.copy()
        at = np.unravel_index(np.abs(kept).argmax(), kept.shape)
        changed[at] *= 1.01
        variable.assign(changed)
        try:
            others = _keras(model, long)
        finally:
            variable.assign(kept)
        effects[variable.path] = max(
            float(np.abs(one.logits - other.logits).max()) for one, other in zip(long, others, strict=True)
        )
        with pytest.raises(ParityError, match="random_mnn"):
            check_random(others, strong.device, strong.onnx)
    smallest = min(effects, key=lambda path: effects[path])
    assert effects[smallest] > 2 * TOLERANCE, (smallest, effects[smallest])


def _keras(model: Any, cases: list[GoldenCase]) -> list[GoldenCase]:
    found = keras_logits(model, cases, SHORT)
    return [replace(case, logits=logits) for case, logits in zip(cases, found, strict=True)]


def test_the_other_leg_is_held_as_well(strong: Strong) -> None:
    """An ONNX graph that differs is found though MNN agrees with Keras."""
    run = strong.run
    cases = random_cases(run.model, SHORT, seed=5, spread=1.0)
    kernel = run.model.ranker.output_layer.kernel
    kept = kernel.numpy()
    kernel.assign(kept * np.float32(1.01))
    try:
        other = OnnxDevice.load(device_graphs(split(run), SHORT))
    finally:
        kernel.assign(kept)
    with pytest.raises(ParityError, match="random_onnx"):
        check_random(cases, strong.device, other)


@pytest.mark.usefixtures("eager")
def test_real_requests(run_path: Path, bundle_path: Path, samples: Samples, tmp_path: Path) -> None:
    run = load_run(run_path)
    device = load_device_model(bundle_path)
    tables = split(run).tables
    real = check_real(run.model, samples, tables, device, requests=1000)
    assert real.requests == real.orders_equal == samples.head.splits[TEST].requests
    assert real.max_abs_error < 1e-5
    assert real.gauc["mnn"] == pytest.approx(real.gauc["keras"], abs=1e-5)
    assert check_real(run.model, samples, tables, device, requests=3).requests == 3

    table = tables["shop"]
    moved = {"shop": replace(table, values=np.roll(table.values, 1, axis=0))}
    with pytest.raises(ParityError, match=r"parity real \(request \d+\): candidate \d+ of \d+ scores"):
        check_real(run.model, samples, moved, device, requests=1000)
    silent = relabelled(samples, tmp_path / "samples", TEST, np.zeros_like)
    without = check_real(run.model, silent, tables, device, requests=2)
    assert without.gauc == {"keras": None, "mnn": None}


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1.0002])
def test_compare_names_the_worst(strong: Strong, odd: float) -> None:
    expected = np.ones(4, np.float32)
    case = replace(random_cases(strong.run.model, SHORT, seed=3, spread=1.0)[-1], logits=expected)
    found = np.array([1, 1.00015, odd, 1], np.float32)
    with pytest.raises(CaseError, match=r"parity a \(b\): candidate 2 of 4 scores .* instead of 1") as caught:
        compare("a", found, case, where="b")
    assert caught.value.case is case
    with pytest.raises(ParityError, match="3,"):
        compare("a", found[:3], case, where="b")
    assert compare("a", expected + np.float32(5e-5), case, where="b") == pytest.approx(5e-5, rel=1e-2)


def test_large_logits_may_be_off_by_their_rounding(strong: Strong) -> None:
    """Two float32 steps at -39675 are 0.0078."""
    expected = np.array([-39675.39, 0.5], np.float32)
    case = replace(random_cases(strong.run.model, SHORT, seed=3, spread=1.0)[-1], logits=expected)
    assert compare("a", expected + np.float32([0.0078, 0]), case, where="b") == pytest.approx(0.0078, rel=0.01)
    for off in ([0.25, 0], [0.0078, 2e-4]):
        with pytest.raises(CaseError, match=r"0.25 apart; 0.2 is allowed|0.0002 apart; 0.0001 is allowed"):
            compare("a", expected + np.float32(off), case, where="b")


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("kind", "bounded"), [("crban_plus", True), ("dnn_rank", False)])
def test_a_served_value_beyond_all_measure(run_path: Path, kind: str, bounded: bool, tmp_path: Path) -> None:
    """One of 1e7 in the test period is clipped. In samples without bounds the proof holds with scores of any size."""
    logs = make_logs()
    last = logs.requests.sort("time")["request_id"][-1]
    odd = pl.concat_list(pl.lit(1e7), pl.col("score").list.slice(1))
    huge = pl.when(request_id=last).then(odd).otherwise("score").alias("score")
    spec = logs.spec.model_dump(mode="json", exclude_none=True)
    if not bounded:
        spec["item"][-1].update(low=-1e30, high=1e30)
    logs = replace(logs, requests=logs.requests.with_columns(huge), spec=FeatureSpec.model_validate(spec))
    samples = build(tmp_path, logs, limits=LIMITS.model_dump())
    run = of_kind(load_run(run_path), kind)
    device = on_device(device_graphs(split(run), LIMITS), tmp_path)
    requests = samples.head.splits[TEST].requests
    real = check_real(run.model, samples, split(run).tables, device, requests=requests)
    assert real.requests == requests
    if bounded:
        assert real.max_abs_error < 1e-4
    (shard,) = samples.shards(TEST)
    largest = np.abs(shard.requests.item.numbers).max()
    assert largest < 20 if bounded else largest > 1e6


def test_summary(strong: Strong, samples: Samples) -> None:
    case = random_cases(strong.run.model, SHORT, seed=3, spread=1.0)[-1]
    assert run_case(strong.device, case).shape == (6,)
    from edgerec.export.real_requests import RealRequests

    real = RealRequests(max_abs_error=3e-5, requests=9, orders_equal=8, gauc={"keras": 0.5, "mnn": 0.5})
    parity = summarise({"random_mnn": 2e-5}, real)
    assert (parity.max_abs_error, parity.requests, parity.orders_equal) == (3e-5, 9, 8)
    assert parity.checks == {"random_mnn": 2e-5, "real_mnn": 3e-5}
    assert (parity.tolerance, parity.relative_tolerance) == (TOLERANCE, RELATIVE)
