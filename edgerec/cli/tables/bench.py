"""The tables of `edgerec bench`. They fit into 100 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgerec.bench.document import BenchDocument, Ratio, Row
from edgerec.bench.stages.personal import STAGES as PERSONAL_STAGES
from edgerec.bench.warnings import machine_warnings
from edgerec.cli.output import table_of
from edgerec.core.text import counted, shown

_MARK = "!"


def bench_table(document: BenchDocument) -> Group:
    """Return the tables of the document of `run_bench`, without the parts that were not measured."""
    parts: list[RenderableType] = []
    for part in _parts(document):
        parts += [part, ""]
    return Group(*parts[:-1])


def _parts(document: BenchDocument) -> Iterator[RenderableType]:
    yield Text(shown(_head(document)))
    plain = [row for row in document.results if not row.parameters]
    if plain:
        yield _rows(plain, document.ratios)
    for parameter in dict.fromkeys(name for row in document.results for name in row.parameters):
        yield _sweep(parameter, [row for row in document.results if parameter in row.parameters])
    judged = [(row, row.quality) for row in document.results if row.quality is not None]
    if judged:
        yield _compact(
            ("plans", "feeds", "gap, mean", "gap, largest", "rules broken", "against"),
            [
                (
                    f"{row.stage}  {row.name}",
                    f"{found.compared} of {found.instances}",
                    *("" if gap is None else f"{gap:.4%}" for gap in (found.gap_mean, found.gap_max)),
                    f"{found.violations}",
                    found.reference,
                )
                for row, found in judged
            ],
        )
    if document.operations:
        yield _compact(
            ("operations", "commands", "us in one run", "share"),
            [
                (
                    f"{one.stage}  {one.type}",
                    f"{one.commands}",
                    _number(one.mean_us),
                    "" if one.share is None else f"{one.share:.0%}",
                )
                for one in document.operations
            ],
        )
    if document.size:
        yield _compact(
            ("size", "MB", "paper, MB"),
            [
                (f"{one.half}  {one.part}", _mb(one.bytes), "" if one.paper_bytes is None else _mb(one.paper_bytes))
                for one in document.size
            ],
        )
    if document.personal is not None:
        yield _compact(
            ("patch of one user", ""),
            [(name.replace("_", " "), f"{value}") for name, value in document.personal],
        )
    if document.cold:
        yield _compact(
            ("cold start, ms", "median", "min", "max"),
            [
                (one.phase, *(f"{each:.1f}" for each in (one.median_ms, one.min_ms, one.max_ms)))
                for one in document.cold
            ],
        )
    if document.memory:
        yield _compact(
            ("memory, MB", "resident", "private", "above NumPy and MNN"),
            [
                (
                    one.phase,
                    _mb(one.resident_bytes),
                    "" if one.private_bytes is None else _mb(one.private_bytes),
                    _mb(one.above_base_bytes),
                )
                for one in document.memory
            ],
        )
    if document.sustained:
        yield _compact(
            ("sustained", "p50", "p99", "MHz", "°C"),
            [
                (
                    f"{one.stage}  {one.name}  from {one.second:.1f} s",
                    *(_number(each) for each in (one.p50_us, one.p99_us, one.frequency_mhz, one.temperature_c)),
                )
                for one in document.sustained[:: -(-len(document.sustained) // 10)]
            ],
        )
    if document.energy:
        yield _compact(
            ("energy", "microjoules per call"),
            [(f"{one.stage}  {one.name}", f"{one.microjoules:,.0f}") for one in document.energy],
        )
    if document.targets:
        yield _compact(
            ("target", "required", "excellent", "measured", "result"),
            [
                (one.what, f"{one.required:g} {one.unit}", f"{one.excellent:g}", f"{one.measured:.3g}", one.result)
                for one in document.targets
            ],
        )
    notes = [f"not measured: {one.peer}: {one.reason}" for one in document.failed]
    notes += [f"{_MARK} {warning}" for warning in machine_warnings(document)]
    if notes:
        yield Group(*(Text(shown(note)) for note in notes))


def _head(document: BenchDocument) -> str:
    machine, settings = document.environment, document.settings
    parts = [f"{machine.processor}, {machine.cores_usable} of {machine.cores} cores"]
    if document.bundle is not None:
        parts += [f"MNN {machine.versions.get('MNN')}", f"{document.model} {document.precision}"]
    if document.results:
        threads = f", {settings.threads} threads" if settings.threads > 1 else ""
        rounds, processes = (
            counted(settings.rounds, "round", "rounds"),
            counted(settings.processes, "process", "processes"),
        )
        parts.append(f"{rounds} in {processes}{threads}")
    return "; ".join(parts)


def _rows(rows: Sequence[Row], ratios: Sequence[Ratio]) -> Table:
    against = {(one.stage, one.peer): one for one in ratios if not one.parameters}
    cells = []
    for stage in dict.fromkeys(row.stage for row in rows):
        cells.append((stage, *[""] * 6))
        for row in rows:
            if row.stage != stage:
                continue
            ratio = against.get((row.stage, row.name))
            cells.append(
                (
                    f"  {row.name}{f' {_MARK}' if row.unstable else ''}",
                    *(_number(each) for each in (row.p50_us, row.p90_us, row.p99_us, row.cpu_us)),
                    f"{row.spread:.0%}",
                    f"{_ratio(ratio.median)} ({_ratio(ratio.min)} to {_ratio(ratio.max)})" if ratio else "",
                )
            )
    return _compact(("microseconds per call", "p50", "p90", "p99", "cpu", "spread", f"{_reference(rows)} / it"), cells)


def _reference(rows: Sequence[Row]) -> str:
    """Return what the others are compared with: the engine, this package, or either of them, by stage."""
    own = [row.stage in ("mix", *PERSONAL_STAGES) for row in rows]
    return "edgerec" if all(own) else "mnn or edgerec" if any(own) else "mnn"


def _sweep(parameter: str, rows: Sequence[Row]) -> Table:
    values = list(dict.fromkeys(row.parameters[parameter] for row in rows))
    found = {(row.stage, row.name, row.parameters[parameter]): row for row in rows}
    names = dict.fromkeys((row.stage, row.name) for row in rows)
    cells = [
        (
            f"{stage}  {name}",
            *(_number(found[stage, name, value].p50_us) if (stage, name, value) in found else "" for value in values),
        )
        for stage, name in names
    ]
    return _compact((f"p50 by {parameter}", *map(str, values)), cells)


def _compact(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table without the columns that have no value in any row."""
    kept = [index for index in range(len(columns)) if not index or any(row[index] for row in rows)]
    table = table_of([columns[index] for index in kept], [[row[index] for index in kept] for row in rows])
    table.padding = (0, 1)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    return table


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def _ratio(value: float) -> str:
    """Return at least two decimals and at least two significant digits."""
    decimals = 2 if value <= 0 else max(2, 1 - math.floor(math.log10(value)))
    return f"{value:.{decimals}f}"


