"""The trace finds no difference in a correct conversion. If a weight is wrong, it names a tensor that depends on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgerec.bundle.golden import GoldenCase, read_case
from edgerec.core.errors import OutputError, ParityError
from edgerec.core.tolerance import Tolerance
from edgerec.device_runtime.hubsm import HubsmStepper, Step
from edgerec.export import bundle, halves, parity_check
from edgerec.export.convert import convert_to_mnn
from edgerec.export.parity import TOLERANCE
from edgerec.export.random_cases import long_case, random_cases
from edgerec.export.split import device_graphs, split
from edgerec.export.trace import compare_tensors, trace
from edgerec.features.behaviours import Limits
from edgerec.model.runs import Run, load_run
from edgerec.rankers.registry import MODELS
from tests.quicker import some_of
from tests.random_runs import of_model, on_device

pytestmark = pytest.mark.usefixtures("eager")
LIMITS = Limits(candidates=6, exposures=7, page_views=5)
Graphs = Mapping[str, onnx.ModelProto]


def graphs_of(run: Run) -> Graphs:
    return device_graphs(split(run), LIMITS)


def full_case(run: Run) -> GoldenCase:
    return random_cases(run.model, LIMITS, seed=3, std=1.0)[-1]


def altered(graph: onnx.ModelProto, constant: str, factor: float = 1.25) -> onnx.ModelProto:
    """Return a copy of `graph` in which a constant is multiplied by `factor`."""
    other = onnx.ModelProto()
    other.CopyFrom(graph)
    (found,) = (each for each in other.graph.initializer if each.name == constant)
    found.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(found) * np.float32(factor), constant))
    return other


def reached(graph: onnx.ModelProto, constant: str) -> set[str]:
    """Return the names of all tensors that depend on a constant."""
    found = {constant}
    for node in graph.graph.node:
        if found & set(node.input):
            found |= set(node.output)
    return found


@pytest.mark.parametrize("model_name", some_of(MODELS, fast=("dlcm",)))
def test_a_correct_conversion_agrees_in_all_tensors(run_path: Path, model_name: str, tmp_path: Path) -> None:
    """The cases have all lengths. The last case has more behaviours than the ranker reads."""
    run = of_model(load_run(run_path), model_name)
    graphs = graphs_of(run)
    device = on_device(graphs, tmp_path)
    cases = random_cases(run.model, LIMITS, seed=3, std=3.0)
    for case in (*cases[::13], cases[-1], long_case(run.model, LIMITS, steps=30)):
        found = trace(case, device, graphs)
        assert found.departure is None, str(found)
        assert found.from_keras < 5e-5
        assert found.carried is None
        steps = len(case.exposure_action) * ("hubsm_ie" in graphs) + len(case.page_view_action) * (
            "hubsm_ipv" in graphs
        )
        # The trace must compare at least the outputs of each step and a quarter of the ranker's tensors.
        assert found.compared >= 2 * steps + len(graphs["crban"].graph.node) // 4


@pytest.mark.parametrize("model_name", some_of(["crban", "crban_ie", "crban_plus", "dlcm"], fast=("crban_ie", "dlcm")))
def test_the_trace_names_a_tensor_that_depends_on_the_wrong_weight(
    run_path: Path, model_name: str, tmp_path: Path
) -> None:
    """The test changes each weight in turn. The named tensor must depend on it. The tensor before it must not."""
    run = of_model(load_run(run_path), model_name)
    graphs = graphs_of(run)
    device, case = on_device(graphs, tmp_path), full_case(run)
    tried = 0
    for name, graph in graphs.items():
        for constant in graph.graph.initializer:
            values = numpy_helper.to_array(constant)
            if values.dtype != np.float32 or values.size < 3 or not np.ptp(values):
                continue
            found = trace(case, device, {**graphs, name: altered(graph, constant.name)}).departure
            assert found is not None, constant.name
            assert found.model == name
            after = reached(graph, constant.name)
            assert found.tensor in after
            assert found.after not in after
            # The initial state is zero, so a wrong recurrent kernel has no effect before the second step.
            assert found.step in ((1, 2) if name != "crban" else (None,))
            tried += 1
    assert tried > 10


def test_logits_are_compared_with_the_tolerance_of_the_parity_check(run_path: Path, tmp_path: Path) -> None:
    """The logits are about 6 and differ by three times the tolerance. A relative tolerance would accept that."""
    run = of_model(load_run(run_path), "crban")
    run.model.ranker.output_layer.bias.assign([6.0])
    graphs = graphs_of(run)
    device = on_device(graphs, tmp_path)
    last = graphs["crban"].graph.node[-1].input[1]
    found = trace(full_case(run), device, {**graphs, "crban": altered(graphs["crban"], last, 1 + 5e-5)}).departure
    assert found is not None
    assert found.tensor == "logits"


def test_differences_of_rounding_are_accepted(run_path: Path, tmp_path: Path) -> None:
    """Queries are multiplied by 1000. Exponents then reach thousands, and each engine rounds them differently."""
    run = of_model(load_run(run_path), "crban_plus")
    for attention in (run.model.ranker.exposure_attention, run.model.ranker.page_view_attention):
        attention.query_projection.kernel.assign(attention.query_projection.kernel * 1000)
    graphs = graphs_of(run)
    found = trace(full_case(run), on_device(graphs, tmp_path), graphs)
    assert found.departure is None, str(found)


def test_the_trace_says_when_the_graphs_differ_from_keras(run_path: Path, tmp_path: Path) -> None:
    run = of_model(load_run(run_path), "crban")
    graphs = graphs_of(run)
    case = full_case(run)
    found = trace(replace(case, logits=case.logits + np.float32(0.5)), on_device(graphs, tmp_path), graphs)
    assert found.from_keras == pytest.approx(0.5, rel=1e-3)
    assert "ONNX Runtime differs from Keras by 0.5: the graphs are wrong" in str(found)


def test_the_trace_names_the_step_from_which_the_state_differs(
    run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = of_model(load_run(run_path), "crban")
    graphs = graphs_of(run)
    device, step = on_device(graphs, tmp_path), HubsmStepper.step

    def losing(self: HubsmStepper, *behaviour: np.ndarray) -> Step:
        found = step(self, *behaviour)
        return found._replace(state=found.state * np.float32(0.9))

    monkeypatch.setattr(HubsmStepper, "step", losing)
    found = trace(full_case(run), device, graphs)
    assert (found.departure, found.carried) == (None, ("hubsm_ie", 1))
    assert "the state of hubsm_ie differs from behaviour 1 on" in str(found)
    assert "the difference is in the arrays passed between graphs" in str(replace(found, carried=None))


def test_compare_tensors_on_small_arrays() -> None:
    ones = np.ones((2, 3), np.float32)
    assert compare_tensors(ones, ones, ones) == (0.0, False)
    assert compare_tensors(ones[:0], ones[:0], ones[:0]) == (0.0, False)
    odd = np.array([np.nan, np.inf, -np.inf], np.float32)
    assert compare_tensors(odd, odd, odd) == (0.0, False)
    assert compare_tensors(odd, ones[0], ones[0]) == (np.inf, True)
    large = np.array([1e6, 1.0], np.float32)
    assert compare_tensors(np.array([1e6, 50.0], np.float32), large, large)[1]
    near = np.array([1e6 + 10, 1.0], np.float32)
    assert not compare_tensors(near, large, large)[1]
    assert compare_tensors(near, large, large, absolute=True)[1]
    # The third array was computed from inputs with added rounding noise. If the noise moves the result, larger
    # differences between the first two arrays are accepted.
    off = ones + np.float32(3 * TOLERANCE)
    assert compare_tensors(off, ones, ones)[1]
    assert not compare_tensors(off, ones, ones + np.float32(TOLERANCE / 10))[1]


@pytest.mark.slow
def test_export_writes_a_trace_if_the_parity_check_fails(
    run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The conversion changes a weight, as a faulty converter would."""

    def wrong(source: Path, target: Path, *, precision: object) -> None:
        graph = onnx.load(source)
        if target.stem == "hubsm_ipv":
            kernel = next(node.input[1] for node in graph.graph.node if node.op_type == "GRU")
            graph = altered(graph, kernel)
        other = tmp_path / "other.onnx"
        other.write_bytes(graph.SerializeToString())
        convert_to_mnn(other, target)

    monkeypatch.setattr(halves, "convert_to_mnn", wrong)
    with pytest.raises(ParityError, match=r"parity random_mnn .*: export with --trace to find the first tensor"):
        bundle.export_bundle(run_path, tmp_path / "bundle", requests=5)
    kept = tmp_path / "bundle.trace"
    said = (
        r"differs from ONNX Runtime at `.*` \(GRU\) of hubsm_ipv.onnx at behaviour 1, .* request are in .*bundle.trace"
    )
    for _ in range(2):  # The second export replaces the trace of the first.
        with pytest.raises(ParityError, match=said) as caught:
            bundle.export_bundle(run_path, tmp_path / "bundle", requests=5, trace=True)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle.trace", "other.onnx"]
    document = json.loads((kept / "trace.json").read_text())
    assert document["proof"] in str(caught.value)
    assert document["departure"]["model"] == "hubsm_ipv"
    graph = onnx.load(kept / "hubsm_ipv.onnx").graph
    assert document["departure"]["tensor"] in {output for node in graph.node for output in node.output}
    assert (kept / "device" / "hubsm_ipv.mnn").is_file()
    assert len(read_case(kept / "case.npz").page_view_action) >= 1

    (kept / "trace.json").unlink()
    with pytest.raises(OutputError, match=r"bundle\.trace exists already and is a folder that EdgeRec did not write"):
        bundle.export_bundle(run_path, tmp_path / "bundle", requests=5, trace=True)


def test_the_error_of_the_parity_check_is_kept_if_the_trace_fails(
    run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("first line\nsecond")

    monkeypatch.setattr(parity_check, "trace_case", broken)
    monkeypatch.setattr("edgerec.export.parity.compare.__kwdefaults__", {"tolerance": Tolerance(0.0)})
    with pytest.raises(
        ParityError, match=r"parity random_.* at most 0; received .*; the trace failed: first line\. Graphs"
    ):
        bundle.export_bundle(run_path, tmp_path / "bundle", requests=5, trace=True)
