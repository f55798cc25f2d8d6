"""The parity check passes if the models are equal, and fails if one number of a model is different."""

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

from edgerec.bundle.golden import run_case
from edgerec.bundle.load import load_device_model
from edgerec.core.errors import ParityError
from edgerec.data.samples import TEST, Samples
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.export.onnx_device import OnnxDevice
from edgerec.export.parity import RELATIVE, TOLERANCE, CaseError, check_random, compare
from edgerec.export.random_cases import long_case, random_cases, with_keras
from edgerec.export.real_requests import RealRequests, check_real, summarise
from edgerec.export.split import device_graphs, split
from edgerec.features.behaviours import Limits
from edgerec.features.spec import FeatureSpec
from edgerec.model.runs import Run, load_run
from tests.random_runs import of_model, on_device
from tests.synthetic import build, make_logs, relabelled

LIMITS = Limits(candidates=10, exposures=20, page_views=8)
SHORT = Limits(candidates=6, exposures=7, page_views=5)
SHORT_LIST = Limits(candidates=2, exposures=9, page_views=3)


@dataclass(frozen=True)
class Strong:
    """A run with large weights, so that every layer changes the scores, and its models for MNN and ONNX Runtime."""

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


@pytest.mark.usefixtures("eager")
def test_random_cases_have_every_length_and_sign(run_path: Path) -> None:
    model = load_run(run_path).model
    cases = random_cases(model, LIMITS, seed=1, std=3.0)
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
    again = random_cases(model, LIMITS, seed=1, std=3.0)
    other = random_cases(model, LIMITS, seed=2, std=3.0)
    assert np.array_equal(again[-1].candidates, cases[-1].candidates)
    assert not np.array_equal(other[-1].candidates, cases[-1].candidates)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "limits", [Limits(candidates=1, exposures=1, page_views=1), Limits(candidates=2, exposures=9, page_views=3)]
)
def test_random_cases_stay_within_small_limits(run_path: Path, limits: Limits) -> None:
    cases = random_cases(load_run(run_path).model, limits, seed=1, std=1.0)
    assert max(len(case.candidates) for case in cases) == limits.candidates
    assert min(len(case.candidates) for case in cases) == 1
    assert max(len(case.exposure_action) for case in cases) == limits.exposures


@pytest.mark.parametrize("std", [pytest.param(1.0, marks=pytest.mark.slow), 3.0])
def test_steps_equal_whole_sequences(strong: Strong, std: float) -> None:
    """Keras processes whole sequences. MNN and ONNX Runtime process one step at a time.

    With weights this large, logits reach about 10 and rounding changes them by about 2e-5.
    """
    cases = random_cases(strong.run.model, SHORT, seed=5, std=std)
    assert np.concatenate([case.logits for case in cases]).std() > 0.5
    found = check_random(cases, strong.device, strong.onnx)
    assert found.keys() == {"random_mnn", "random_onnx"}
    assert 0 < max(found.values()) < 3e-5


def test_a_sequence_longer_than_the_window_keeps_parity(strong: Strong) -> None:
    """The state comes from all behaviours. The attention reads only the latest ones."""
    model = strong.run.model
    case = long_case(model, SHORT, steps=60)
    assert (len(case.exposure_action), len(case.page_view_action)) == (60, 60)
    assert 0 < max(check_random([case], strong.device, strong.onnx).values()) < 3e-5
    # If the state started from zeros at the start of the window, the logits would be different.
    window = replace(
        case,
        exposure_action=case.exposure_action[-SHORT.exposures :],
        exposure_item=case.exposure_item[-SHORT.exposures :],
    )
    assert np.abs(run_case(strong.device, window) - case.logits).max() > 1e-4


def weights_of(model: Any) -> Iterator[Any]:
    """Yield all weights except the embedding tables. Random cases have dense vectors and use no tables."""
    for layer in (model.hubsm_ie, model.hubsm_ipv, model.ranker):
        yield from layer.trainable_variables


