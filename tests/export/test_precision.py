"""Tests of the precisions of weights: size, error, and which precision `export` selects."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import numpy_helper

from edgerec.bundle.inspection import inspect_bundle
from edgerec.bundle.manifest import DEVICE_MODELS, Parity, Precision, PrecisionRow
from edgerec.bundle.manifest_file import read_bundle_manifest, read_device_manifest, write_manifest
from edgerec.bundle.signing import SigningKey
from edgerec.bundle.verify import verify_bundle
from edgerec.cli.tables.bundles import export_table, precision_table
from edgerec.core.errors import FormatError, InputError, ParityError
from edgerec.data.samples import VALIDATION, Samples
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.hubsm import HubsmStepper
from edgerec.device_runtime.ranker import DeviceRanker
from edgerec.export import halves
from edgerec.export.bundle import Exported, export_bundle
from edgerec.export.convert import convert_to_mnn
from edgerec.export.parity import TOLERANCE
from edgerec.export.precision import (
    GAUC_TOLERANCE,
    Latency,
    PrecisionResult,
    Wanted,
    as_stored,
    check_tolerance,
    choose,
    parity_of,
    random_drift,
)
from edgerec.export.random_cases import random_cases
from edgerec.export.real_requests import RealRequests
from edgerec.export.split import device_graphs, split
from edgerec.features.behaviours import BEHAVIOUR_KINDS, Limits
from edgerec.kv.npz import Table
from edgerec.model.runs import load_run
from tests.export.test_bundle import files_of, reseal
from tests.quicker import run_eagerly, shorten_parity_check
from tests.synthetic import relabelled

SMALL = Limits(candidates=5, exposures=6, page_views=4)
REQUESTS = 25


Exports = Callable[[Wanted], tuple[Path, Exported]]


@pytest.fixture(scope="module")
def exported(run_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Return a function that exports the run in a precision, once. It returns the folder and the result."""
    root = tmp_path_factory.mktemp("precisions")

    @cache
    def export(name: Wanted) -> tuple[Path, Exported]:
        with pytest.MonkeyPatch.context() as patch, run_eagerly():
            patch.setenv("SOURCE_DATE_EPOCH", "1735689600")
            shorten_parity_check(patch)
            more = {"requests": REQUESTS, "precision": name, "gauc_tolerance": 1.0}
            return root / name, export_bundle(run_path, root / name, **more)  # type: ignore[arg-type]

    return export


@pytest.mark.parametrize("name", ["fp16", pytest.param("int8", marks=pytest.mark.slow)])
def test_each_reduced_precision_is_smaller_and_passes_verification(
    name: Precision, exported: Exports, bundle_path: Path
) -> None:
    path, found = exported(name)
    manifest = read_bundle_manifest(path)
    assert manifest == found.manifest
    assert {manifest.precision, read_device_manifest(path / "device").precision} == {name}
    assert manifest.precisions.keys() == {"fp32", name}
    row, whole = manifest.precisions[name], manifest.precisions["fp32"]
    assert row.device_bytes == manifest.bytes_under("device")
    assert whole.device_bytes == read_bundle_manifest(bundle_path).bytes_under("device")
    assert row.device_bytes < 0.9 * whole.device_bytes
    assert whole.drift < 1e-5 < row.drift < 0.01
    assert whole.gauc_difference == pytest.approx(0, abs=1e-9)
    assert row.gauc_difference is not None

    # The manifest has the results of the parity check for fp32, and also those for the bundle's own precision.
    parity = manifest.parity
    assert parity.checks.keys() >= {"random_mnn", "random_onnx", "real_mnn", f"random_{name}", f"real_{name}"}
    assert max(error for check, error in parity.checks.items() if not check.endswith(name)) < 1e-5
    assert parity.max_abs_error == max(parity.checks[f"random_{name}"], parity.checks[f"real_{name}"])
    assert parity.tolerance == pytest.approx(2 * parity.checks[f"random_{name}"], rel=0.1)
    assert parity.requests == min(REQUESTS, parity.requests) > 20

    verified = verify_bundle(path)
    assert (verified["precision"], verified["golden_cases"]) == (name, 13)
    assert TOLERANCE / 10 < verified["parity_max_abs"] <= parity.checks[f"random_{name}"] + 1e-5
    assert inspect_bundle(path)["precisions"] == {key: one.model_dump() for key, one in manifest.precisions.items()}


