from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgerec.bench.plan import Plan
from edgerec.bundle.golden import read_case, write_case
from edgerec.bundle.manifest_file import read_bundle_manifest
from edgerec.bundle.peer_weights import FILE
from edgerec.core.errors import FormatError, InputError, IntegrityError
from edgerec.model.runs import Run, load_run
from tests.bench.in_this_process import bench_here
from tests.bundle.restamp import restamp, restamp_device
from tests.quicker import run_eagerly, shorten_parity_check
from tests.random_runs import of_model


@pytest.mark.parametrize(
    ("what", "stages", "peers"),
    [
        ("step", {"hubsm_ie", "hubsm_ipv"}, {"onnxruntime", "onnxruntime_io_binding", "onnxruntime_device_graph"}),
        ("rerank", {"rerank"}, {"onnxruntime", "onnxruntime_device_graph"}),
    ],
)
def test_the_document_has_a_row_for_each_implementation(
    what: str, stages: set[str], peers: set[str], bundle_path: Path
) -> None:
    document = bench_here(what, bundle_path, peers=True, rounds=2)
    rows = {(row["stage"], row["name"]): row for row in document["results"]}
    assert set(rows) == {(stage, name) for stage in stages for name in {"mnn", "edgerec"} | peers}
    for row in rows.values():
        assert 0 < row["min_us"] <= row["p50_us"] <= row["p90_us"] <= row["p99_us"]
        assert row["n"] == sum(len(samples) for samples in row["samples_us"]) > 0
    assert {(row["stage"], row["peer"]) for row in document["ratios"]} == {(s, p) for s in stages for p in peers}