def test_a_weight_that_is_one_percent_off_fails_the_parity_check(
    strong: Strong, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = strong.run.model
    # Trace the layers once. Without tracing, Keras' loops over steps would take most of the time.
    for layer in (model.hubsm_ie, model.hubsm_ipv, model.ranker):
        monkeypatch.setattr(layer, "call", tf.function(layer.call))
    cases = random_cases(model, SHORT, seed=5, std=1.0)
    long = [case for case in cases if len(case.exposure_action) >= 2 and len(case.page_view_action) >= 2]
    effects = {}
    variables = list(weights_of(model))
    assert len(variables) == 4 * 2 * 3 + 2 * 3 + 2 * 4 + 4
    for variable in variables:
        original = variable.numpy()
        changed = original.copy()
        index = np.unravel_index(np.abs(original).argmax(), original.shape)
        changed[index] *= 1.01
        variable.assign(changed)
        try:
            others = with_keras(model, long, SHORT)
        finally:
            variable.assign(original)
        effects[variable.path] = max(
            float(np.abs(one.logits - other.logits).max()) for one, other in zip(long, others, strict=True)
        )
        with pytest.raises(ParityError, match="random_mnn"):
            check_random(others, strong.device, strong.onnx)
    smallest = min(effects, key=lambda path: effects[path])
    assert effects[smallest] > 2 * TOLERANCE, (smallest, effects[smallest])


@pytest.mark.usefixtures("eager")
def test_a_wrong_onnx_graph_fails_the_parity_check(strong: Strong) -> None:
    """MNN agrees with Keras, but the ONNX graph does not."""
    run = strong.run
    cases = random_cases(run.model, SHORT, seed=5, std=1.0)
    kernel = run.model.ranker.output_layer.kernel
    original = kernel.numpy()
    kernel.assign(original * np.float32(1.01))
    try:
        other = OnnxDevice.load(device_graphs(split(run), SHORT))
    finally:
        kernel.assign(original)
    with pytest.raises(ParityError, match="random_onnx"):
        check_random(cases, strong.device, other)


@pytest.mark.usefixtures("eager")
def test_real_requests_keep_parity_and_wrong_tables_do_not(
    run_path: Path, bundle_path: Path, samples: Samples, tmp_path: Path
) -> None:
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
    with pytest.raises(ParityError, match=r"parity real \(request \d+\): candidate \d+ of \d+ should score"):
        check_real(run.model, samples, moved, device, requests=1000)
    silent = relabelled(samples, tmp_path / "samples", TEST, np.zeros_like)
    without = check_real(run.model, silent, tables, device, requests=2)
    assert without.gauc == {"keras": None, "mnn": None}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("odd", [np.nan, np.inf, 1.0002])
def test_compare_names_the_worst_element(strong: Strong, odd: float) -> None:
    expected = np.ones(4, np.float32)
    case = replace(random_cases(strong.run.model, SHORT, seed=3, std=1.0)[-1], logits=expected)
    logits = np.array([1, 1.00015, odd, 1], np.float32)
    with pytest.raises(CaseError, match=r"parity a \(b\): candidate 2 of 4 should score 1, .*; received ") as caught:
        compare("a", logits, case, where="b")
    assert caught.value.case is case
    with pytest.raises(ParityError, match=r"logits should have shape \(4,\); received \(3,\)"):
        compare("a", logits[:3], case, where="b")
    assert compare("a", expected + np.float32(5e-5), case, where="b") == pytest.approx(5e-5, rel=1e-2)


@pytest.mark.usefixtures("eager")
def test_the_tolerance_of_large_logits_allows_their_rounding(strong: Strong) -> None:
    """Near -39675, two units in the last place of float32 are 0.0078."""
    expected = np.array([-39675.39, 0.5], np.float32)
    case = replace(random_cases(strong.run.model, SHORT, seed=3, std=1.0)[-1], logits=expected)
    assert compare("a", expected + np.float32([0.0078, 0]), case, where="b") == pytest.approx(0.0078, rel=0.01)
    for off in ([0.25, 0], [0.0078, 2e-4]):
        with pytest.raises(
            CaseError, match=r"at most 0\.2; .* difference of 0\.25|at most 0\.0001; .* difference of 0\.0002"
        ):
            compare("a", expected + np.float32(off), case, where="b")


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("model_name", "bounded"), [("crban_plus", True), pytest.param("dnn_rank", False, marks=pytest.mark.slow)]
)
def test_parity_holds_with_a_huge_served_value(run_path: Path, model_name: str, bounded: bool, tmp_path: Path) -> None:
    """A value of 1e7 in the test period is clipped. Without bounds, the parity check passes with scores of any size."""
    logs = make_logs()
    last = logs.requests.sort("time")["request_id"][-1]
    odd = pl.concat_list(pl.lit(1e7), pl.col("score").list.slice(1))
    huge = pl.when(request_id=last).then(odd).otherwise("score").alias("score")
    spec = logs.spec.model_dump(mode="json", exclude_none=True)
    if not bounded:
        spec["item"][-1].update(low=-1e30, high=1e30)
    logs = replace(logs, requests=logs.requests.with_columns(huge), spec=FeatureSpec.model_validate(spec))
    samples = build(tmp_path, logs, limits=LIMITS.model_dump())
    run = of_model(load_run(run_path), model_name)
    device = on_device(device_graphs(split(run), LIMITS), tmp_path)
    requests = samples.head.splits[TEST].requests
    real = check_real(run.model, samples, split(run).tables, device, requests=requests)
    assert real.requests == requests
    if bounded:
        assert real.max_abs_error < 1e-4
    (shard,) = samples.shards(TEST)
    largest = np.abs(shard.requests.item.numbers).max()
    assert largest < 20 if bounded else largest > 1e6


@pytest.mark.usefixtures("eager")
def test_summarise_returns_the_largest_error_and_all_checks(strong: Strong, samples: Samples) -> None:
    case = random_cases(strong.run.model, SHORT, seed=3, std=1.0)[-1]
    assert run_case(strong.device, case).shape == (6,)
    real = RealRequests(max_abs_error=3e-5, requests=9, orders_equal=8, gauc={"keras": 0.5, "mnn": 0.5})
    parity = summarise({"random_mnn": 2e-5}, real)
    assert (parity.max_abs_error, parity.requests, parity.orders_equal) == (3e-5, 9, 8)
    assert parity.checks == {"random_mnn": 2e-5, "real_mnn": 3e-5}
    assert (parity.tolerance, parity.relative_tolerance) == (TOLERANCE, RELATIVE)
