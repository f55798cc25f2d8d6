"""`edgerec export`: split a model, convert it, check parity, and write the bundle (docs/formats.md)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import onnx

from edgerec.bundle.files import stamp_files
from edgerec.bundle.golden import GoldenCase, write_case
from edgerec.bundle.layout import CLOUD, DEVICE, EMBEDDINGS, GOLDEN, PEERS
from edgerec.bundle.load import load_device_model
from edgerec.bundle.manifest import BundleManifest, CloudManifest, DeviceManifest, ModelFile, Parity, Precision
from edgerec.bundle.manifest_file import read_device_manifest, sign_bundle, write_manifest
from edgerec.bundle.signing import SigningKey, check_signing_key
from edgerec.core.atomic import check_output, output_folder, write_bytes, write_json
from edgerec.core.console import stage
from edgerec.core.errors import ConversionError, InputError, ParityError, ShapeError, first_line
from edgerec.data.samples import TEST, Samples
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.export.convert import convert_to_mnn
from edgerec.export.onnx_device import OnnxDevice
from edgerec.export.parity import UNBOUNDED, CaseError, check_random
from edgerec.export.peers import check_peers, write_peers
from edgerec.export.precision import (
    PrecisionResult,
    Wanted,
    as_stored,
    check_tolerance,
    choose,
    measure,
    parity_of,
    precisions_of,
)
from edgerec.export.random_cases import LONG, SEEDS, STANDARD_DEVIATIONS, long_case, random_cases
from edgerec.export.real_requests import check_real, step_through, summarise
from edgerec.export.split import SplitModel, device_graphs, reference_graphs, split
from edgerec.export.trace import Trace
from edgerec.export.trace import trace as trace_case
from edgerec.kv.shard_writer import SHARD_ROWS, TableDtype, blocks, write_table
from edgerec.kv.table_entry import TableEntry
from edgerec.model.run_head import check_fit, samples_of
from edgerec.model.runs import Run, load_run, tool_versions

GOLDEN_CASES = 12
TRACE = "trace"
SCRATCH = "precisions"
"""A temporary folder with the device half in every precision. It is removed when one is chosen."""


@dataclass(frozen=True)
class Exported:
    """A bundle that was written.

    Attributes:
        manifest: the manifest of the bundle.
        measured: the precisions that were measured, with their latencies; empty if none was measured.
    """

    manifest: BundleManifest
    measured: Mapping[Precision, PrecisionResult]

    def summary(self) -> dict[str, Any]:
        """Return what the command prints."""
        return {**self.manifest.summary(), "precisions": {name: one.document() for name, one in self.measured.items()}}


def export_bundle(
    run_path: Path,
    path: Path,
    *,
    samples_path: Path | None = None,
    requests: int = 1000,
    precision: Wanted = "fp32",
    gauc_tolerance: float | None = None,
    table_dtype: TableDtype = "float32",
    shard_rows: int = SHARD_ROWS,
    sign_key: SigningKey | None = None,
    trace: bool = False,
    peers: bool = False,
    force: bool = False,
) -> Exported:
    """Export the run at `run_path` as the bundle `path`. A bundle is written only if the parity check succeeds.

    The parity check always runs in fp32. If weights or embedding rows are rounded, or `gauc_tolerance` is given, GAUC
    on validation requests must also be within the tolerance.

    Args:
        run_path: a run folder.
        path: the bundle to write.
        samples_path: the samples for the parity check; by default those of the training.
        requests: number of real requests to compare. They are of the test period, and for GAUC of the validation
            period.
        precision: the precision of the device's weights. `auto` selects the smallest within the tolerance.
        gauc_tolerance: the allowed difference between the GAUC of MNN and that of Keras. None selects the default of
            `precision`; fp32 has no default and no limit.
        table_dtype: the data type of the stored embedding tables.
        shard_rows: number of keys in a shard of an embedding table.
        sign_key: the key that signs the manifests; None leaves them unsigned.
        trace: if the parity check in fp32 fails, name the first tensor that differs between MNN and ONNX Runtime, and
            store graphs, models and request in a folder beside `path`.
        peers: also write the peers that `edgerec bench --peers` measures (`edgerec.export.peers`).
        force: replace `path` if it exists.

    Raises:
        InputError: `requests`, `gauc_tolerance`, `shard_rows` or SOURCE_DATE_EPOCH is not valid, a table has numbers
            too large for `table_dtype`, or there are no peers for this model.
        FormatError: the run or the samples cannot be read.
        SpecificationError: the samples do not fit the run.
        ConversionError: MNN cannot compute this model.
        ParityError: the logits of the converted models, or GAUC, differ by more than the tolerance.
        OutputError: `path` exists and `force` is false, or `path` overlaps with the run or the samples.
    """
    if requests < 1:
        raise InputError(f"export: --requests should be at least 1; received {requests}")
    if shard_rows < 1:
        raise InputError(f"export: --shard-rows should be at least 1; received {shard_rows}")
    check_tolerance(gauc_tolerance)
    if sign_key is not None:
        check_signing_key(sign_key)
    created = _created()
    run = load_run(run_path)
    samples = samples_of(run.head, samples_path)
    check_fit(run.head, run.vocabularies, samples)
    if peers:
        check_peers(run.model)
    trace_path = path.with_name(f"{path.name}.{TRACE}") if trace else None
    if trace_path is not None:
        check_output(trace_path, force=True, kind=TRACE, inputs=[run_path, samples.path])
    with output_folder(path, force=force, kind="bundle", inputs=[run_path, samples.path]) as folder:
        with stage("split and convert"):
            parts = _split(run, run_path)
            graphs = device_graphs(parts, run.head.limits)
            _write_graphs(run, parts, graphs, folder)
            if peers:
                write_peers(run.model, run.head.limits, folder / PEERS)
            halves: dict[Precision, Path] = {name: folder / SCRATCH / name for name in precisions_of(precision)}
            for name, half in halves.items():
                _write_device(run, graphs, folder, half, name)
            tables = _write_tables(run, parts, folder, dtype=table_dtype, shard_rows=shard_rows)
        checked = _check_parity(run, samples, parts, graphs, halves["fp32"], requests, trace_path=trace_path)
        parity, gauc = checked.parity, checked.gauc
        chosen: Precision = "fp32"
        measured: dict[Precision, PrecisionResult] = {}
        if precision != "fp32" or table_dtype != "float32" or gauc_tolerance is not None:
            served = as_stored(parts.tables, table_dtype)
            with stage("measure precisions"):
                measured = measure(run.model, samples, served, halves, checked.cases, requests=requests)
            chosen = choose(measured, precision, tolerance=gauc_tolerance)
            if chosen != "fp32":
                with stage(f"real requests in {chosen}"):
                    device = {chosen: load_device_model(halves[chosen])}
                    real = step_through(
                        run.model, samples, served, device, requests=requests, split=TEST, tolerance=UNBOUNDED
                    )[chosen]
                parity, gauc = parity_of(chosen, measured[chosen], checked.parity, real), real.gauc
        (halves[chosen] / DEVICE).rename(folder / DEVICE)
        shutil.rmtree(folder / SCRATCH)
        manifest = _finish(run, folder, checked.golden, parity, gauc, tables, measured, created)
        if sign_key is not None:
            sign_bundle(folder, sign_key)
        return Exported(manifest, measured)


def _split(run: Run, path: Path) -> SplitModel:
    """Split the model. An error in the weights names the run at `path`."""
    try:
        return split(run)
    except ShapeError as error:
        raise ConversionError(
            f"export: {path} has weights that a device cannot compute with ({error}): train it again"
        ) from None


def _write_graphs(run: Run, parts: SplitModel, graphs: Mapping[str, onnx.ModelProto], folder: Path) -> None:
    onnx_folder = folder / GOLDEN / "onnx"
    onnx_folder.mkdir(parents=True)
    references = {f"{name}_reference": graph for name, graph in reference_graphs(parts, run.head.limits).items()}
    for name, graph in {**graphs, **references}.items():
        write_bytes(onnx_folder / f"{name}.onnx", graph.SerializeToString(deterministic=True))


def _write_device(
    run: Run, graphs: Mapping[str, onnx.ModelProto], folder: Path, half: Path, precision: Precision
) -> None:
    """Convert the graphs, and write the device half into the folder `half`."""
    device = half / DEVICE
    device.mkdir(parents=True)
    models = {}
    for name, graph in graphs.items():
        convert_to_mnn(folder / GOLDEN / "onnx" / f"{name}.onnx", device / f"{name}.mnn", precision=precision)
        models[name] = ModelFile(
            file=f"{name}.mnn", inputs=_shapes(graph.graph.input), outputs=_shapes(graph.graph.output)
        )
    manifest = DeviceManifest(
        version_id=run.head.version_id,
        precision=precision,
        spec=run.head.spec.model_dump(mode="json"),
        limits=run.head.limits.model_dump(),
        models=models,
        files=stamp_files(device, device.glob("*.mnn")),
    )
    write_manifest(manifest, device)


def _write_tables(
    run: Run, parts: SplitModel, folder: Path, *, dtype: TableDtype, shard_rows: int
) -> dict[str, TableEntry]:
    cloud = folder / CLOUD
    entries = {
        name: write_table(
            cloud / EMBEDDINGS / name,
            table.keys,
            blocks(table.values),
            table.unknown,
            dtype=dtype,
            shard_rows=shard_rows,
        )
        for name, table in parts.tables.items()
    }
    (cloud / EMBEDDINGS).mkdir(parents=True, exist_ok=True)
    manifest = CloudManifest(
        version_id=run.head.version_id,
        spec=run.head.spec.model_dump(mode="json"),
        tables=entries,
        files=stamp_files(cloud, cloud.rglob("*.npz")),
    )
    write_manifest(manifest, cloud)
    return entries


@dataclass(frozen=True)
class _CheckedParity:
    """The results of the parity check in fp32.

    Attributes:
        parity, gauc: the values for the manifest.
        golden: random cases. Some of them become the golden cases of the bundle.
        cases: `golden` and all random cases of the check with a standard deviation of 1. In the last one, every length
            is at its limit.
    """

    parity: Parity
    gauc: dict[str, float | None]
    golden: list[GoldenCase]
    cases: list[GoldenCase]


def _check_parity(
    run: Run,
    samples: Samples,
    parts: SplitModel,
    graphs: Mapping[str, onnx.ModelProto],
    half: Path,
    requests: int,
    *,
    trace_path: Path | None,
) -> _CheckedParity:
    """Run the parity check of the device half in `half`. If it fails, trace the request into the folder `trace_path`.

    Raises:
        ParityError: a difference is above the tolerance.
    """
    loaded = load_device_model(half)
    try:
        return _run_checks(run, samples, parts, loaded, OnnxDevice.load(graphs), requests)
    except CaseError as error:
        if trace_path is None:
            raise ParityError(f"{error}: export with --trace to find the first tensor that differs") from None
        raise ParityError(f"{error}; {_write_trace(error, loaded, graphs, half, trace_path)}") from None


def _write_trace(
    error: CaseError, loaded: DeviceModel, graphs: Mapping[str, onnx.ModelProto], half: Path, trace_path: Path
) -> str:
    """Trace the request that failed, and store it with graphs and models in `trace_path`. Return a description."""
    found: Trace | None = None
    try:
        found = trace_case(error.case, loaded, graphs)
        finding = str(found)
    except Exception as failure:  # An engine can raise any error. The error of the parity check must not be lost.
        finding = f"the trace failed: {first_line(failure)}"
    with output_folder(trace_path, force=True, kind=TRACE) as folder:
        shutil.copytree(half / DEVICE, folder / DEVICE)
        for name, graph in graphs.items():
            write_bytes(folder / f"{name}.onnx", graph.SerializeToString(deterministic=True))
        write_case(error.case, folder / "case.npz")
        document = {"schema": 1, "kind": TRACE, "proof": str(error), "finding": finding}
        write_json(folder / f"{TRACE}.json", {**document, **({} if found is None else asdict(found))})
    return f"{finding}. Graphs, models and request are in {trace_path}"


def _run_checks(
    run: Run, samples: Samples, parts: SplitModel, loaded: DeviceModel, onnx_device: OnnxDevice, requests: int
) -> _CheckedParity:
    checks: dict[str, float] = {}
    golden = random_cases(run.model, run.head.limits, seed=0, std=1.0)
    ordinary = list(golden)
    with stage("check parity on random inputs of every length"):
        for seed in SEEDS:
            for std in STANDARD_DEVIATIONS:
                cases = random_cases(run.model, run.head.limits, seed=seed, std=std)
                for name, error in check_random(cases, loaded, onnx_device).items():
                    checks[name] = max(checks.get(name, 0.0), error)
                ordinary += cases if std == 1.0 else []
    if run.model.behaviour_kinds:
        with stage(f"check parity on {LONG:,} steps"):
            case = long_case(run.model, run.head.limits, steps=LONG)
            long = check_random([case], loaded, onnx_device)
            checks |= {name.replace("random", "long"): error for name, error in long.items()}
    with stage("check parity on real requests"):
        real = check_real(run.model, samples, parts.tables, loaded, requests=requests)
    return _CheckedParity(summarise(checks, real), real.gauc, golden, ordinary)


def _finish(
    run: Run,
    folder: Path,
    golden: list[GoldenCase],
    parity: Parity,
    gauc: dict[str, float | None],
    tables: dict[str, TableEntry],
    measured: Mapping[Precision, PrecisionResult],
    created: str,
) -> BundleManifest:
    """Write the golden cases and, last, the manifest of the whole bundle."""
    chosen = golden[:: max(1, len(golden) // GOLDEN_CASES)][:GOLDEN_CASES]
    for number, case in enumerate([*chosen, golden[-1]]):
        write_case(case, folder / GOLDEN / f"case-{number:02d}.npz")
    device = read_device_manifest(folder / DEVICE)
    manifest = BundleManifest(
        version_id=run.head.version_id,
        created=created,
        precision=device.precision,
        spec=device.spec,
        config=run.head.config.model_dump(mode="json"),
        models=device.models,
        tables=tables,
        parity=parity,
        gauc=gauc,
        precisions={name: one.row for name, one in measured.items()},
        tools={
            **tool_versions("edgerec", "tensorflow", "keras", "numpy", "onnx", "onnxruntime", "MNN"),
            **(tool_versions("tf2onnx") if (folder / PEERS).is_dir() else {}),
            "python": ".".join(map(str, sys.version_info[:3])),
        },
        files=stamp_files(folder, (file for file in folder.rglob("*") if file.is_file())),
    )
    write_manifest(manifest, folder)
    return manifest


def _shapes(values: object) -> dict[str, tuple[int, ...]]:
    return {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in values  # type: ignore[attr-defined]
    }


def _created() -> str:
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        now = datetime.fromtimestamp(int(fixed), timezone.utc) if fixed else datetime.now(timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise InputError(f"export: SOURCE_DATE_EPOCH should be seconds since 1970; received {fixed!r}") from None
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
