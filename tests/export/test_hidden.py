"""The output `hidden`, which a user's patch reads: in graphs, on the device, in the parity check and in bundles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgerec.bundle.manifest import RANKING_MODEL, Precision
from edgerec.core.errors import ConversionError, NotFiniteError, ParityError, PluginError, SessionError
from edgerec.device_runtime.ranker import DeviceRanker
from edgerec.device_runtime.session import Session
from edgerec.export.onnx_device import OnnxDevice
from edgerec.export.parity import check_random
from edgerec.export.random_cases import with_keras
from edgerec.export.split import SplitModel, device_graphs
from edgerec.features.behaviours import Limits
from edgerec.graphs.ranking import RankerGraph
from edgerec.model.runs import Run, load_run
from edgerec.rankers.ranker import Ranker
from edgerec.rankers.registry import MODELS
from tests.device_runtime.test_ranker import case as request_of
from tests.hidden_layers import LIMITS, build, logits_of, without_hidden
from tests.mnn_models import CANDIDATES, EXPOSURES, PAGE_VIEWS, built, to_mnn
from tests.quicker import some_of
from tests.random_runs import of_model, on_device


@pytest.fixture(scope="module")
def run(run_path: Path) -> Run:
    return load_run(run_path)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("model_name", some_of(MODELS, fast=("crban", "crban_plus", "dlcm", "dnn_rank")))
def test_hidden_layer_of_every_model_is_that_of_keras_in_every_engine(run: Run, model_name: str) -> None:
    run = of_model(run, model_name)
    made = build(run)
    widths = {case.hidden.shape[1] for case in made.cases if case.hidden is not None}
    assert widths == {run.model.settings.units}
    for case in made.cases:
        np.testing.assert_allclose(logits_of(run, case), case.logits, atol=2e-6)
    (again,) = with_keras(run.model, [made.cases[-1]], LIMITS)
    (other,) = with_keras(run.model, [made.cases[-1]], LIMITS, hidden=True)
    np.testing.assert_array_equal(other.logits, again.logits)
    # ReLU layers have zeros. Other numbers have to differ, or the test would show little.
    layers = np.concatenate([case.hidden for case in made.cases if case.hidden is not None])
    assert layers.std() > 0.05
    assert max(made.check().values()) < 5e-5
    assert without_hidden(made.graphs[RANKING_MODEL]) == made.without[RANKING_MODEL].SerializeToString(
        deterministic=True
    )


DRIFTS: dict[Precision, float] = {"fp16": 0.02, "int8": 0.2}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("model_name", some_of(MODELS, fast=("crban",)))
def test_rounded_weights_change_the_hidden_layer_only_a_little(run: Run, model_name: str) -> None:
    made = build(of_model(run, model_name))
    for precision, drift in DRIFTS.items():
        found = made.check(precision)
        assert 0 < found["mnn_hidden"] < drift, precision
        assert found["onnx_hidden"] < 5e-5


@pytest.mark.usefixtures("eager")
def test_a_wrong_hidden_layer_with_right_logits_fails_the_parity_check(run: Run, tmp_path: Path) -> None:
    made = build(of_model(run, "crban"))
    device, reference = on_device(made.graphs, tmp_path), OnnxDevice.load(made.graphs)
    found = check_random(made.cases, device, reference)
    assert found.keys() == {"random_mnn", "random_onnx", "random_mnn_hidden", "random_onnx_hidden"}
    assert 0 < max(found.values()) < 5e-5
    last = made.cases[-1]
    assert last.hidden is not None
    wrong = last.hidden.copy()
    wrong[2, 1] += np.float32(0.001)
    with pytest.raises(ParityError, match=r"random_mnn .* number 1 of the hidden layer of candidate 2 should be"):
        check_random([replace(last, hidden=wrong)], device, reference)
    # A graph that returns the layer before its activation has right logits, too.
    graph = onnx.ModelProto()
    graph.CopyFrom(made.graphs[RANKING_MODEL])
    graph.graph.node[-1].input[0] = next(n for n in reversed(graph.graph.node) if n.op_type == "Relu").input[0]
    other = OnnxDevice.load({**made.graphs, RANKING_MODEL: graph})
    with pytest.raises(ParityError, match=r"random_onnx .* of the hidden layer of candidate"):
        check_random([last], device, other)
    plain = on_device({RANKING_MODEL: made.without[RANKING_MODEL]}, tmp_path)
    with pytest.raises(ParityError, match=r"the hidden layer should have shape \(6, 8\); received None"):
        check_random([last], replace(device, ranker=plain.ranker), reference)


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    limits = Limits(candidates=CANDIDATES, exposures=EXPOSURES, page_views=PAGE_VIEWS)
    return built().model.crban.build(limits, hidden=True)


@pytest.fixture(scope="module")
def model(graph: onnx.ModelProto) -> bytes:
    return to_mnn(graph)


def test_the_device_returns_the_hidden_layer_at_no_command(graph: onnx.ModelProto, model: bytes) -> None:
    plain, ranker = DeviceRanker(built().crban), DeviceRanker(model)
    assert (plain.hidden_width, ranker.hidden_width) == (0, 32)
    one = request_of(built(), 11, (7, 5))
    found, without = (each.score_cards(one.candidates, one.exposures, one.page_views) for each in (ranker, plain))
    assert without.hidden is None
    assert found.hidden is not None
    assert (found.hidden.shape, found.hidden.dtype, found.vectors) == ((11, 32), np.float32, None)
    head = built().model.crban.head
    np.testing.assert_allclose(found.hidden @ head.output_kernel[:, 0] + head.output_bias, found.logits, atol=2e-6)
    np.testing.assert_array_equal(found.logits, without.logits)
    np.testing.assert_array_equal(found.logits, ranker.score(one.candidates, one.exposures, one.page_views))
    kept = found.hidden.copy()
    ranker.score(one.candidates * np.float32(3), one.exposures, one.page_views)
    np.testing.assert_array_equal(found.hidden, kept)
    assert len(Session(model).commands()) == len(Session(built().crban).commands())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_hidden_layer_that_is_not_finite_is_an_error(
    model: bytes, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranker = DeviceRanker(model)
    one = request_of(built(), 3, (2, 2))
    layer = np.zeros((CANDIDATES, 32), np.float32)
    layer[2, 31] = value
    monkeypatch.setattr(ranker, "_more", {"hidden": layer})
    with pytest.raises(NotFiniteError, match="NaN or infinity in `hidden`"):
        ranker.score(one.candidates, one.exposures, one.page_views)
    assert ranker.rank(one.candidates, one.exposures, one.page_views).tolist() == [0, 1, 2]
    two = request_of(built(), 2, (2, 2))  # numbers of padding are ignored
    assert ranker.score_cards(two.candidates, two.exposures, two.page_views).hidden is not None


@pytest.mark.parametrize(
    ("name", "perm", "shape"), [("hidden", [1, 0], (32, CANDIDATES)), ("other", [0, 1], (CANDIDATES, 32))]
)
def test_a_ranking_model_with_a_wrong_output_is_refused(
    graph: onnx.ModelProto, name: str, perm: list[int], shape: tuple[int, int]
) -> None:
    odd = onnx.ModelProto()
    odd.CopyFrom(graph)
    source = odd.graph.node.pop().input[0]
    odd.graph.output.pop()
    odd.graph.node.append(helper.make_node("Transpose", [source], [name], name=name, perm=perm))
    odd.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    with pytest.raises(SessionError, match=rf"`hidden` of shape \(20, width\)\. Received: .*'{name}': \({shape[0]}, "):
        DeviceRanker(to_mnn(odd))


class _Plain(RankerGraph):
    """A graph as of a package that knows nothing of patches."""

    def build(self, limits: Limits) -> onnx.ModelProto:  # type: ignore[override]
        return onnx.ModelProto()


def test_a_ranker_without_a_hidden_layer_is_refused_only_if_asked(run: Run) -> None:
    parts = SplitModel({}, _Plain(), {})
    assert device_graphs(parts, LIMITS).keys() == {RANKING_MODEL}
    with pytest.raises(ConversionError, match="`_Plain` has no hidden layer for patches: it should define"):
        device_graphs(parts, LIMITS, hidden=True)
    with pytest.raises(ConversionError, match="layer odd: Ranker has no hidden layer for patches"):
        Ranker(name="odd").hidden_and_logits(SimpleNamespace())  # type: ignore[arg-type]


@pytest.mark.usefixtures("eager")
def test_a_hidden_layer_of_a_wrong_shape_is_an_error_of_the_ranker(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run = of_model(run, "dnn_rank")
    right = run.model.ranker.hidden_and_logits
    monkeypatch.setattr(run.model.ranker, "hidden_and_logits", lambda inputs: right(inputs)[::-1])
    with pytest.raises(PluginError, match="hidden_and_logits should return the hidden layer of each scored candidate"):
        build(run)
