"""The commands on documents that `edgerec bench` wrote: `bench report` and `bench compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgerec.bench.compare.stages import STAGES
from edgerec.cli.command import need
from edgerec.cli.options import (
    PATH,
    WholeNumber,
    force_option,
    json_option,
    public_key_option,
)
from edgerec.cli.output import emit

if TYPE_CHECKING:
    from edgerec.bench.document import BenchDocument


@click.command(name="report")
@click.argument("files", type=PATH, nargs=-1, required=True, metavar="FILE...")
@click.option("--html", type=PATH, help="Write a page with tables and plots to this file. This needs the extra report.")
@click.option("--markdown", type=PATH, help="Write the tables to this file, for a pull request.")
@force_option
@json_option
def bench_report(files: tuple[Path, ...], html: Path | None, markdown: Path | None, force: bool, as_json: bool) -> None:
    """Show what `edgerec bench --out FILE` measured, on one device or on several side by side.

    A FILE can also be a document of `edgerec replay --out FILE`: the report then has its Table 3.
    """
    need("device", "numpy")
    from edgerec.bench.report_documents import read_report_document

    documents = [read_report_document(path) for path in files]
    if html is not None:
        need("report", "plotly", "jinja2")
    from edgerec.bench.outputs import check_different
    from edgerec.cli.tables.bench_report import report_tables
    from edgerec.core.atomic import write_bytes
    from edgerec.reports.bench.markdown import check_markdown
    from edgerec.reports.bench.markdown import markdown as to_markdown
    from edgerec.reports.page import check_page

    check_different({"--html": html, "--markdown": markdown})
    if html is not None:
        check_page(html, force=force, inputs=files)
    if markdown is not None:
        check_markdown(markdown, force=force, inputs=files)
    if html is not None:
        from edgerec.reports.bench.page import page

        write_bytes(html, page(documents, files).encode())
    if markdown is not None:
        write_bytes(markdown, to_markdown(documents, files).encode())
    emit({"documents": documents}, as_json=as_json, table=report_tables(documents, files))


def _share(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Return a share that is written as `10%` or `0.1`."""
    if value is None:
        return None
    try:
        share = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 10:
        raise click.BadParameter(f"should be a slowdown such as 10% or 0.1; received {value!r}", context, option)
    return share


@click.command(name="compare")
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@click.option(
    "--stage",
    type=click.Choice(STAGES),
    help="Bundles: what to measure. Default: step.",
)
@click.option(
    "--runs", type=WholeNumber(10, 100), help="Bundles: number of new processes for each, at least 10. Default: 15."
)
@click.option("--rounds", type=WholeNumber(1, 10_000), help="Bundles: number of rounds of each process. Default: 20.")
@click.option("--python-a", type=PATH, help="Bundles: measure A with the EdgeRec of this Python interpreter.")
@click.option("--python-b", type=PATH, help="Bundles: measure B with the EdgeRec of this Python interpreter.")
@click.option("--out-a", type=PATH, help="Bundles: also write the document of A to this file.")
@click.option("--out-b", type=PATH, help="Bundles: also write the document of B to this file.")
@click.option(
    "--fail-above",
    callback=_share,
    metavar="PERCENT",
    help="Exit with code 1 if a row of B is slower than A by more than this, such as 10%. The whole 95 % interval must "
    "be above it.",
)
@public_key_option
@click.option("--out", type=PATH, help="Also write the comparison to this file, as JSON.")
@force_option
@json_option
def bench_compare(
    a: Path,
    b: Path,
    fail_above: float | None,
    out_a: Path | None,
    out_b: Path | None,
    public_key: Path | None,
    out: Path | None,
    force: bool,
    as_json: bool,
    **measuring: Any,
) -> None:
    """Say whether B is slower or faster than A, or the same within the noise.

    A and B are two files that `edgerec bench ... --out FILE` wrote, or two bundles. Bundles are measured in pairs of
    new processes that take turns, so that a busy machine slows both alike.
    """
    need("device", "numpy")
    from edgerec.bench.compare.verdict import compare
    from edgerec.bench.document import read_bench_document
    from edgerec.bench.outputs import check_different
    from edgerec.cli.tables.bench_documents import compare_table
    from edgerec.core.atomic import check_document, write_json
    from edgerec.core.errors import InputError, SlowdownError

    check_different({"--out": out, "--out-a": out_a, "--out-b": out_b})
    for path in (out, out_a, out_b):
        if path is not None:
            check_document(path, force=force, inputs=[a, b])
    given = {name: value for name, value in measuring.items() if value is not None}
    for path in (a, b):
        if not path.exists():
            raise InputError(f"bench compare: {path} does not exist: give two files of `edgerec bench`, or two bundles")
    if a.is_dir() != b.is_dir():
        raise InputError(f"bench compare: A and B should be two files or two bundles; received {a} and {b}")
    if a.is_dir():
        documents = _measure_in_turns(a, b, public_key, **given)
        for path, document in zip((out_a, out_b), documents, strict=True):
            if path is not None:
                write_json(path, document.to_json())
    else:
        for name in (*given, *(name for name, path in (("out_a", out_a), ("out_b", out_b)) if path is not None)):
            raise InputError(
                f"bench compare: --{name.replace('_', '-')} is for two bundles; received the files {a} and {b}"
            )
        documents = [read_bench_document(path) for path in (a, b)]
    found = compare(*documents, fail_above=fail_above)
    if out is not None:
        write_json(out, {"schema": 1, **found})
    emit(found, as_json=as_json, table=compare_table(found))
    if found["failed"]:
        raise SlowdownError(f"bench compare: slower than --fail-above allows: {', '.join(found['failed'])}")


def _measure_in_turns(
    a: Path,
    b: Path,
    public_key: Path | None,
    *,
    stage: str = "step",
    runs: int = 15,
    rounds: int | None = None,
    python_a: Path | None = None,
    python_b: Path | None = None,
) -> list[BenchDocument]:
    need("device", "MNN", "psutil")
    from edgerec.bench.compare.in_turns import ROUNDS, Side, command_of, measure_in_turns

    sides = [Side("A", a, command_of(python_a)), Side("B", b, command_of(python_b))]
    return measure_in_turns(sides, stage=stage, runs=runs, rounds=rounds or ROUNDS, public_key=public_key)
