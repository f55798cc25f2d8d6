"""The command `bench cloud`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from edgerec.cli.command import need
from edgerec.cli.options import (
    PATH,
    WholeNumber,
    check_needed,
    document_option,
    force_option,
    json_option,
    rounds_option,
)
from edgerec.cli.output import emit

STORES = ("npz", "redis", "redis_cluster")
_MOST = 1_000_000_000


def _connections(context: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    """Return numbers of connections, such as 1,8,64. A number that is given twice is measured once."""
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 6 and int(part) > 0 for part in parts):
        text = f"should be numbers of at least 1, such as 1,8,64; received {value!r:.80}"
        raise click.BadParameter(text, context, option)
    return tuple(dict.fromkeys(map(int, parts)))


@click.command(name="cloud")
@click.argument("bundle", type=PATH)
@click.option("--catalogue", required=True, type=PATH, help="Folder of logs, as for `edgerec serve`.")
@click.option(
    "--brands",
    type=WholeNumber(1, _MOST),
    help="Measure with a larger table instead: the largest one of BUNDLE gets this number of rows of random numbers.",
)
@click.option(
    "--items",
    type=WholeNumber(1, _MOST),
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
@click.option(
    "--connections",
    callback=_connections,
    default="1,8,64",
    show_default=True,
    help="Numbers of connections, each by itself.",
)
@click.option(
    "--seconds", type=WholeNumber(1, 86_400), default=5, show_default=True, help="Duration of one load in seconds."
)
@rounds_option(3)
@click.option(
    "--pages",
    type=WholeNumber(0, _MOST),
    default=0,
    show_default=True,
    help="Also watch the memory over this number of pages.",
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
    connections: tuple[int, ...],
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
    check_needed("items", "--brands", brands)
    need("cloud", "numpy", "polars", "fastapi", "uvicorn", "psutil")
    from edgerec.bench.cloud.run import Plan, run_cloud_bench
    from edgerec.bench.cloud.stores import open_stores
    from edgerec.bench.cloud.workload import large_workload, open_workload
    from edgerec.cli.tables.bench_cloud import cloud_table
    from edgerec.core.atomic import check_document, write_json

    if out is not None:
        check_document(out, force=force, inputs=[bundle, catalogue])
    plan = Plan(connections=connections, seconds=seconds, rounds=rounds, pages=pages)
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