def _mb(count: int) -> str:
    return f"{count / 1e6:.2f}"


def kv_table(document: dict[str, Any]) -> Table:
    """Return the table of the document of `run_kv_bench`."""
    rows = [
        (
            f"{row['stage']}  {row['name']}",
            f"{row['n']:,}",
            *(f"{row[f'{key}_us']:.1f}" for key in ("p50", "p90", "p99")),
            *(f"{row[key] / 1e6:,.1f}" for key in ("resident_bytes", "private_bytes")),
            f"{row['hit_rate']:.1%}" if "hit_rate" in row else "",
        )
        for row in document["results"]
    ]
    sizes = document["sizes"]
    title = f"microseconds per page of {sizes['items']} items x {len(sizes['tables'])} features; memory in MB"
    return table_of(("", "n", "p50", "p90", "p99", "resident", "private part", "hits"), rows, title=title)


def training_table(document: dict[str, Any]) -> Table:
    """Return the table of the document of `run_training_bench`."""
    rows = [
        (row["name"], row["stage"], f"{row['p50_us'] / 1000:.1f}", f"{row['p90_us'] / 1000:.1f}", str(row["n"]))
        for row in document["results"]
    ]
    for name, speed in document["requests_per_second"].items():
        rows.append((name, "requests/s", f"{speed:,.0f}", "", ""))
    for ratio in document["ratios"]:
        limits = f"{ratio['min']:.2f} to {ratio['max']:.2f}"
        rows.append((f"{ratio['of']} / {ratio['to']}", "time of a round", f"{ratio['median']:.3f}", limits, ""))
    rows.append(("", "largest difference of losses", f"{document['loss_difference']:.1e}", "", ""))
    return table_of(("name", "stage", "p50, ms", "p90, ms", "n"), rows)
