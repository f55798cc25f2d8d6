"""The commands on logs.

`simulate` writes them, `check` says what is wrong with them, `as-of` adds counts of the past, `stats` describes them,
and `samples` makes samples from them.
"""

from __future__ import annotations

import shutil
import sys
import time
from functools import partial
from pathlib import Path

import click

from edgerec.cli.command import need
from edgerec.cli.options import (
    FOLDER_OR_URL,
    PATH,
    WholeNumber,
    config_default,
    config_option,
    force_option,
    json_option,
    out_option,
    processes_option,
    resume_option,
    seed_option,
)
from edgerec.cli.output import emit


@click.command()
@out_option("logs")
@config_option("parameters of the simulation (docs/simulator.md). The options below replace its values.")
@click.option("--users", type=int, help=f"Number of users. {config_default(16000)}")
@click.option("--items", type=int, help=f"Number of items in the catalogue. {config_default(800)}")
@click.option("--days", type=int, help=f"Number of simulated days. {config_default(14)}")
@click.option(
    "--mixed",
    is_flag=True,
    help="Simulate a mixed feed of products, videos, live rooms and ads. The table `mix` of the file has its "
    "parameters (docs/simulator.md).",
)
@seed_option("Seed of the simulation. The same seed and parameters give the same files.")
@processes_option
@resume_option("an interrupted simulation that has the same parameters")
@force_option
@json_option
def simulate(
    out: Path,
    config: Path | None,
    mixed: bool,
    seed: int,
    processes: int | None,
    resume: bool,
    force: bool,
    as_json: bool,
    **sizes: int | None,
) -> None:
    """Simulate users of a feed and write their logs. The true click probabilities are written to separate files."""
    need("train", "polars")
    from edgerec.core.parallel import cores
    from edgerec.simulation.config import load_simulation_config
    from edgerec.simulation.population import simulate as run_simulation

    start = time.perf_counter()
    world = load_simulation_config(config, sizes, mixed=mixed)
    counts = run_simulation(world, out, seed=seed, processes=processes or cores(), force=force, resume=resume)
    seconds = time.perf_counter() - start
    speed = _speed(counts["exposures"], seconds, resume)
    emit({"logs": str(out), **counts, "seconds": seconds, **speed}, as_json=as_json)


@click.command()
@click.argument("logs", type=FOLDER_OR_URL)
@click.option("--features", type=PATH, help="Feature specification (JSON). Default: features.json of the logs.")
@click.option(
    "--most",
    type=WholeNumber(1),
    default=100,
    show_default=True,
    help="Show at most this many findings. Errors come first. The last line counts all of them.",
)
@json_option
def check(logs: Path | str, features: Path | None, most: int, as_json: bool) -> None:
    """Say everything that is wrong with LOGS, with file, row and column.

    Errors are what `edgerec samples` or `write_logs` refuses. Warnings are what they accept, but what spoils a model:
    labels that reveal the end of a request, columns without values, times in whole seconds and others
    (docs/your-logs.md). One cause is one finding, and the first case stands for all. The exit code is 1 if there is an
    error, and 0 otherwise.
    """
    need("train", "polars")
    from edgerec.cli.tables.check import check_table
    from edgerec.data.check.document import check_logs
    from edgerec.data.remote.fetch import local

    document = check_logs(local(logs, head="logs.json"), features=features, most=most)
    emit(document, as_json=as_json, table=None if as_json else check_table(document))
    if document["errors"]:
        sys.exit(1)


@click.command("as-of")
@click.argument("logs", type=PATH)
@out_option("logs")
@click.option("--features", type=PATH, help="Feature specification (JSON). Default: features.json of the logs.")
@processes_option
@force_option
@json_option
def as_of(logs: Path, out: Path, features: Path | None, processes: int | None, force: bool, as_json: bool) -> None:
    """Copy LOGS and add the columns for which the specification has `as_of`: counts, rates and times of the past.

    Columns that LOGS have are copied as they are. docs/features.md describes `as_of`.
    """
    need("train", "polars")
    from edgerec.core.parallel import cores
    from edgerec.data.as_of.folder import write_as_of

    start = time.perf_counter()
    counts = write_as_of(logs, out, features=features, processes=processes or cores(), force=force)
    emit({"logs": str(out), **counts, "seconds": time.perf_counter() - start}, as_json=as_json)


