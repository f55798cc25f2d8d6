"""The commands that measure a bundle or its embedding tables: `bench step`, ..., `bench all`, and `bench kv`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgerec.cli.command import need
from edgerec.cli.keys import load_key
from edgerec.cli.options import (
    PATH,
    WholeNumber,
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

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def bench() -> None:
    """Measure the speed of device models, embedding tables or training on this machine."""


def _rounds(default: int, processes: int) -> list[Callable[[Command], Command]]:
    return [
        rounds_option(default),
        click.option(
            "--processes",
            type=WholeNumber(1, 1000),
            default=processes,
            show_default=True,
            help="Number of new processes that share the rounds. They run one after the other.",
        ),
        click.option(
            "--sustained",
            type=float,
            metavar="SECONDS",
            help="Also repeat one call for SECONDS, to see whether the machine becomes slower when it is warm.",
        ),
    ]


def _starts(default: int) -> Callable[[Command], Command]:
    return click.option(
        "--rounds",
        type=WholeNumber(1, 1000),
        default=default,
        show_default=True,
        help="Number of device processes to start, one after the other.",
    )


_THREADS = click.option(
    "--threads", type=WholeNumber(1, 1024), default=1, show_default=True, help="Number of threads of MNN."
)
_CPU = click.option(
    "--cpu", metavar="LIST", help="Bind the measurement to these processors, such as 0 or 0,2-3. Default: any."
)
_PEERS = click.option(
    "--peers",
    is_flag=True,
    help="Also measure other inference engines. Most need a bundle of crban that was exported with --peers.",
)
_BESIDE = click.option(
    "--beside",
    type=PATH,
    multiple=True,
    metavar="BUNDLE",
    help="Measure MNN on this bundle, too, in the same turns: for example, another precision. Can be repeated.",
)


def _sweep(default: bool) -> Callable[[Command], Command]:
    return click.option(
        "--sweep/--no-sweep",
        default=default,
        show_default=True,
        help="Also measure shorter sequences, fewer candidates, more threads, or other numbers of events.",
    )


_FILES = [
    document_option,
    click.option(
        "--html",
        type=PATH,
        help="Also write a page with tables and plots to this file. It opens offline. This needs the extra report.",
    ),
    click.option("--markdown", type=PATH, help="Also write tables to this file, for a pull request."),
    click.option("--pyperf", type=PATH, help="Also write the durations to this file, in the JSON format of pyperf."),
]


def _bench_command(name: str, help_text: str, options: list[Callable[[Any], Any]]) -> None:
    def command(bundle: Path, **given: Any) -> None:
        _measure(name, bundle, **given)

    shared = [public_key_option, *_FILES, force_option, json_option]
    for option in reversed([click.argument("bundle", type=PATH), *options, *shared]):
        command = option(command)
    bench.command(name=name, help=help_text)(command)


def _measure(
    what: str,
    bundle: Path,
    *,
    public_key: Path | None,
    out: Path | None,
    html: Path | None,
    markdown: Path | None,
    pyperf: Path | None,
    force: bool,
    as_json: bool,
    cpu: str | None = None,
    beside: tuple[Path, ...] = (),
    peers: bool = False,
    **settings: Any,
) -> None:
    need("device", "numpy", "MNN", "psutil")
    if html is not None:
        need("report", "plotly", "jinja2")
    key = load_key(public_key)
    from edgerec.bench.outputs import Outputs
    from edgerec.bench.pinning import parse_cpus
    from edgerec.bench.plan import Plan
    from edgerec.bench.run import run_bench
    from edgerec.cli.tables.bench import bench_table

    cpus = None if cpu is None else tuple(parse_cpus(cpu))
    plan = Plan(what, peers=peers, cpus=cpus, beside=beside, public_key=key, **settings)
    outputs = Outputs(out, html, markdown, pyperf, force=force)
    outputs.check([bundle, *beside])
    document = run_bench(bundle, plan)
    outputs.write(document)
    emit(document.to_json(), as_json=as_json, table=bench_table(document))


_bench_command(
    "step",
    "Measure one step of the encoders, which run once for each exposure and each page-view.",
    [_PEERS, _BESIDE, _sweep(False), *_rounds(30, 1), _THREADS, _CPU],
)
_bench_command(
    "rerank",
    "Measure one re-rank with the maximum number of candidates and behaviours.",
    [_PEERS, _BESIDE, _sweep(False), *_rounds(30, 1), _THREADS, _CPU],
)
_bench_command(
    "behaviour",
    "Measure the time from the application's call until a behaviour is encoded and stored.",
    [*_rounds(30, 1), _THREADS, _CPU],
)
_bench_command(
    "response",
    "Measure the time from a trigger until the new order is there and the request is recorded.",
    [*_rounds(30, 1), _THREADS, _CPU],
)
_bench_command(
    "personal",
    "Measure what a patch of one user costs: a re-rank with it and without it, and its training.",
    [_sweep(False), *_rounds(30, 1), _THREADS, _CPU],
)
_bench_command("size", "Show the sizes of the bundle's parts, beside those of the paper.", [])
_bench_command(
    "cold", "Measure the time from starting a device process to its first order, in parts.", [_starts(10), _CPU]
)
_bench_command("memory", "Measure the memory of a device process after each phase.", [_starts(3), _CPU])
_bench_command("profile", "Measure the operations of each model.", [_THREADS, _CPU])
_bench_command(
    "all",
    "Measure everything, with progress on stderr. It takes one or two minutes without other work; fewer "
    "--rounds and --no-sweep make it shorter.",
    [_PEERS, _BESIDE, _sweep(True), *_rounds(30, 3), _THREADS, _CPU],
)


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
    "redis_urls",
    metavar="URL",
    multiple=True,
    help="Also measure this Redis server, such as redis://localhost:6379, or Redis Cluster, such as "
    "redis+cluster://localhost:7000. The tables are stored there during the measurement. May be given several times.",
)
@click.option(
    "--zipf",
    type=float,
    metavar="EXPONENT",
    help="Draw keys with a Zipf distribution, as in a shop with few popular brands. Default: uniformly.",
)
@click.option(
    "--cache-mb",
    type=WholeNumber(1, 1_000_000),
    multiple=True,
    help="With --redis and --zipf: also measure with a cache of this size in MB. May be given several times.",
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
    redis_urls: tuple[str, ...],
    zipf: float | None,
    cache_mb: tuple[int, ...],
    rounds: int,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure the look-up of the embeddings of 100 items in all tables of BUNDLE."""
    need("device", "numpy", "psutil")
    if redis_urls:
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
    document = run_kv_bench(
        tables, redis_url=redis_urls, zipf=zipf, cache_mb=cache_mb, rounds=rounds, out=out, force=force
    )
    emit(document, as_json=as_json, table=kv_table(document))
