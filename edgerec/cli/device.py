"""The commands on bundles: `export`, `verify`, `inspect` and `bench`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from edgerec.cli.command import need
from edgerec.cli.keys import load_key
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
from edgerec.core.errors import InputError


@click.command()
@click.argument("run", type=PATH)
@out_option("bundle")
@click.option(
    "--samples", type=PATH, help="Samples for the checks of the bundle. Default: the samples of the training."
)
@click.option(
    "--requests",
    type=int,
    default=1000,
    show_default=True,
    help="Number of requests from the samples on which the outputs of MNN are compared with those of Keras.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8", "auto"]),
    default="fp32",
    show_default=True,
    help="Precision of the weights on the device. auto selects the precision with the smallest files whose GAUC is "
    "within --gauc-tolerance.",
)
@click.option(
    "--gauc-tolerance",
    type=float,
    help="Largest allowed difference between the GAUC of MNN and the GAUC of Keras on validation requests. Default: "
    "5e-4 for fp16 and auto, 2e-3 for int8, no limit for fp32.",
)
@table_dtype_option("Data type of the stored embedding tables.")
@shard_rows_option("Maximum number of rows in a shard of an embedding table.")
@click.option("--sign-key", type=PATH, help="Sign the bundle with the Ed25519 private key in this PEM file.")
@click.option(
    "--peers",
    is_flag=True,
    help="For the model crban: also write models for LiteRT, and a model that MNN's converter makes with default "
    "settings. `edgerec bench step` and `edgerec bench rerank` measure them with --peers.",
)
@click.option(
    "--trace",
    is_flag=True,
    help="If the parity check in fp32 fails, name the first tensor that differs, and write the request, the graphs and "
    "the models to the folder OUT.trace.",
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
    """Split the model of RUN, convert it to MNN, check it against Keras, and write a bundle."""
    signing = ["cryptography"] if sign_key is not None else []
    need("export", "polars", "tensorflow", "onnx", "onnxruntime", "MNN", *signing)
    if peers:
        need("peers", "tf2onnx")
    from edgerec.bundle.signing import load_signing_key
    from edgerec.core.atomic import check_output
    from edgerec.model.run_head import check_samples, read_run_head, samples_of

    check_output(out, force=force, kind="bundle", inputs=[each for each in (run, samples, sign_key) if each])
    key = load_signing_key(sign_key) if sign_key is not None else None
    head, vocabularies = read_run_head(run)
    check_samples(head, vocabularies, samples_of(head, samples))
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
    """Check BUNDLE on this machine: hashes, outputs for golden cases, signature.

    Golden cases are stored inputs with the outputs that Keras computed. Some of them start from raw values: this
    machine must encode them to the same bytes as training did. The signature is checked with --public-key.
    """
    need("device", "numpy", "MNN")
    key = load_key(public_key)
    from edgerec.bundle.guard import guarded
    from edgerec.bundle.verify import verify_bundle

    emit({"bundle": str(bundle), **guarded(partial(verify_bundle, public_key=key), bundle)}, as_json=as_json)


@click.command()
@click.argument("bundle", type=PATH)
@public_key_option
@json_option
def inspect(bundle: Path, public_key: Path | None, as_json: bool) -> None:
    """Show what is in BUNDLE: sizes, operations, shapes, tool versions, parity, GAUC."""
    need("device", "numpy", "MNN")
    key = load_key(public_key)
    from edgerec.bundle.guard import guarded
    from edgerec.bundle.inspection import inspect_bundle
    from edgerec.cli.tables.bundles import inspection_table

    document = guarded(partial(inspect_bundle, public_key=key), bundle)
    emit({"bundle": str(bundle), **document}, as_json=as_json, table=inspection_table(document))


@click.group()
def bench() -> None:
    """Measure the speed of device models, embedding tables or training on this machine."""


def _bench_command(name: str, help_text: str) -> None:
    @bench.command(name=name, help=help_text)
    @click.argument("bundle", type=PATH)
    @click.option(
        "--peers",
        is_flag=True,
        help="Also measure other inference engines. EdgeRec's own peers need a bundle of the model crban.",
    )
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
        key = load_key(public_key)
        from edgerec.bench.latency import run_bench
        from edgerec.bundle.guard import guarded
        from edgerec.cli.tables.bench import bench_table

        # The whole measurement runs in one separate process: a model that crashes ends only this process.
        measure = partial(run_bench, name, peers=peers, rounds=rounds, public_key=key, out=out, force=force)
        document = guarded(measure, bundle)
        emit(document, as_json=as_json, table=bench_table(document))


_bench_command("step", "Measure one step of the encoders, which run once for each exposure and each page-view.")
_bench_command("rerank", "Measure one re-rank with the maximum number of candidates and behaviours.")


@bench.command(name="kv")
@click.argument("bundle", type=PATH, required=False)
@click.option(
    "--brands",
    type=int,
    help="Measure six temporary embedding tables with 40 numbers in each row instead of a BUNDLE. The largest table, "
    "that of the brands, has this number of rows.",
)
@table_dtype_option("With --brands: data type of the temporary tables.")
@shard_rows_option("With --brands: maximum number of rows in a shard of a temporary table.")
@click.option(
    "--redis",
    "redis_url",
    metavar="URL",
    help="Also measure this Redis server, such as redis://localhost:6379. The tables are stored there during the "
    "measurement.",
)
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
    """Measure the look-up of the embeddings of 100 items in all tables of BUNDLE."""
    need("device", "numpy", "psutil")
    if redis_url is not None:
        need("cloud", "redis")
    from edgerec.bench.kv import run_kv_bench
    from edgerec.bench.temporary_tables import TemporaryTables
    from edgerec.cli.tables.bench import kv_table

    if bundle is not None and brands is None:
        tables: Path | TemporaryTables = bundle
    elif bundle is None and brands is not None:
        tables = TemporaryTables(brands, table_dtype, shard_rows)
    else:
        received = "neither" if bundle is None else "both"
        raise InputError(f"bench: kv needs either a BUNDLE or --brands N; received {received}")
    document = run_kv_bench(tables, redis_url=redis_url, rounds=rounds, out=out, force=force)
    emit(document, as_json=as_json, table=kv_table(document))
