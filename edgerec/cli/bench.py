"""The commands that measure: `bench step`, `bench rerank` and `bench kv`."""

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
    public_key_option,
    rounds_option,
    shard_rows_option,
    table_dtype_option,
)
from edgerec.cli.output import emit
from edgerec.core.errors import InputError


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
