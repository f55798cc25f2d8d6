from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgerec.bundle.golden import run_case
from edgerec.bundle.manifest import DEVICE_MODELS, Precision
from edgerec.core.errors import ConversionError, ParityError
from edgerec.export.onnx_device import OnnxDevice
from edgerec.export.parity import check_random
from edgerec.export.random_cases import random_cases
from edgerec.export.split import device_graphs, reference_graphs, split
from edgerec.features.behaviours import Limits
from edgerec.kv.npz import open_table
from edgerec.model.runs import Run, load_run
from edgerec.rankers.ranker import Ranker
from edgerec.rankers.registry import MODELS
from tests.quicker import some_of
from tests.random_runs import of_model, on_device


@pytest.fixture(scope="module")
def run(run_path: Path) -> Run:
    return load_run(run_path)


def arrays_of(part: Any) -> Iterator[np.ndarray]:
    """Yield all arrays in a part of a split model."""
    if isinstance(part, np.ndarray):
        yield part
    elif isinstance(part, (tuple, dict)):
        for each in part.values() if isinstance(part, dict) else part:
            yield from arrays_of(each)
    elif is_dataclass(part):
        for field in fields(part):
            yield from arrays_of(getattr(part, field.name))


@pytest.mark.parametrize("model_name", MODELS)
def test_the_parts_have_every_weight_exactly_once(run: Run, model_name: str) -> None:
    run = of_model(run, model_name)
    parts = split(run)
    taken = [table[field] for table in (vars(one) for one in parts.tables.values()) for field in ("values", "unknown")]
    for part in (*parts.encoders.values(), parts.ranker):
        taken += arrays_of(part)
    assert sum(array.size for array in taken) == run.model.count_params()
    assert all(array.dtype == np.float32 for array in taken)
    # The sorted numbers of all parts equal the sorted numbers of the model.
    whole = np.concatenate([weight.ravel() for weight in run.model.get_weights()])
    np.testing.assert_array_equal(np.sort(np.concatenate([array.ravel() for array in taken])), np.sort(whole))


def test_tables_have_the_trained_rows(run: Run, bundle_path: Path) -> None:
    weights = run.model.item_embedding.tables["shop"].numpy()
    keys = run.vocabularies["shop"].keys
    table = open_table(bundle_path / "cloud" / "embeddings" / "shop")
    assert len(keys) >= 5
    rows, known = table.get_many(np.append(keys[::-1], [keys.max() + 1]))
    assert known.tolist() == [True] * len(keys) + [False]
    np.testing.assert_array_equal(rows[:-1][::-1], weights[1:])
    np.testing.assert_array_equal(rows[-1], weights[0])


def test_the_device_has_no_row_of_a_table(run: Run, bundle_path: Path) -> None:
    weights = run.model.item_embedding.tables["shop"].numpy()
    # No row and no number of the tables may be in a device file.
    rows = {row.tobytes() for row in weights}
    numbers = set(weights.ravel().tolist())
    built = [make(split(run), run.head.limits) for make in (device_graphs, reference_graphs)]
    files = {path.stem: onnx.load(path) for path in (bundle_path / "golden" / "onnx").iterdir()}
    assert len(files) == 2 * len(DEVICE_MODELS)
    for graph in (*files.values(), *built[0].values(), *built[1].values()):
        assert graph.graph.initializer
        for initializer in graph.graph.initializer:
            assert not numbers & set(numpy_helper.to_array(initializer).ravel().tolist()) - {0.0, 1.0}
    for name in DEVICE_MODELS:
        content = (bundle_path / "device" / f"{name}.mnn").read_bytes()
        assert not any(row in content for row in rows)
    # Check that the search works: it must find the weights of a GRU, which are in the files.
    bias = run.model.hubsm_ie.item_stack.grus[0].get_weights()[0]
    assert set(bias.ravel().tolist()) <= {
        value
        for initializer in files["hubsm_ie"].graph.initializer
        for value in numpy_helper.to_array(initializer).ravel().tolist()
    }
    content = (bundle_path / "device" / "hubsm_ie.mnn").read_bytes()
    assert np.float32(bias[0, 0]).tobytes() in content


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reset_after": False}, "reset_after should be True for MNN; received False"),
        ({"activation": keras.activations.relu}, "activation should be 'tanh'"),
        ({"recurrent_activation": keras.activations.hard_sigmoid}, "recurrent_activation should be 'sigmoid'"),
        ({"go_backwards": True}, "go_backwards should be False"),
    ],
)
def test_a_gru_that_mnn_computes_wrongly_is_an_error(
    run: Run, change: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gru = run.model.ranker.candidate_stack.grus[1]
    for name, value in change.items():
        monkeypatch.setattr(gru if name == "go_backwards" else gru.cell, name, value)
    with pytest.raises(ConversionError, match=said):
        split(run)


def test_inputs_of_graphs_have_the_lengths_of_the_limits(run: Run) -> None:
    graphs = device_graphs(split(run), Limits(candidates=7, exposures=5, page_views=3))
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graphs["crban"].graph.input, *graphs["crban"].graph.output)
    }
    assert shapes["candidates"][0] == shapes["logits"][0] == 7
    assert (shapes["exposure_keys"][0], shapes["page_view_mask"][0]) == (5, 3)
    assert replace(split(run), tables={}).tables == {}


