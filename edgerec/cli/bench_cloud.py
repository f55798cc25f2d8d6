"""The command `bench cloud`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from edgerec.cli.command import need
from edgerec.cli.options import PATH, document_option, force_option, json_option, rounds_option
from edgerec.cli.output import emit
from edgerec.core.errors import InputError

STORES = ("npz", "redis", "redis_cluster")


@click.command(name="cloud")
@click.argument("bundle", type=PATH)
@click.option("--catalogue", required=True, type=PATH, help="Folder of logs, as for `edgerec serve`.")
@click.option(
    "--brands",
    type=int,
    help="Measure with a larger table instead: the largest one of BUNDLE gets this number of rows of random numbers.",
)
@click.option(
    "--items",
    type=int,
    default=500_000,
    show_default=True,
    help="With --brands: number of items of the catalogue. They have the values of random items of --catalogue, and "
    "brands by Zipf's law.",
)
@click.option(
    "--store",
    "stores",
    type=click.Choice(STORES),
    multiple=True,
    help="Where the server reads embedding rows from; may be repeated. For `redis` and `redis_cluster` the command "
    "starts servers of its own (redis-server). Default: npz.",
)
@click.option("--connections", default="1,8,64", show_default=True, help="Numbers of connections, each by itself.")
@click.option("--seconds", type=int, default=5, show_default=True, help="Duration of one load in seconds.")
@rounds_option(3)
@click.option(
    "--pages", type=int, default=0, show_default=True, help="Also watch the memory over this number of pages."
)
@document_option
@force_option
@json_option
def bench_cloud(
    bundle: Path,
    catalogue: Path,
    brands: int | None,
    items: int,
    stores: tuple[str, ...],
    connections: str,
    seconds: int,
    rounds: int,
    pages: int,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Start `edgerec serve` with BUNDLE, send it pages and logs with wrk, and show what it answers.

    wrk is a program of its own (apt-get install wrk). It runs on the same machine as the server, so it takes a part of
    its processors.
    """
    need("cloud", "numpy", "polars", "fastapi", "uvicorn", "psutil")
    from edgerec.bench.cloud.run import Plan, run_cloud_bench
    from edgerec.bench.cloud.stores import open_stores
    from edgerec.bench.cloud.workload import large_workload, open_workload
    from edgerec.cli.tables.bench_cloud import cloud_table
    from edgerec.core.atomic import check_document, write_json

    if out is not None:
        check_document(out, force=force, inputs=[bundle, catalogue])
    plan = Plan(connections=_numbers(connections), seconds=seconds, rounds=rounds, pages=pages)
    with tempfile.TemporaryDirectory(prefix="edgerec-bench-") as folder:
        work = Path(folder)
        if brands is None:
            workload = open_workload(bundle, catalogue)
        else:
            workload = large_workload(bundle, catalogue, work, brands=brands, items=items)
        document = run_cloud_bench(workload, open_stores(stores or STORES[:1]), plan, work=work)
    if out is not None:
        write_json(out, {"schema": 1, **document})
    emit(document, as_json=as_json, table=cloud_table(document))


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() and len(part) < 6 for part in parts):
        raise InputError(f"bench: --connections should be numbers, such as 1,8,64; received {text!r:.80}")
    return tuple(int(part) for part in parts)
