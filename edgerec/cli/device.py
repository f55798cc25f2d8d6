"""Commands on bundles: export, verify, measure."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgerec.cli.command import need
from edgerec.cli.options import (
    PATH,
    document_option,
    force_option,
    json_option,
    out_option,
    public_key_option,
    rounds_option,
    shard_rows_option,
    table_dtype_option,
)
from edgerec.cli.output import emit
from edgerec.cli.tensorflow import import_tensorflow

if TYPE_CHECKING:
    from edgerec.bundle.signing import PublicKey


@click.command()
@click.argument("run", type=PATH)
@out_option("bundle")
@click.option("--samples", type=PATH, help="Samples on which the bundle is proved; default: those of the training.")
@click.option(
    "--requests",
    type=int,
    default=1000,
    show_default=True,
    help="Number of real requests that Keras and MNN both rank.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8", "auto"]),
    default="fp32",
    show_default=True,
    help="Precision of the device's weights. auto: the smallest whose GAUC is within the tolerance.",
)
@click.option(
    "--gauc-tolerance",
    type=float,
    help="Largest difference of GAUC between MNN and Keras on validation requests; default: 5e-4 for fp16 and auto, "
    "2e-3 for int8, no limit for fp32.",
)
@table_dtype_option("Stored type of embedding tables.")
@shard_rows_option("Number of keys in each shard of an embedding table.")
@click.option("--sign-key", type=PATH, help="PEM file with an Ed25519 private key: sign the bundle with it.")
@click.option(
    "--peers",
    is_flag=True,
    help="For crban: also write conversions by LiteRT and by MNN's own converter, for `bench --peers`.",
)
@click.option(
    "--trace",
    is_flag=True,
    help="If the parity check in fp32 fails, name the first tensor that differs, and keep the evidence in OUT.trace.",
)
@force_option
@json_option
def export(
    run: Path,
    out: Path,
    samples: Path | None,
    requests: int,
    precision: Any,
    gauc_tolerance: float | None,
    table_dtype: Any,
    shard_rows: int,
    sign_key: Path | None,
    peers: bool,
    trace: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Split RUN, convert it to MNN, prove it and write the bundle."""
    signing = ["cryptography"] if sign_key is not None else []
    need("export", "polars", "tensorflow", "onnx", "onnxruntime", "MNN", *signing)
    if peers:
        need("peers", "tf2onnx")
    from edgerec.bundle.signing import load_signing_key
    from edgerec.core.atomic import check_output
    from edgerec.model.run_head import check_fit, read_run_head, samples_of

    check_output(out, force=force, kind="bundle", inputs=[each for each in (run, samples, sign_key) if each])
    key = load_signing_key(sign_key) if sign_key is not None else None
    head, vocabularies = read_run_head(run)
    check_fit(head, vocabularies, samples_of(head, samples))
    import_tensorflow()
    from edgerec.cli.tables.bundles import export_table
    from edgerec.export.bundle import export_bundle

    exported = export_bundle(
        run,
        out,
        samples_path=samples,
        requests=requests,
        precision=precision,
        gauc_tolerance=gauc_tolerance,
        table_dtype=table_dtype,
        shard_rows=shard_rows,
        sign_key=key,
        trace=trace,
        peers=peers,
        force=force,
    )
    document = {"bundle": str(out), **exported.summary(), "signed": key is not None}
    emit(document, as_json=as_json, table=export_table(document))


@click.command()
@click.argument("bundle", type=PATH)
@public_key_option
@json_option
def verify(bundle: Path, public_key: Path | None, as_json: bool) -> None:
    """Verify BUNDLE on this machine: hashes, golden outputs, signature."""
    need("device", "numpy", "MNN")
    key = _public_key(public_key)
    from edgerec.bundle.verify import verify_bundle
    from edgerec.device_runtime.guard import guarded

    emit({"bundle": str(bundle), **guarded(partial(verify_bundle, public_key=key), bundle)}, as_json=as_json)


@click.command()
@click.argument("bundle", type=PATH)
@public_key_option
@json_option
def inspect(bundle: Path, public_key: Path | None, as_json: bool) -> None:
    """Describe BUNDLE: sizes, commands, shapes, tools, parity, GAUC."""
    need("device", "numpy", "MNN")
    key = _public_key(public_key)
    from edgerec.bundle.inspection import inspect_bundle
    from edgerec.cli.tables.bundles import inspection_table
    from edgerec.device_runtime.guard import guarded

    document = guarded(partial(inspect_bundle, public_key=key), bundle)
    emit({"bundle": str(bundle), **document}, as_json=as_json, table=inspection_table(document))


def _public_key(path: Path | None) -> PublicKey | None:
    """Read the key that a bundle has to be signed with, if one is given."""
    if path is None:
        return None
    need("signing", "cryptography")
    from edgerec.bundle.signing import load_public_key

    return load_public_key(path)


@click.group()
def bench() -> None:
    """Measure on this machine: device models, embedding tables, training."""


def _bench_command(name: str, help_text: str) -> None:
    @bench.command(name=name, help=help_text)
    @click.argument("bundle", type=PATH)
    @click.option("--peers", is_flag=True, help="Also measure other engines on the same functions.")
    @rounds_option(30)
    @public_key_option
    @document_option
    @force_option
    @json_option
    def command(
        bundle: Path,
        peers: bool,
        rounds: int,
        public_key: Path | None,
        out: Path | None,
        force: bool,
        as_json: bool,
    ) -> None:
        need("device", "numpy", "MNN", "psutil")
        if peers:
            need("peers", "onnxruntime")
        key = _public_key(public_key)
        from edgerec.bench.latency import run_bench
        from edgerec.cli.tables.bench import bench_table
        from edgerec.device_runtime.guard import guarded

        # All of it runs in the other process, so that no other work runs beside what is measured.
        measure = partial(run_bench, name, peers=peers, rounds=rounds, public_key=key, out=out, force=force)
        document = guarded(measure, bundle)
        emit(document, as_json=as_json, table=bench_table(document))


_bench_command(
    "step", "Measure one behaviour: one step of the recurrent stack of exposures, and of that of page-views."
)
_bench_command("rerank", "Measure one re-rank at the bundle's full sizes.")


@bench.command(name="kv")
@click.argument("bundle", type=PATH, required=False)
@click.option(
    "--brands",
    type=int,
    help="Instead of BUNDLE, use six temporary tables. One has this number of brands in rows of 40.",
)
@table_dtype_option("Stored type of the temporary tables.")
@shard_rows_option("Number of keys in each shard of the temporary tables.")
@click.option("--redis", "redis_url", metavar="URL", help="Also measure this Redis server.")
@rounds_option(30)
@document_option
@force_option
@json_option
def bench_kv(
    bundle: Path | None,
    brands: int | None,
    table_dtype: Any,
    shard_rows: int,
    redis_url: str | None,
    rounds: int,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure the look-up of a page's embeddings: 100 items x every table of BUNDLE."""
    need("device", "numpy", "psutil")
    if redis_url is not None:
        need("cloud", "redis")
    from edgerec.bench.kv import run_kv_bench
    from edgerec.cli.tables.bench import kv_table

    document = run_kv_bench(
        bundle,
        brands=brands,
        dtype=table_dtype,
        shard_rows=shard_rows,
        redis_url=redis_url,
        rounds=rounds,
        out=out,
        force=force,
    )
    emit(document, as_json=as_json, table=kv_table(document))