@pytest.fixture(scope="module")
def with_peers(run_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle that also contains the models of other converters. To make it takes ten seconds.

    It has no weights for the peer Keras, because TensorFlow already runs in this process.
    """
    from edgerec.export import bundle as exporting

    def check_eagerly(*arguments: Any, **more: Any) -> Any:
        with run_eagerly():
            return check_parity(*arguments, **more)

    check_parity = exporting.check_parity
    path = tmp_path_factory.mktemp("peers") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        shorten_parity_check(patch)
        # The converters of the peers need traced functions, and the parity check does not.
        patch.setattr(exporting, "check_parity", check_eagerly)
        exporting.export_bundle(run_path, path, requests=5, peers=True)
    (path / FILE).unlink()
    restamp(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "peers"), [("step", {"litert"}), ("rerank", {"mnn_default_export", "mnn_default_export_as_is"})]
)
def test_models_of_other_converters_are_measured_as_peers(
    what: str, peers: set[str], with_peers: Path, tmp_path: Path
) -> None:
    document = bench_here(what, with_peers, peers=True, rounds=1)
    assert peers < {row["peer"] for row in document["ratios"]}
    versions = document["environment"]["versions"]
    assert versions["onnxruntime"]
    assert versions["ai-edge-litert" if what == "step" else "MNN"]
    assert "tf2onnx" in read_bundle_manifest(with_peers).tools
    bundle = Path(shutil.copytree(with_peers, tmp_path / "bundle"))
    name = "hubsm_ipv.tflite" if what == "step" else "crban.mnn"
    (bundle / "golden" / "peers" / name).write_bytes(b"no model" * 100)
    restamp(bundle)
    failed = bench_here(what, bundle, peers=True, rounds=1)
    assert [each["peer"] for each in failed["failed"]] == [min(peers)]
    assert f"{name} cannot be run by" in failed["failed"][0]["reason"]
    assert {row["peer"] for row in failed["ratios"]} == {row["peer"] for row in document["ratios"]} - peers


def scaled(content: bytes, weight: keras.Variable) -> bytes:
    """Multiply a weight in the bytes of a model by 1.1. The model may store the weight transposed."""
    value = weight.numpy()
    for array in (value, value.T):
        if content.count(array.tobytes()) == 1:
            return content.replace(array.tobytes(), (array * np.float32(1.1)).tobytes())
    raise AssertionError(f"{weight.path} is not in the model")


def peer_of_the_other_kind(bundle: Path) -> None:
    peers = bundle / "golden" / "peers"
    shutil.copy(peers / "hubsm_ipv.tflite", peers / "hubsm_ie.tflite")


def graph_of_the_other_kind(bundle: Path) -> None:
    graphs = bundle / "golden" / "onnx"
    shutil.copy(graphs / "hubsm_ipv_reference.onnx", graphs / "hubsm_ie_reference.onnx")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("step", "keys of hubsm_ie by litert differ from those by onnxruntime by"),
        ("rerank", "scores of mnn_default_export differ from those of the trained model by"),
    ],
)
def test_a_peer_with_another_function_is_left_out(
    what: str, message: str, with_peers: Path, run_path: Path, tmp_path: Path
) -> None:
    """One weight of the peer is 10 % larger than that of the trained model."""
    bundle, model = Path(shutil.copytree(with_peers, tmp_path / "bundle")), load_run(run_path).model
    name, weight = {
        "step": ("hubsm_ie.tflite", model.hubsm_ie.item_stack.grus[0].cell.kernel),
        "rerank": ("crban.mnn", model.ranker.output_layer.kernel),
    }[what]
    path = bundle / "golden" / "peers" / name
    path.write_bytes(scaled(path.read_bytes(), weight))
    restamp(bundle)
    document = bench_here(what, bundle, peers=True, rounds=1)
    [failed] = document["failed"]
    assert message in failed["reason"]
    assert "\n" not in failed["reason"]
    assert failed["peer"] not in {row["name"] for row in document["results"]}
    assert "onnxruntime" in {row["name"] for row in document["results"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "failed"),
    [(peer_of_the_other_kind, {"litert"}), (graph_of_the_other_kind, {"litert", "onnxruntime"})],
)
def test_a_peer_with_other_shapes_fails_and_the_others_are_measured(
    change: Callable[[Path], None], failed: set[str], with_peers: Path, tmp_path: Path
) -> None:
    """Keys and values of LiteRT can only be checked with the reference graphs, so it fails together with them."""
    bundle = Path(shutil.copytree(with_peers, tmp_path / "bundle"))
    change(bundle)
    restamp(bundle)
    document = bench_here("step", bundle, peers=True, rounds=1)
    assert {each["peer"] for each in document["failed"]} == failed
    assert not any("\n" in each["reason"] for each in document["failed"])
    peers = {"litert", "onnxruntime", "onnxruntime_io_binding", "onnxruntime_device_graph"}
    bound = {"onnxruntime_io_binding"} if "onnxruntime" in failed else set()
    assert {row["peer"] for row in document["ratios"]} == peers - failed - bound


@pytest.mark.slow
def test_a_bundle_with_reduced_precision_is_measured(run_path: Path, tmp_path: Path) -> None:
    """The 8-bit weights are as large as trained weights. With small weights, no rounding error would be visible."""
    from edgerec.export import bundle as exporting

    def load_with_large_weights(path: Path) -> Run:
        run = of_model(load_run(path), "crban")
        return replace(run, head=run.head.model_copy(update={"version_id": load_run(path).head.version_id}))

    with pytest.MonkeyPatch.context() as patch, run_eagerly():
        patch.setattr(exporting, "load_run", load_with_large_weights)
        shorten_parity_check(patch)
        exporting.export_bundle(run_path, tmp_path / "bundle", requests=5, precision="int8", gauc_tolerance=1.0)
    assert read_bundle_manifest(tmp_path / "bundle").parity.max_abs_error > 1e-3
    for what in ("step", "rerank"):
        assert bench_here(what, tmp_path / "bundle", peers=True, rounds=1)["ratios"]


def test_without_peers_only_mnn_and_edgerec_are_measured(bundle_path: Path) -> None:
    document = bench_here("rerank", bundle_path, rounds=1)
    assert [row["name"] for row in document["results"]] == ["mnn", "edgerec"]
    assert document["ratios"] == []


def test_invalid_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="bundle"):
        bench_here("step", tmp_path / "nothing")
    for name in ("rounds", "processes", "threads"):
        with pytest.raises(InputError, match=f"--{name} should be at least 1; received 0"):
            Plan("step", **{name: 0})
    with pytest.raises(InputError, match="--sustained should be"):
        Plan("step", sustained=0.0)
    with pytest.raises(InputError, match="expected one of step, rerank, "):
        Plan("nonsense")


def restamped(bundle_path: Path, tmp_path: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """Copy the bundle, change the file `name`, and update the hashes."""
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    (bundle / name).write_bytes(change((bundle / name).read_bytes()))
    restamp(bundle)
    return bundle


def with_other_weights(content: bytes) -> bytes:
    """Multiply the largest weight array of the graph by 1.1."""
    graph = onnx.load_from_string(content)
    weights = max(graph.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1.1), weights.name))
    return bytes(graph.SerializeToString())


@pytest.mark.parametrize(
    ("what", "graph", "message"),
    [
        ("step", "hubsm_ie_reference", "states of hubsm_ie by onnxruntime differ from those by mnn by"),
        ("step", "hubsm_ipv", "keys of hubsm_ipv by onnxruntime_device_graph differ"),
        ("rerank", "crban_reference", "scores of onnxruntime differ from those of the trained model by"),
        ("rerank", "crban", "scores of onnxruntime_device_graph differ from those of the trained model by"),
    ],
)
def test_a_peer_with_other_weights_is_left_out_and_the_others_are_measured(
    what: str, graph: str, message: str, bundle_path: Path, tmp_path: Path
) -> None:
    bundle = restamped(bundle_path, tmp_path, f"golden/onnx/{graph}.onnx", with_other_weights)
    assert bench_here(what, bundle, rounds=1)["ratios"] == []
    document = bench_here(what, bundle, peers=True, rounds=1)
    [failed] = document["failed"]
    assert message in failed["reason"]
    both = {"onnxruntime", "onnxruntime_device_graph"}
    assert both & {row["name"] for row in document["results"]} == both - {failed["peer"]}


def test_a_peer_without_a_valid_graph_fails(bundle_path: Path, tmp_path: Path) -> None:
    bundle = restamped(bundle_path, tmp_path, "golden/onnx/crban.onnx", lambda content: b"no graph" * 100)
    document = bench_here("rerank", bundle, peers=True, rounds=1)
    assert [row["peer"] for row in document["ratios"]] == ["onnxruntime"]
    [failed] = document["failed"]
    assert failed["peer"] == "onnxruntime_device_graph"
    assert "crban.onnx cannot be run by ONNX Runtime" in failed["reason"]
    assert "\n" not in failed["reason"]


def test_a_changed_graph_of_a_peer_is_refused_before_the_measurement(bundle_path: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    graph = bundle / "golden" / "onnx" / "crban_reference.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="crban_reference"):
        bench_here("rerank", bundle, peers=True, rounds=1)


def without_cases(bundle: Path) -> None:
    for path in (bundle / "golden").glob("case-*.npz"):
        path.unlink()
    restamp(bundle)


def without_the_full_case(bundle: Path) -> None:
    (bundle / "golden" / "case-12.npz").unlink()
    restamp(bundle)


def with_other_features(bundle: Path) -> None:
    path = bundle / "golden" / "case-12.npz"
    case = read_case(path)
    write_case(replace(case, exposure_item=case.exposure_item[:, 1:]), path)
    restamp(bundle)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no cases": (without_cases, "has no golden case"),
    "no case of full lengths": (without_the_full_case, r"case-11\.npz should have the full lengths"),
    "a case of other features": (with_other_features, r"case-12\.npz does not fit the models"),
    "another version": (
        lambda bundle: restamp_device(bundle, version_id="20250101000000-0123456789ab"),
        "received that of version 20250101000000-0123456789ab",
    ),
}


@pytest.mark.parametrize("what", ["step", "rerank"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_bundle_is_refused_in_one_line(fault: str, what: str, bundle_path: Path, tmp_path: Path) -> None:
    damage, message = FAULTS[fault]
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    damage(bundle)
    with pytest.raises(FormatError, match=message) as caught:
        bench_here(what, bundle, rounds=1)
    assert "\n" not in str(caught.value)
