from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.bench.children import environment_of_children
from edgerec.bench.peers.litert import LiteRt
from edgerec.bench.peers.numpy import ONE_THREAD, NumPy
from edgerec.bench.plan import Plan
from edgerec.bench.run import run_bench
from edgerec.bench.stages.stage import Others, load_checked_bundle
from edgerec.bench.stages.step import step_stages
from edgerec.bundle.layout import PEERS
from edgerec.bundle.peer_weights import FILE
from edgerec.export.peers import litert_step, write_arrays, write_peers
from edgerec.export.split import split
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.model.runs import load_run
from tests.bench.in_this_process import bench_here
from tests.bundle.restamp import restamp

FULL = {"numpy_full", "mnn_full", "onnxruntime_full"}


@pytest.fixture(scope="module")
def with_arrays(bundle_path: Path, run_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle with the files of peers that need no Keras."""
    bundle = Path(shutil.copytree(bundle_path, tmp_path_factory.mktemp("peers") / "bundle"))
    write_arrays(split(load_run(run_path)), bundle)
    restamp(bundle)
    return bundle


@pytest.fixture
def numpy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure NumPy in this process, and not Keras: TensorFlow runs here with several threads."""
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("edgerec.bench.peers.keras.Keras.missing", lambda _: "left out by the test")


def names(document: dict[str, Any], stage: str) -> set[str]:
    return {row["name"] for row in document["results"] if row["stage"] == stage}


@pytest.mark.usefixtures("numpy_alone")
def test_numpy_and_encoders_of_whole_sequences_compute_what_mnn_does(with_arrays: Path) -> None:
    """Every output is compared before the measurement, so a row shows that the peer is right."""
    document = bench_here("step", with_arrays, peers=True, rounds=1, sweep=True)
    assert document["failed"] == []
    assert "numpy" in names(document, "hubsm_ie") & names(document, "hubsm_ipv")
    lengths = {row["parameters"]["length"] for row in document["results"] if row["name"] in FULL}
    assert names(document, "sequence") >= FULL
    assert {1, document["sizes"]["exposures"]} <= lengths
    assert "numpy" in names(bench_here("rerank", with_arrays, peers=True, rounds=1), "rerank")


def test_litert_makes_the_steps_that_mnn_makes(with_arrays: Path, run_path: Path, tmp_path: Path) -> None:
    """Every output is compared. The models of steps are quick to convert; the others are tested with all peers."""
    model, bundle = load_run(run_path).model, Path(shutil.copytree(with_arrays, tmp_path / "bundle"))
    for kind in BEHAVIOUR_KINDS:
        (bundle / PEERS / f"{kind.step_model}.tflite").write_bytes(litert_step(model, kind))
    (bundle / PEERS / "crban.tflite").touch()
    restamp(bundle)
    others = Others({"litert": LiteRt(bundle)})
    stages = step_stages(load_checked_bundle(bundle), others)
    assert others.failures == {}
    assert [set(stage.implementations) for stage in stages] == [{"mnn", "edgerec", "litert"}] * 2


def changed(with_arrays: Path, tmp_path: Path, **change: Any) -> Path:
    bundle = Path(shutil.copytree(with_arrays, tmp_path / "bundle"))
    with np.load(bundle / FILE) as file:
        arrays = {**file, **{name.replace("__", "."): value for name, value in change.items()}}
    np.savez(bundle / FILE, **arrays)
    restamp(bundle)
    return bundle


@pytest.mark.usefixtures("numpy_alone")
def test_a_peer_with_a_wrong_answer_is_left_out_and_the_others_are_measured(with_arrays: Path, tmp_path: Path) -> None:
    bundle = changed(with_arrays, tmp_path, head__output_bias=np.ones(1, np.float32))
    document = bench_here("rerank", bundle, peers=True, rounds=1)
    [failed] = document["failed"]
    assert failed["peer"] == "numpy"
    assert "scores of numpy differ from those of the trained model by " in failed["reason"]
    assert names(document, "rerank") == {"mnn", "edgerec", "onnxruntime", "onnxruntime_device_graph"}
    assert "numpy" in names(bench_here("step", bundle, peers=True, rounds=1), "hubsm_ie")


@pytest.mark.usefixtures("numpy_alone")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head__output_bias": np.array([object()])}, "weights.npz cannot be read"),
        ({"layers": np.array(10**9)}, "should have 1 to 100 layers; received 1000000000"),
        ({"layers": np.array(99)}, "weights.npz cannot be read"),
        ({"layers": np.array([3])}, "should have 1 to 100 layers"),
    ],
)
def test_weights_that_cannot_be_read_are_a_failure_of_the_peer(
    change: dict[str, Any], message: str, with_arrays: Path, tmp_path: Path
) -> None:
    bundle = changed(with_arrays, tmp_path, **change)
    document = bench_here("rerank", bundle, peers=True, rounds=1)
    [failed] = document["failed"]
    assert failed["peer"] == "numpy"
    assert message in failed["reason"]


