"""The page and the Markdown of `edgerec bench`: every number is one of the document, and nothing is missing."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgerec.reports.bench.blocks import blocks_of
from edgerec.reports.bench.markdown import check_markdown, markdown
from tests.command_line import document, edgerec_here, error_line
from tests.reports.bench_documents import bench_document, replay_document
from tests.reports.parsed_page import Page

NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[-+]\d+)?(?![\w.])")
SCALES = (1.0, 1e-3, 1e-6, 1e-9, 100.0)
"""Factors between the units of the document and of the page: milliseconds, MB, GB, percent."""
ONE = {"environment", "settings", "sizes"}
RAW = {"samples_us", "warmup_us", "quantiles_us", "samples_ms", "samples_bytes"}
HEADS = {"p50", "p99"}
BLOCKS = [
    "warnings", "where", "targets", "names", "latency", "steps", "candidates", "threads", "peers", "sweeps", "size",
    "table3", "operations", "cold", "memory", "sustained", "energy", "environment",
]  # fmt: skip


def numbers(value: Any) -> Iterator[float]:
    """Yield all numbers in a JSON value, without raw durations."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from () if key in RAW else numbers(each)
    elif isinstance(value, list):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects in a JSON value that describe one thing: an entry of a list, or the environment."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key in ONE:
                yield each
            yield from objects(each)
    elif isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))
        for each in value:
            yield from objects(each)


def strings(value: Any) -> Iterator[str]:
    """Yield all strings in a JSON value, also those that are keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)


def is_rounded(text: str, of: float) -> bool:
    """Return whether `text` is this number, rounded to the decimals of `text`, in one of the units."""
    plain = text.replace(",", "")
    unit = 10.0 ** (int(plain.partition("e")[2] or 0) - len(plain.partition("e")[0].partition(".")[2]))
    return any(abs(of * scale - float(plain)) <= 0.5001 * unit for scale in SCALES)


def foreign_rows(rows: list[list[str]], source: list[dict[str, Any]]) -> list[list[str]]:
    """Return the rows of tables with a number that is not in the object which has the row's other numbers."""
    names = sorted(set(strings(source)), key=len, reverse=True)
    entries = [list(numbers(each)) for each in [*objects(source), *({"seconds": d.get("seconds")} for d in source)]]

    def is_foreign(row: list[str]) -> bool:
        found = []
        for cell in row:
            for name in names:
                cell = cell.replace(name, " ") if not name.isdigit() else cell
            found += NUMBER.findall(cell)
        return not any(all(any(is_rounded(text, of) for of in entry) for text in found) for entry in entries)

    return [row for row in rows if is_foreign(row)]


def values(trace: dict[str, Any]) -> Iterator[float]:
    """Yield the numbers that a trace draws."""
    for axis in ("x", "y"):
        yield from (value for value in trace[axis] if isinstance(value, (int, float)))


@pytest.fixture(scope="module")
def source() -> list[dict[str, Any]]:
    return [bench_document(1), bench_document(2, processor="Other processor"), replay_document()]


@pytest.fixture(scope="module")
def page_text(source: list[dict[str, Any]]) -> str:
    pytest.importorskip("jinja2")
    pytest.importorskip("plotly")
    from edgerec.reports.bench.page import page

    return page(source)


@pytest.fixture(scope="module")
def parsed(page_text: str) -> Page:
    return Page(page_text)


def test_every_number_in_a_table_is_in_the_document(source: list[dict[str, Any]], parsed: Page) -> None:
    from edgerec.reports.bench.page import page

    one = [source[0], source[2]]
    rows = Page(page(one)).rows
    assert len(rows) > 70
    assert [row for row in foreign_rows(rows, one) if not HEADS & set(row)] == []
    # With two devices, the rows of each are those of its document.
    for letter, each in zip("AB", source[:2], strict=True):
        rows = [row for row in parsed.rows if letter in row[1:]]
        assert len(rows) > 40
        assert [row for row in foreign_rows(rows, [each]) if row[0]] == []


def test_every_number_of_a_plot_is_in_the_documents(source: list[dict[str, Any]], parsed: Page) -> None:
    known = {value for each in source for value in (*numbers(each), *each.get("quantiles", []))}
    known |= {value for each in source[:2] for row in each["results"] for value in row["quantiles_us"]}
    drawn = [value for plot in parsed.plots.values() for trace in plot["data"] for value in values(trace)]
    assert len(drawn) > 1000
    assert set(drawn) <= known


def test_the_check_of_numbers_finds_a_wrong_one(source: list[dict[str, Any]], parsed: Page) -> None:
    row = next(row for row in parsed.rows if row[:2] == ["rerank", "mnn"])
    wrong = [*row[:4], f"{float(row[4].replace(',', '')) + 2:.0f}", *row[5:]]
    assert foreign_rows([row, wrong], source) == [wrong]


