"""`edgerec export`: split a model, convert it, check parity, and write the bundle (docs/formats.md)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, get_args

from edgerec.bundle.files import stamp_files
from edgerec.bundle.golden import GoldenCase, write_case
from edgerec.bundle.layout import DEVICE, GOLDEN, PEERS, RAW_CASES
from edgerec.bundle.load import load_device_model
from edgerec.bundle.manifest import BundleManifest, Parity, Precision
from edgerec.bundle.manifest_file import read_device_manifest, sign_bundle, write_manifest
from edgerec.bundle.raw_cases import write_raw_case
from edgerec.bundle.signing import SigningKey, check_signing_key
from edgerec.core.arguments import check_choice, check_object, check_whole
from edgerec.core.atomic import check_output, output_folder
from edgerec.core.console import stage
from edgerec.core.errors import ConversionError, InputError, ShapeError
from edgerec.core.paths import AnyPath, to_path
from edgerec.data.samples import TEST
from edgerec.export.halves import write_device, write_graphs, write_tables
from edgerec.export.mixing import check_kind_column, mixing_of
from edgerec.export.parity import UNBOUNDED
from edgerec.export.parity_check import TRACE, check_parity
from edgerec.export.peers import check_peers, write_peers
from edgerec.export.personal_check import check_head
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
from edgerec.export.raw_requests import raw_requests
from edgerec.export.real_requests import step_through
from edgerec.export.split import SplitModel, device_graphs, split
from edgerec.kv.shard_writer import SHARD_ROWS, TableDtype
from edgerec.kv.table_entry import TableEntry
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.rules import MixRules
from edgerec.model.personalization.on_device import check_patches
from edgerec.model.run_head import check_samples, read_run_head, samples_of
from edgerec.model.runs import Run, load_run, tool_versions
from edgerec.personalization.head import PersonalHead

GOLDEN_CASES = 12
MAX_SERIAL = 2**63 - 1
TIME_DIGITS = 14
"""Number of digits of a time in a version ID, YYYYmmddHHMMSS."""
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


@dataclass(frozen=True)
class _Accuracy:
    """How far the models of the bundle are from Keras.

    Attributes:
        parity, gauc: the values of the manifest.
        measured: the precisions that were measured; empty if none was measured.
    """

    parity: Parity
    gauc: dict[str, float | None]
    measured: Mapping[Precision, PrecisionResult] = field(default_factory=dict)


def export_bundle(
    run_path: AnyPath,
    path: AnyPath,
    *,
    samples_path: AnyPath | None = None,
    requests: int = 1000,
    precision: Wanted = "fp32",
    gauc_tolerance: float | None = None,
    table_dtype: TableDtype = "float32",
    shard_rows: int = SHARD_ROWS,
    sign_key: SigningKey | None = None,
    serial: int | None = None,
    trace: bool = False,
    peers: bool = False,
    rules: MixRules | None = None,
    prior: MixPrior | None = None,
    personal: PersonalHead | None = None,
    force: bool = False,
) -> Exported:
    """Export the run at `run_path` as the bundle `path`. A bundle is written only if the parity check succeeds.

    The parity check always runs in fp32. If weights are rounded, or `gauc_tolerance` is given, GAUC on validation
    requests must also be within the tolerance.

    Args:
        run_path: a run folder.
        path: the bundle to write.
        samples_path: the samples for the parity check; by default the samples of the training.
        requests: number of real requests to compare. The parity check takes them from the test period. The difference
            of GAUC is measured on as many requests of the validation period.
        precision: the precision of the device's weights. `auto` selects the smallest models whose GAUC is within the
            tolerance.
        gauc_tolerance: the allowed difference between the GAUC of MNN and that of Keras. If None, `precision` decides:
            fp32 has no limit, and each other precision has a default.
        table_dtype: the data type of the stored embedding tables.
        shard_rows: number of keys in a shard of an embedding table.
        sign_key: the key that signs the manifests; None leaves them unsigned.
        serial: the serial number of the device half. A device that checks signatures refuses smaller ones than it has
            had. Default: the time of the training, as the digits YYYYmmddHHMMSS. Give a larger number to bring back an
            older model.
        trace: if the parity check in fp32 fails, name the first tensor that differs between MNN and ONNX Runtime, and
            store graphs, models and request in a folder beside `path`.
        peers: also write the peers that `edgerec bench --peers` measures (`edgerec.export.peers`).
        rules: the rules of a mixed feed (docs/mixing.md); None: the device shows the order of the model.
        prior: the first numbers of a mixed feed, from `edgerec mix fit` on this run.
        personal: the head of personal patches, from `edgerec meta-train` on this run (docs/personalization.md). The
            device's ranker then also returns what its output layer reads (`Scored.hidden`). None: there are no patches.
        force: replace `path` if it exists.

    Raises:
        ConfigurationError: the rules do not fit the specification, or the prior does not fit run and rules.
        InputError: a path, `precision`, `table_dtype`, `requests`, `gauc_tolerance`, `shard_rows`, `serial` or
            SOURCE_DATE_EPOCH is not valid, a table has numbers too large for `table_dtype`, or there are no peers for
            this model.
        FormatError: the run or the samples cannot be read, or `personal` belongs to another version or reads other
            numbers than this model has.
        SpecificationError: the samples do not fit the run.
        ConversionError: MNN cannot compute this model, or `personal` is given and the model has no hidden layer for
            patches or has surroundings.
        ParityError: the logits of the converted models, or GAUC, differ by more than the tolerance.
        OutputError: `path` exists and `force` is false, or `path` overlaps with the run or the samples.
    """
    run_path, path = to_path(run_path, "export_bundle: `run_path`"), to_path(path, "export_bundle: `path`")
    samples_path = None if samples_path is None else to_path(samples_path, "export_bundle: `samples_path`")
    check_choice(precision, get_args(Wanted), "export_bundle: `precision`")
    check_choice(table_dtype, get_args(TableDtype), "export_bundle: `table_dtype`")
    check_whole(requests, "export: --requests", least=1)
    check_whole(shard_rows, "export: --shard-rows", least=1)
    check_tolerance(gauc_tolerance)
    if serial is not None:
        check_whole(serial, "export: --serial", least=0)
        if serial > MAX_SERIAL:
            raise InputError(f"export: --serial should be below 2^63; received {serial}")
    if sign_key is not None:
        check_signing_key(sign_key)
    created = _created()
    # A wrong pair is found before the model is built.
    head, vocabularies = read_run_head(run_path)
    samples = samples_of(head, samples_path)
    check_samples(head, vocabularies, samples)
    mixing = mixing_of(head.spec, rules, prior, version_id=head.version_id)
    if personal is not None:
        check_object(personal, PersonalHead, "export_bundle: `personal`", source="load_personal_head")
        personal.check_version(head.version_id)
    run = load_run(run_path)
    if personal is not None:
        check_patches(run.model)
    check_kind_column(mixing, reads_kinds=run.model.ranker.reads_kinds)
    number = serial_of(run.head.version_id) if serial is None else serial
    if peers:
        check_peers(run.model)
    trace_path = path.with_name(f"{path.name}.{TRACE}") if trace else None
    if trace_path is not None:
        check_output(trace_path, force=True, kind=TRACE, inputs=[run_path, samples.path])
    with output_folder(path, force=force, kind="bundle", inputs=[run_path, samples.path]) as folder:
        with stage("split and convert"):
            parts = _split(run, run_path)
            graphs = device_graphs(parts, run.head.limits, hidden=personal is not None)
            if personal is not None:
                check_head(personal, parts, run)
            write_graphs(run, parts, graphs, folder)
            if peers:
                write_peers(run.model, parts, run.head.limits, folder)
            halves: dict[Precision, Path] = {name: folder / SCRATCH / name for name in precisions_of(precision)}
            for name, half in halves.items():
                write_device(run, parts, graphs, folder, half, name, serial=number, mixing=mixing, personal=personal)
            tables = write_tables(run, parts, folder, dtype=table_dtype, shard_rows=shard_rows, mixing=mixing)
        served = as_stored(parts.tables, table_dtype)
        raw = raw_requests(run, served, hidden=personal is not None)
        cases = [case for _, case in raw]
        checked = check_parity(run, samples, parts, graphs, halves["fp32"], requests, raw=cases, trace_path=trace_path)
        chosen: Precision = "fp32"
        accuracy = _Accuracy(checked.parity, checked.gauc)
        if precision != "fp32" or table_dtype != "float32" or gauc_tolerance is not None:
            with stage("measure precisions"):
                measured = measure(run.model, samples, served, halves, checked.cases, requests=requests)
            accuracy = replace(accuracy, measured=measured)
            chosen = choose(measured, precision, tolerance=gauc_tolerance)
            if chosen != "fp32":
                with stage(f"real requests in {chosen}"):
                    device = {chosen: load_device_model(halves[chosen])}
                    real = step_through(
                        run.model, samples, served, device, requests=requests, split=TEST, tolerance=UNBOUNDED
                    )[chosen]
                parity = parity_of(chosen, measured[chosen], checked.parity, real)
                accuracy = replace(accuracy, parity=parity, gauc=real.gauc)
        (halves[chosen] / DEVICE).rename(folder / DEVICE)
        shutil.rmtree(folder / SCRATCH)
        _write_golden(checked.golden, folder)
        for number, (request, case) in enumerate(raw):
            write_raw_case(request, case, folder / f"{RAW_CASES}{number:02d}.npz")
        manifest = _write_manifest(run, folder, tables, accuracy, created=created)
        if sign_key is not None:
            sign_bundle(folder, sign_key)
        return Exported(manifest, accuracy.measured)


def serial_of(version_id: str) -> int:
    """Return the serial number of a run: the time of its training, the digits at the beginning of its version ID.

    It is 0 if the ID has another form. So the same run always gets the same number, and a later run a larger one.
    """
    digits, _, _ = version_id.partition("-")
    return int(digits) if len(digits) == TIME_DIGITS and digits.isascii() and digits.isdigit() else 0


def _split(run: Run, path: Path) -> SplitModel:
    """Split the model. If its weights are invalid, the error names the run folder `path`."""
    try:
        return split(run)
    except ShapeError as error:
        raise ConversionError(
            f"export: {path} has weights that a device cannot compute with ({error}): train it again"
        ) from None


def _write_golden(golden: list[GoldenCase], folder: Path) -> None:
    """Write `GOLDEN_CASES` of the cases and the last one, in which every length is at its limit."""
    chosen = golden[:: max(1, len(golden) // GOLDEN_CASES)][:GOLDEN_CASES]
    for number, case in enumerate([*chosen, golden[-1]]):
        write_case(case, folder / GOLDEN / f"case-{number:02d}.npz")


def _write_manifest(
    run: Run, folder: Path, tables: dict[str, TableEntry], accuracy: _Accuracy, *, created: str
) -> BundleManifest:
    """Write the manifest of the whole bundle. It has the hashes of all files, so it is written last."""
    device = read_device_manifest(folder / DEVICE)
    manifest = BundleManifest(
        version_id=run.head.version_id,
        created=created,
        precision=device.precision,
        spec=device.spec,
        config=run.head.config.model_dump(mode="json"),
        models=device.models,
        tables=tables,
        parity=accuracy.parity,
        gauc=accuracy.gauc,
        precisions={name: one.row for name, one in accuracy.measured.items()},
        tools={
            **tool_versions("edgerec", "tensorflow", "keras", "numpy", "onnx", "onnxruntime", "MNN"),
            **(tool_versions("tf2onnx") if (folder / PEERS).is_dir() else {}),
            "python": ".".join(map(str, sys.version_info[:3])),
        },
        files=stamp_files(folder, (file for file in folder.rglob("*") if file.is_file())),
    )
    write_manifest(manifest, folder)
    return manifest


def _created() -> str:
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        now = datetime.fromtimestamp(int(fixed), timezone.utc) if fixed else datetime.now(timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise InputError(f"export: SOURCE_DATE_EPOCH should be seconds since 1970; received {fixed!r}") from None
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