@pytest.mark.parametrize("model_name", some_of(MODELS, fast=("crban_din", "crban_plus", "dnn_rank")))
def test_every_model_runs_on_the_device(run: Run, model_name: str, tmp_path: Path) -> None:
    """MNN and ONNX Runtime must give the logits of Keras. After a change of one Keras kernel by 1 %, they must not."""
    run = of_model(run, model_name)
    limits = Limits(candidates=6, exposures=7, page_views=5)
    graphs = device_graphs(split(run), limits)
    assert set(graphs) == {"crban", *(kind.step_model for kind in run.model.behaviour_kinds)}
    device = on_device(graphs, tmp_path)
    cases = random_cases(run.model, limits, seed=3, std=1.0)
    assert np.concatenate([case.logits for case in cases]).std() > 0.1
    found = check_random(cases, device, OnnxDevice.load(graphs))
    assert 0 < max(found.values()) < 5e-5
    kernel = next(weight for weight in run.model.ranker.trainable_variables if "kernel" in weight.name)
    kernel.assign(kernel * 1.01)
    with pytest.raises(ParityError):
        check_random(random_cases(run.model, limits, seed=3, std=1.0), device, OnnxDevice.load(graphs))


DRIFTS: dict[Precision, float] = {"fp32": 5e-5, "fp16": 0.1, "int8": 0.3}


@pytest.mark.parametrize(
    "factor", [pytest.param(1, marks=pytest.mark.slow), pytest.param(30, marks=pytest.mark.slow), 1000]
)
def test_crban_plus_keeps_parity_with_large_queries(run: Run, factor: float, tmp_path: Path) -> None:
    """In CRBAN+, nothing limits the size of the attention's queries. The test checks every precision."""
    run = of_model(run, "crban_plus")
    for attention in (run.model.ranker.exposure_attention, run.model.ranker.page_view_attention):
        attention.query_projection.kernel.assign(attention.query_projection.kernel * factor)
    limits = Limits(candidates=6, exposures=7, page_views=5)
    graphs = device_graphs(split(run), limits)
    assert not any(node.op_type == "Tanh" for node in graphs["crban"].graph.node)
    case = random_cases(run.model, limits, seed=3, std=1.0)[-1]
    for precision, drift in DRIFTS.items():
        device = on_device(graphs, tmp_path, precision=precision)
        assert np.abs(run_case(device, case) - case.logits).max() < drift, precision


@pytest.mark.parametrize("model_name", some_of(MODELS, fast=("crban_plus", "crban_din", "dlcm")))
def test_the_same_weights_give_the_same_bytes(run: Run, model_name: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
        on_device(
            device_graphs(split(of_model(run, model_name, anew=True)), Limits(candidates=6, exposures=7, page_views=5)),
            folder,
        )
    for path in folders[0].iterdir():
        assert path.read_bytes() == (folders[1] / path.name).read_bytes(), path.name


def test_a_layer_without_a_device_graph_is_an_error(run: Run) -> None:
    odd = SimpleNamespace(behaviour_kinds=(), settings=run.model.settings, ranker=Ranker(name="odd"))
    with pytest.raises(ConversionError, match="layer odd: there is no device graph for Ranker"):
        split(replace(run, model=odd))


def test_a_ranker_that_reads_other_behaviours_than_its_model_is_refused(run: Run) -> None:
    parts = split(run)
    with pytest.raises(ConversionError, match=r"readings` should have the kinds .*: \[\]; received \['exposures'"):
        device_graphs(replace(parts, encoders={}), run.head.limits)