def test_numpy_with_several_threads_is_not_measured(with_arrays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ONE_THREAD:
        monkeypatch.delenv(name, raising=False)
    assert "several threads" in str(NumPy(with_arrays).missing())
    monkeypatch.setenv("MKL_NUM_THREADS", "4")
    with environment_of_children(ONE_THREAD):
        assert NumPy(with_arrays).missing() is None
    assert os.environ["MKL_NUM_THREADS"] == "4"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_onnx_runtime_runs_the_device_graphs_of_a_model_that_reads_matches(plus_path: Path) -> None:
    document = bench_here("rerank", plus_path / "bundle", peers=True, rounds=1)
    assert document["failed"] == []
    assert names(document, "rerank") >= {"mnn", "onnxruntime_device_graph"}


@pytest.mark.usefixtures("numpy_alone")
def test_without_onnx_runtime_the_other_peers_are_listed_and_mnn_is_measured(
    with_arrays: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    document = bench_here("step", with_arrays, peers=True, rounds=1)
    assert names(document, "hubsm_ie") == {"mnn", "edgerec"}
    [failed] = document["failed"]
    assert failed["peer"] == "numpy"
    assert "onnxruntime is not installed" in failed["reason"]
    assert "peer onnxruntime is not measured: onnxruntime is not installed" in capfd.readouterr().err
    assert "numpy" in names(bench_here("rerank", with_arrays, peers=True, rounds=1), "rerank")


@pytest.mark.slow
def test_all_peers_are_measured(bundle_path: Path, run_path: Path, tmp_path: Path) -> None:
    run = load_run(run_path)
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    write_peers(run.model, split(run), run.head.limits, bundle)
    restamp(bundle)
    assert {path.name for path in (bundle / PEERS).iterdir()} == {
        "weights.npz",
        "crban.mnn",
        "crban.tflite",
        *(
            f"hubsm_{kind}{suffix}"
            for kind in ("ie", "ipv")
            for suffix in (".tflite", "_full.tflite", "_full.mnn", "_full.onnx")
        ),
    }
    step = run_bench(bundle, Plan("step", peers=True, rounds=1, sweep=True)).to_json()
    rerank = run_bench(bundle, Plan("rerank", peers=True, rounds=1)).to_json()
    assert step["failed"] == rerank["failed"] == []
    assert names(step, "hubsm_ie") >= {"numpy", "keras", "litert", "onnxruntime", "onnxruntime_io_binding"}
    assert names(step, "sequence") >= {"step", "full", "keras_full", "litert_full", *FULL}
    assert names(rerank, "rerank") >= {"numpy", "keras", "litert", "onnxruntime", "mnn_default_export"}
    assert {"tensorflow", "keras", "ai-edge-litert"} <= set(step["environment"]["versions"])
