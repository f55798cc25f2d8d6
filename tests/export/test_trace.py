"""The trace: silent where MNN computes what the graphs say, and where a number of a graph is another, at its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgerec.core.errors import ParityError
from edgerec.data.samples import Limits
from edgerec.device_runtime.golden import GoldenCase
from edgerec.export import bundle
from edgerec.export.convert import convert_to_mnn
from edgerec.export.graphs.device import device_graphs
from edgerec.export.parity import random_cases
from edgerec.export.split import split
from edgerec.export.trace import Traced, trace
from edgerec.model.registry import MODELS, Name
from edgerec.model.runs import Run, load_run
from tests.random_runs import of_kind, on_device

LIMITS = Limits(candidates=6, exposures=7, page_views=5)


def full_case(run: Run) -> GoldenCase:
    return random_cases(run.model, LIMITS, seed=3, spread=1.0)[-1]


def altered(graph: onnx.ModelProto, constant: str) -> onnx.ModelProto:
    """`graph` with every number of a constant a quarter larger."""
    other = onnx.ModelProto()
    other.CopyFrom(graph)
    (found,) = (each for each in other.graph.initializer if each.name == constant)
    found.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(found) * np.float32(1.25), constant))
    return other


def reached(graph: onnx.ModelProto, constant: str) -> set[str]:
    """Every tensor that depends on a constant."""
    found = {constant}
    for node in graph.graph.node:
        if found & set(node.input):
            found |= set(node.output)
    return found


@pytest.mark.parametrize("kind", list(MODELS))
def test_a_right_conversion_agrees_throughout(run_path: Path, kind: Name, tmp_path: Path) -> None:
    run = of_kind(load_run(run_path), kind)
    graphs = device_graphs(split(run), LIMITS)
    found = trace(full_case(run), on_device(graphs, tmp_path), graphs)
    assert not found.departs, str(found)
    assert 0 < found.apart < 1e-5
    steps = 7 * ("hubsm_ie" in graphs) + 5 * ("hubsm_ipv" in graphs)
    # A step shows its outputs at least, a ranker a good part of what it computes.
    assert found.compared >= 2 * steps + len(graphs["crban"].graph.node) // 4
    assert "it is the graphs that depart from Keras" in str(found)


@pytest.mark.parametrize("kind", ["crban", "crban_plus", "dlcm"])
def test_another_number_is_found_at_its_place(run_path: Path, kind: Name, tmp_path: Path) -> None:
    """Every weight in turn, in every graph: the tensor that is named depends on it, what agreed before does not."""
    run = of_kind(load_run(run_path), kind)
    graphs = device_graphs(split(run), LIMITS)
    device, case = on_device(graphs, tmp_path), full_case(run)
    tried = 0
    for name, graph in graphs.items():
        for constant in graph.graph.initializer:
            values = numpy_helper.to_array(constant)
            if values.dtype != np.float32 or values.size < 3 or not np.ptp(values):
                continue
            found = trace(case, device, {**graphs, name: altered(graph, constant.name)})
            assert (found.departs, found.model) == (True, name), constant.name
            after = reached(graph, constant.name)
            assert found.tensor in after
            assert found.after not in after
            # The state's first step has zeros, which no recurrent kernel moves.
            assert found.step in ((1, 2) if name != "crban" else (None,))
            tried += 1
    assert tried > 10


def test_export_names_it(run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversion of other weights than the graph's, as a defect of a converter would be."""

    def wrong(source: Path, target: Path, *, precision: object) -> None:
        graph = onnx.load(source)
        if target.stem == "hubsm_ipv":
            kernel = next(node.input[1] for node in graph.graph.node if node.op_type == "GRU")
            graph = altered(graph, kernel)
        other = tmp_path / "other.onnx"
        other.write_bytes(graph.SerializeToString())
        convert_to_mnn(other, target)

    monkeypatch.setattr(bundle, "convert_to_mnn", wrong)
    with pytest.raises(ParityError, match=r"parity random_mnn .*; --trace names the first tensor"):
        bundle.export_bundle(run_path, tmp_path / "bundle", requests=5)
    with pytest.raises(
        ParityError, match=r"departs from ONNX Runtime at `.*` \(GRU\) of hubsm_ipv.onnx at behaviour 1"
    ):
        bundle.export_bundle(run_path, tmp_path / "bundle", requests=5, tracing=True)
    assert not (tmp_path / "bundle").exists()


def test_what_it_says() -> None:
    found = Traced(5, 0.5, "hubsm_ie", "t3_0", "GRU", 2, "t1", departs=True)
    assert str(found) == (
        "MNN departs from ONNX Runtime at `t3_0` (GRU) of hubsm_ie.onnx at behaviour 2, 0.5 apart relative to its row; "
        "`t1` before it agrees"
    )
    assert "it is the first that MNN shows" in str(replace(found, after=None))
