"""`edgerec export`: split, convert, prove, stamp (section 7 of the design: docs/formats.md)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

import onnx

from edgerec.core.atomic import output_folder, write_bytes
from edgerec.core.console import stage
from edgerec.core.errors import FormatError, InputError
from edgerec.core.manifest import (
    CLOUD,
    DEVICE,
    GOLDEN,
    BundleManifest,
    CloudManifest,
    DeviceManifest,
    ModelFile,
    TableEntry,
    sign_bundle,
    stamp_files,
    write_manifest,
)
from edgerec.core.signing import SigningKey
from edgerec.data.samples import Samples, load_samples
from edgerec.device_runtime.device_model import load_device_model
from edgerec.device_runtime.golden import save_case
from edgerec.export.convert import convert_to_mnn
from edgerec.export.graphs.device import device_graphs, reference_graphs
from edgerec.export.onnx_device import OnnxDevice
from edgerec.export.parity import (
    LONG,
    SEEDS,
    SPREADS,
    check_random,
    check_real,
    long_case,
    random_cases,
    summarise,
)
from edgerec.export.split import Parts, split
from edgerec.kv.npz import EMBEDDINGS
from edgerec.kv.shard_writer import SHARD_ROWS, TableDtype, blocks, write_table
from edgerec.model.evaluation import check_fit
from edgerec.model.runs import Run, load_run, tool_versions

GOLDEN_CASES = 12


def export_bundle(
    run_path: Path,
    path: Path,
    *,
    samples_path: Path | None = None,
    requests: int = 1000,
    table_dtype: TableDtype = "float32",
    shard_rows: int = SHARD_ROWS,
    sign_key: SigningKey | None = None,
    force: bool = False,
) -> BundleManifest:
    """Export the run at `run_path` as the bundle `path`; what is not proven is not written.

    Args:
        run_path: a run folder.
        path: the bundle to write.
        samples_path: samples to prove it on; default: those of the training.
        requests: real test requests to step through.
        table_dtype: in which embedding tables are stored.
        shard_rows: keys a shard of them.
        sign_key: signs the manifests; None leaves them unsigned.
        force: replace `path` where it exists.

    Raises:
        InputError: `requests`, `shard_rows` or SOURCE_DATE_EPOCH is not valid, or `table_dtype` cannot hold a table.
        FormatError: the run or the samples cannot be read.
        SpecificationError: the samples do not fit the run.
        ConversionError: MNN cannot have this model.
        ParityError: the converted models compute something else.
        OutputError: `path` exists and `force` is false.
    """
    if requests < 1:
        raise InputError(f"export: --requests should be at least 1; received {requests}")
    if shard_rows < 1:
        raise InputError(f"export: --shard-rows should be at least 1; received {shard_rows}")
    created = _created()
    run = load_run(run_path)
    samples = _open_samples(run, samples_path)
    check_fit(run, samples)
    with output_folder(path, force=force, kind="bundle") as folder:
        with stage("split and convert"):
            parts = split(run)
            graphs = device_graphs(parts, run.head.limits)
            device = _write_device(run, graphs, folder)
            tables = _write_tables(run, parts, folder, dtype=table_dtype, shard_rows=shard_rows)
        manifest = _prove_and_stamp(run, samples, parts, graphs, device, tables, folder, requests, created)
        if sign_key is not None:
            sign_bundle(folder, sign_key)
        return manifest


def _open_samples(run: Run, path: Path | None) -> Samples:
    if path is not None:
        return load_samples(path)
    if not Path(run.head.samples).is_dir():
        raise FormatError(
            f"export: the training's samples are no longer at {run.head.samples}: say where with --samples"
        )
    return load_samples(Path(run.head.samples))


def _write_device(run: Run, graphs: Mapping[str, onnx.ModelProto], folder: Path) -> DeviceManifest:
    device = folder / DEVICE
    onnx_folder = folder / GOLDEN / "onnx"
    device.mkdir()
    onnx_folder.mkdir(parents=True)
    models = {}
    for name, graph in graphs.items():
        write_bytes(onnx_folder / f"{name}.onnx", graph.SerializeToString(deterministic=True))
        convert_to_mnn(onnx_folder / f"{name}.onnx", device / f"{name}.mnn")
        models[name] = ModelFile(
            file=f"{name}.mnn", inputs=_shapes(graph.graph.input), outputs=_shapes(graph.graph.output)
        )
    manifest = DeviceManifest(
        version_id=run.head.version_id,
        precision="fp32",
        spec=run.head.spec.model_dump(mode="json"),
        limits=run.head.limits.model_dump(),
        models=models,
        files=stamp_files(device, device.glob("*.mnn")),
    )
    write_manifest(manifest, device)
    return manifest


def _write_tables(run: Run, parts: Parts, folder: Path, *, dtype: TableDtype, shard_rows: int) -> dict[str, TableEntry]:
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


def _prove_and_stamp(
    run: Run,
    samples: Samples,
    parts: Parts,
    graphs: dict[str, onnx.ModelProto],
    device: DeviceManifest,
    tables: dict[str, TableEntry],
    folder: Path,
    requests: int,
    created: str,
) -> BundleManifest:
    loaded = load_device_model(folder)
    onnx_device = OnnxDevice.load(graphs)
    checks: dict[str, float] = {}
    with stage("prove on random inputs of every length"):
        for seed in SEEDS:
            for spread in SPREADS:
                cases = random_cases(run.model, run.head.limits, seed=seed, spread=spread)
                for name, error in check_random(cases, loaded, onnx_device).items():
                    checks[name] = max(checks.get(name, 0.0), error)
    if run.model.kinds:
        with stage(f"prove on {LONG:,} steps"):
            case = long_case(run.model, run.head.limits)
            long = check_random([case], loaded, onnx_device)
            checks |= {name.replace("random", "long"): error for name, error in long.items()}
    with stage("prove on real requests"):
        real = check_real(run.model, samples, parts.tables, loaded, requests=requests)
    golden = random_cases(run.model, run.head.limits, seed=0, spread=1.0)
    chosen = golden[:: max(1, len(golden) // GOLDEN_CASES)][:GOLDEN_CASES]
    for number, case in enumerate([*chosen, golden[-1]]):
        save_case(case, folder / GOLDEN / f"case-{number:02d}.npz")
    for name, graph in reference_graphs(parts, run.head.limits).items():
        write_bytes(folder / GOLDEN / "onnx" / f"{name}_reference.onnx", graph.SerializeToString(deterministic=True))
    manifest = BundleManifest(
        version_id=run.head.version_id,
        created=created,
        precision="fp32",
        spec=device.spec,
        config=run.head.config.model_dump(mode="json"),
        models=device.models,
        tables=tables,
        parity=summarise(checks, real),
        gauc=real.gauc,
        tools={
            **tool_versions("edgerec", "tensorflow", "keras", "numpy", "onnx", "onnxruntime", "MNN"),
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