@click.command()
@click.argument("logs", type=FOLDER_OR_URL)
@out_option("samples", type_=FOLDER_OR_URL)
@click.option("--features", type=PATH, help="Feature specification (JSON). Default: features.json of the logs.")
@click.option(
    "--candidates",
    type=int,
    default=100,
    show_default=True,
    help="Maximum number of candidates in a list. A longer list is an error.",
)
@click.option(
    "--exposures",
    type=int,
    default=100,
    show_default=True,
    help="Maximum number of exposures that a request reads. It reads the latest ones of its user.",
)
@click.option(
    "--page-views",
    type=int,
    default=50,
    show_default=True,
    help="Maximum number of page-views that a request reads. It reads the latest ones of its user.",
)
@click.option(
    "--like",
    type=PATH,
    metavar="RUN",
    help="Use the fitted features, vocabularies and limits of this run, and fit nothing. So the run can be evaluated "
    "on later logs, or trained further. Splits may be empty.",
)
@click.option(
    "--test-from",
    type=int,
    help="Start of the test period in milliseconds since 1970-01-01 UTC. Default: the start that the logs specify. If "
    "they specify none, the test period has the last fifth of the requests. With --like, all requests are in the test "
    "period, unless this option or --validation-fraction is given.",
)
@click.option(
    "--validation-fraction",
    type=float,
    help="Share of the requests before the test period that are used for validation. Default: 0.1.",
)
@processes_option
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Do the work on the workers of this scheduler of dask.distributed, such as tcp://10.0.0.1:8786, in place of "
    "processes on this machine. The workers need the same files and the same installation (docs/clusters.md).",
)
@resume_option("interrupted work that has the same logs and settings")
@force_option
@json_option
def samples(
    logs: Path | str,
    out: Path | str,
    features: Path | None,
    candidates: int,
    exposures: int,
    page_views: int,
    like: Path | None,
    test_from: int | None,
    validation_fraction: float | None,
    processes: int | None,
    cluster: str | None,
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Make training, validation and test samples from LOGS, split by time.

    LOGS and --out may be URLs of folders on an object store, such as s3://bucket/logs (docs/clusters.md).
    """
    if like is not None:
        _check_without("--like", "takes these from the run", "features", "candidates", "exposures", "page_views")
    if cluster is not None:
        _check_without("--cluster", "has its own processes", "processes")
        need("cluster", "distributed")
    need("train", "polars")
    from edgerec.core.errors import LogsError
    from edgerec.core.parallel import cores
    from edgerec.data.build_samples import write_samples
    from edgerec.data.remote.fetch import local, output_of
    from edgerec.data.remote.push import check_url_output, push

    start = time.perf_counter()
    target, upload = out, None
    if isinstance(out, str):
        check_url_output(out, head="samples.json", force=force)
        target, upload = output_of(out), partial(push, url=out, head="samples.json", force=force)
        # A command that was killed after its upload left it.
        shutil.rmtree(target, ignore_errors=True)
    try:
        built = write_samples(
            local(logs, head="logs.json"),
            target,
            features=features,
            limits=None if like else {"candidates": candidates, "exposures": exposures, "page_views": page_views},
            like=like,
            test_from=test_from,
            validation_fraction=validation_fraction,
            processes=processes or cores(),
            cluster=cluster,
            logs_path=logs,
            upload=upload,
            force=force,
            resume=resume,
        )
    except LogsError as error:
        # Only the first fault is here.
        raise LogsError(f"{error}; `edgerec check {logs}` shows all faults") from None
    counts, seconds = built.counts(), time.perf_counter() - start
    if upload is not None:
        shutil.rmtree(target, ignore_errors=True)
    speed = _speed(counts["behaviours"]["exposures"], seconds, resume)
    emit({"samples": str(out), **counts, "seconds": seconds, **speed}, as_json=as_json)


@click.command()
@click.argument("logs", type=FOLDER_OR_URL)
@click.option("--against", type=FOLDER_OR_URL, help="Other logs to compare with LOGS.")
@click.option(
    "--html", type=PATH, help="Also write an HTML page with plots to this file. It needs no network connection."
)
@processes_option
@force_option
@json_option
def stats(
    logs: Path | str,
    against: Path | str | None,
    html: Path | None,
    processes: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Show statistics of LOGS: click rates, behaviours, and activity of users."""
    need("train", "polars", *(["plotly", "jinja2"] if html else []))
    from edgerec.cli.tables.logs import stats_table
    from edgerec.core.parallel import cores
    from edgerec.data.remote.fetch import local
    from edgerec.data.statistics.document import stats_document
    from edgerec.reports.page import check_page
    from edgerec.reports.statistics.page import write_report

    if html is not None:
        check_page(html, force=force, inputs=[each for each in (logs, against) if isinstance(each, Path)])
    start = time.perf_counter()
    document = stats_document(
        local(logs, head="logs.json"),
        against=None if against is None else local(against, head="logs.json"),
        processes=processes or cores(),
    )
    if html is not None:
        write_report(document, html, force=force)
    seconds = time.perf_counter() - start
    result = {**document, "html": None if html is None else str(html), "seconds": seconds}
    emit(result, as_json=as_json, table=None if as_json else stats_table(document))


def _check_without(option: str, reason: str, *parameters: str) -> None:
    """Raise a usage error if one of the command's `parameters` is given together with `option`."""
    source = click.get_current_context().get_parameter_source
    given = [name for name in parameters if source(name) is click.core.ParameterSource.COMMANDLINE]
    if given:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"{option} {reason}: leave out {names}")


def _speed(exposures: int, seconds: float, resumed: bool) -> dict[str, float]:
    """Return the number of exposures per second. Resumed work gets none, because an earlier process did a part."""
    return {} if resumed else {"exposures_per_second": exposures / seconds}