def test_the_page_has_a_section_for_each_part_and_a_place_for_each_plot(
    source: list[dict[str, Any]], page_text: str, parsed: Page
) -> None:
    assert {*BLOCKS, "replay"} <= parsed.elements
    assert set(parsed.plots) <= parsed.elements
    assert {name.partition("-")[0] for name in parsed.plots} == {
        "latency", "steps", "candidates", "threads", "peers", "size", "operations", "cold", "memory", "sustained",
    }  # fmt: skip
    assert "<b>Softmax" not in page_text
    assert [block.id for block in blocks_of(source[:1])] == BLOCKS


def test_a_part_without_data_is_left_out() -> None:
    short = {**bench_document(), "results": [], "table3": [], "cold": [], "warnings": [], "failed": []}
    assert {"latency", "steps", "candidates", "threads", "table3", "cold", "warnings"} == {*BLOCKS} - {
        block.id for block in blocks_of([short])
    }


def test_devices_with_the_same_name_are_told_apart_by_their_files(source: list[dict[str, Any]]) -> None:
    heads = [
        next(block for block in blocks_of(documents, files) if block.id == "where").table.columns  # type: ignore[union-attr]
        for documents, files in (
            (source[:2], ()),
            ([source[0]] * 2, (Path("a.json"), Path("b.json"))),
            ([source[0]] * 2, (Path("a/x.json"), Path("b/x.json"))),
        )
    ]
    assert heads == [
        ("", "Test processor, x86_64", "Other processor, x86_64"),
        ("", "Test processor, x86_64, a.json", "Test processor, x86_64, b.json"),
        ("", "Test processor, x86_64, x.json (1)", "Test processor, x86_64, x.json (2)"),
    ]


def test_markdown_has_the_same_rows_as_the_page(source: list[dict[str, Any]], parsed: Page) -> None:
    text = markdown(source)
    lines = [line for line in text.splitlines() if line.startswith("|") and not set(line) <= set("|-: ")]
    assert len(lines) == len(parsed.rows)
    assert "\\<b\\>Softmax" in text


def test_bench_report_writes_the_page_and_the_markdown(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("plotly")
    for name, content in (("a", bench_document()), ("replay", {"schema": 1, **replay_document()})):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    inputs = [tmp_path / "a.json", tmp_path / "replay.json"]
    outputs = ["--html", tmp_path / "page.html", "--markdown", tmp_path / "report.md"]
    found = document(edgerec_here("bench", "report", *inputs, *outputs, "--json"))
    assert found["documents"] == [bench_document(), replay_document()]
    assert "Table 3 of a replay" in (tmp_path / "page.html").read_text()
    assert "Test processor" in edgerec_here("bench", "report", *inputs, "--force", *outputs).stdout
    (tmp_path / "report.md").write_text("# My notes\n")
    assert "is no report" in error_line(edgerec_here("bench", "report", *inputs, "--force", *outputs))
    same = ["--html", tmp_path / "same", "--markdown", tmp_path / "same"]
    assert "--html and --markdown should name different files" in error_line(
        edgerec_here("bench", "report", *inputs, *same)
    )
    check_markdown(tmp_path / "new.md", force=False)


def test_the_tables_in_a_terminal_fit_and_do_not_wrap_numbers(source: list[dict[str, Any]]) -> None:
    console_of = pytest.importorskip("rich.console").Console
    from edgerec.cli.tables.bench_report import report_tables

    files = [Path("a.json"), Path("b.json"), Path("replay.json")]
    shown = {}
    for width in (80, 200):
        console = console_of(width=width, file=io.StringIO())
        console.print(report_tables(source, files))
        shown[width] = [line.rstrip() for line in console.file.getvalue().splitlines()]
        assert max(map(len, shown[width])) <= width
    row = next(row for row in source[1]["results"] if row["name"] == "onnxruntime")
    line = next(line for line in shown[80] if re.match(r" +onnxruntime +B ", line))
    assert {f"{row['spread']:.1%}".replace("%", ""), "unsteady"} <= {*line.split()}
    assert shown[80][:2] == ["A: Test processor, x86_64", "B: Other processor, x86_64"]
    assert "Warnings" in shown[80][-12:]
    assert [any("p99.9" in line for line in lines) for lines in shown.values()] == [False, True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"schema": 1, "documents": []}, "is no document of `edgerec bench`"),
        ({**bench_document(), "schema": 2}, "has schema 2"),
        ({**bench_document(), "settings": {}}, "settings.rounds"),
        ({**replay_document(), "table3": [{"what": "a"}]}, "table3"),
    ],
)
def test_bench_report_refuses_other_documents(content: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert message in error_line(edgerec_here("bench", "report", tmp_path / "a.json"))