@pytest.mark.slow
def test_latencies_are_printed_but_not_in_the_manifest(exported: Exports) -> None:
    path, found = exported("auto")
    rows = found.summary()["precisions"]
    assert list(rows) == ["fp32", "fp16", "int8"]
    assert all(row["rerank_p50_us"] > 0 and row["step_p50_us"] > 0 for row in rows.values())
    assert "p50" not in (path / "manifest.json").read_text()


def test_auto_selects_the_smallest_precision(exported: Exports) -> None:
    path, found = exported("auto")
    sizes = {name: row.device_bytes for name, row in found.manifest.precisions.items()}
    chosen = min(sizes, key=lambda name: sizes[name])
    assert found.manifest.precision == chosen != "fp32"
    other = exported(chosen)[0]
    assert files_of(path) == files_of(other)
    for name in DEVICE_MODELS:
        file = f"device/{name}.mnn"
        assert (path / file).read_bytes() == (other / file).read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_two_exports_of_rounded_weights_have_equal_bytes(
    run_path: Path,
    exported: Exports,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1735689600")
    path, _ = exported("fp16")
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    more: dict[str, Any] = {"precision": "fp16", "gauc_tolerance": 1.0, "sign_key": key}
    export_bundle(run_path, tmp_path / "again", requests=REQUESTS, **more)
    assert verify_bundle(tmp_path / "again", public_key=key.public)["signature"] == "valid"
    signatures = [f"{part}manifest.json.sig" for part in ("", "cloud/", "device/")]
    assert files_of(tmp_path / "again") == sorted([*files_of(path), *signatures])
    for name in files_of(path):
        assert (tmp_path / "again" / name).read_bytes() == (path / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_export_writes_nothing_if_gauc_cannot_be_computed(run_path: Path, samples: Samples, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--gauc-tolerance should be a finite number of at least 0; received -1"):
        export_bundle(run_path, tmp_path / "bundle", gauc_tolerance=-1.0)
    silent = relabelled(samples, tmp_path / "samples", VALIDATION, np.zeros_like)
    with pytest.raises(ParityError, match=r"--precision fp16: GAUC needs a validation request .* unclicked"):
        export_bundle(run_path, tmp_path / "bundle", samples_path=silent.path, requests=5, precision="fp16")
    assert [path.name for path in tmp_path.iterdir()] == ["samples"]


def measured(size: int, difference: float | None, drift: float = 0.001) -> PrecisionResult:
    row = PrecisionRow(device_bytes=size, drift=drift, gauc_difference=difference)
    return PrecisionResult(row=row, random=drift, latency=Latency(1.0, None))


def test_choose_returns_the_smallest_precision_within_the_tolerance() -> None:
    rows: dict[Precision, PrecisionResult] = {
        "fp32": measured(100, 0.0),
        "fp16": measured(50, 4e-4),
        "int8": measured(40, 1e-3),
    }
    assert choose(rows, "auto", tolerance=None) == "fp16"
    assert choose(rows, "auto", tolerance=1e-3) == "int8"
    assert choose(rows, "auto", tolerance=1e-4) == "fp32"
    assert choose(rows, "auto", tolerance=0.0) == "fp32"
    assert choose({**rows, "int8": measured(50, 1e-5)}, "auto", tolerance=None) == "fp16"
    assert choose({**rows, "int8": measured(40, None)}, "auto", tolerance=1.0) == "fp16"
    assert choose({name: measured(1, None) for name in rows}, "auto", tolerance=None) == "fp32"
    for wanted in ("fp16", "int8", "fp32"):
        assert choose(rows, wanted, tolerance=None) == wanted  # type: ignore[arg-type]
    assert choose({}, "fp32", tolerance=None) == "fp32"


@pytest.mark.parametrize("wanted", ["fp16", "int8"])
def test_each_precision_has_a_default_tolerance(wanted: Precision) -> None:
    allowed = GAUC_TOLERANCE[wanted]
    assert choose({wanted: measured(1, allowed)}, wanted, tolerance=None) == wanted
    with pytest.raises(ParityError, match=f"--precision {wanted}: GAUC on validation .* at most {allowed:g}; received"):
        choose({wanted: measured(1, allowed * 1.01)}, wanted, tolerance=None)
    with pytest.raises(ParityError, match="at most 1e-09; received"):
        choose({wanted: measured(1, 1e-8)}, wanted, tolerance=1e-9)
    with pytest.raises(ParityError, match="logits are NaN or infinite"):
        choose({}, wanted, tolerance=1.0)


def test_fp32_is_compared_with_a_given_tolerance() -> None:
    assert choose({"fp32": measured(1, 0.1)}, "fp32", tolerance=None) == "fp32"
    with pytest.raises(ParityError, match="--precision fp32"):
        choose({"fp32": measured(1, 0.1)}, "fp32", tolerance=0.01)
    for odd in (float("nan"), float("inf"), -1e-9):
        with pytest.raises(InputError, match="--gauc-tolerance"):
            check_tolerance(odd)


@pytest.mark.parametrize(
    ("random", "tolerance"), [(0.0, 1e-4), (4e-5, 1e-4), (0.004, 0.008), (0.00601, 0.013), (0.0123, 0.025), (3.0, 6.0)]
)
def test_the_tolerance_of_golden_cases_is_twice_the_drift_rounded_up(random: float, tolerance: float) -> None:
    fp32 = Parity(max_abs_error=1e-6, tolerance=TOLERANCE, checks={"random_mnn": 1e-6}, requests=9, orders_equal=9)
    real = RealRequests(max_abs_error=7.0, requests=8, orders_equal=5, gauc={"keras": 0.5, "mnn": 0.5})
    parity = parity_of("fp16", measured(1, 0.0, random), fp32, real)
    assert parity.tolerance == tolerance
    assert (parity.max_abs_error, parity.requests, parity.orders_equal) == (7.0, 8, 5)
    assert parity.checks == {"random_mnn": 1e-6, "random_fp16": random, "real_fp16": 7.0}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("product", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_half_precision_keeps_the_bounds_of_the_graphs(
    product: bool, run_path: Path, bundle_path: Path, tmp_path: Path
) -> None:
    """If the lower bound of a sum were rounded to zero, requests without behaviours would have very different scores.

    Their scores would contain 0 / 0, which is NaN, and MNN turns some NaN into 0.
    """
    run = load_run(run_path)
    rng = np.random.default_rng(0)
    run.model.set_weights([rng.normal(size=weight.shape).astype(np.float32) for weight in run.model.get_weights()])
    if not product:  # Make attention scores too large for the product form.
        for attention in (run.model.ranker.exposure_attention, run.model.ranker.page_view_attention):
            attention.scale.assign(attention.scale * 30.0)
    cases = random_cases(run.model, SMALL, seed=1, std=1.0)
    assert any(len(case.exposure_action) == len(case.page_view_action) == 0 for case in cases)
    graphs = device_graphs(split(run), SMALL)
    assert any(node.op_type == "Tanh" for node in graphs["crban"].graph.node) is not product
    drifts = {}
    for precision in ("fp32", "fp16", "int8"):
        for name, graph in graphs.items():
            (tmp_path / f"{name}.onnx").write_bytes(graph.SerializeToString())
            convert_to_mnn(tmp_path / f"{name}.onnx", tmp_path / f"{name}.mnn", precision=precision)  # type: ignore[arg-type]
        device = DeviceModel(
            version_id="",
            spec=run.head.spec,
            limits=SMALL,
            steppers={kind: HubsmStepper(tmp_path / f"{kind.step_model}.mnn") for kind in BEHAVIOUR_KINDS},
            ranker=DeviceRanker(tmp_path / "crban.mnn"),
        )
        none = [case for case in cases if not len(case.exposure_action) or not len(case.page_view_action)]
        drifts[precision] = [random_drift(precision, device, some)[0] for some in (none, cases)]
    assert max(drifts["fp32"]) < 1e-4
    assert max(drifts["fp16"]) < 0.1
    assert max(drifts["int8"]) < 0.5


def test_as_stored_rounds_rows_if_tables_have_half_precision() -> None:
    values = np.array([[1 / 3, 1e-9, 2.0]], np.float32)
    table = Table(np.array([7]), values, values[0] * 5)
    same, half = as_stored({"a": table}, "float32")["a"], as_stored({"a": table}, "float16")["a"]
    np.testing.assert_array_equal(same.values, values)
    np.testing.assert_array_equal(half.values, values.astype(np.float16).astype(np.float32))
    assert half.values.dtype == half.unknown.dtype == np.float32
    assert half.values[0, 0] != values[0, 0]
    assert half.unknown[0] == np.float32(np.float16(values[0, 0] * 5))


def test_a_device_half_in_another_precision_is_an_error(exported: Exports, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(exported("fp16")[0], tmp_path / "bundle"))
    device = read_device_manifest(bundle / "device")
    write_manifest(device.model_copy(update={"precision": "int8"}), bundle / "device")
    reseal(bundle)
    for read in (verify_bundle, inspect_bundle):
        with pytest.raises(
            FormatError, match=r"device half of version \S+ \(fp16\); received that of version \S+ \(int8\)"
        ):
            read(bundle)


def test_an_old_manifest_without_precisions_is_read(bundle_path: Path) -> None:
    manifest = read_bundle_manifest(bundle_path)
    assert (manifest.precision, manifest.precisions) == ("fp32", {})
    document = json.loads((bundle_path / "manifest.json").read_text())
    del document["precisions"]
    assert type(manifest).model_validate(document) == manifest


def test_the_printed_tables_have_all_precisions_and_columns(exported: Exports) -> None:
    from rich.console import Console

    console = Console(width=120)
    with console.capture() as capture:
        console.print(export_table({"bundle": "b", **exported("auto")[1].summary(), "signed": False}))
    lines = capture.get().splitlines()
    assert any(line.startswith("GAUC") and re.search(r"on these \d+ real requests", line) for line in lines)
    document = inspect_bundle(exported("auto")[0])
    with console.capture() as other:
        console.print(precision_table(document["precisions"]))
    assert [line.split()[0] for line in other.get().splitlines()[-3:]] == ["fp32", "fp16", "int8"]
    assert [line.split()[0] for line in lines[-3:]] == ["fp32", "fp16", "int8"]
    assert all(title in lines[-4] for title in ("device bytes", "drift", "GAUC", "re-rank", "step"))


@pytest.mark.usefixtures("eager")
def test_export_writes_nothing_if_gauc_exceeds_the_tolerance(
    run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The conversion to int8 changes the sign of the ranker's last weights, so the ranker reverses every order."""

    def with_wrong_sign(source: Path, target: Path, *, precision: Precision) -> None:
        graph = onnx.load(source)
        if precision == "int8" and target.stem == "crban":
            last = next(node.input[1] for node in reversed(graph.graph.node) if node.op_type == "MatMul")
            (kernel,) = (each for each in graph.graph.initializer if each.name == last)
            kernel.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(kernel), last))
        other = tmp_path / "other.onnx"
        other.write_bytes(graph.SerializeToString())
        convert_to_mnn(other, target, precision=precision)

    monkeypatch.setattr(halves, "convert_to_mnn", with_wrong_sign)
    with pytest.raises(ParityError, match=r"--precision int8: GAUC on validation .* at most 0\.002; received"):
        export_bundle(run_path, tmp_path / "bundle", requests=1000, precision="int8")
    assert not (tmp_path / "bundle").exists()
