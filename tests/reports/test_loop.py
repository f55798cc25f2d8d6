"""The page, the Markdown and the terminal tables of `edgerec loop`, on documents that are made here."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from edgerec.core.errors import OutputError
from edgerec.reports.loop.blocks import blocks_of
from edgerec.reports.loop.lead import headline
from edgerec.reports.loop.markdown import check_markdown, markdown
from tests.reports.ab_test_documents import loop_document
from tests.reports.parsed_page import Page, body_of

SECTIONS = {"by-round", "rounds", "p-values", "buckets", "world", "words"}
PLOTS = ["by-round-click", "by-round-ctr", "by-round-gmv", "by-round-pv"]


@pytest.fixture(scope="module")
def source() -> dict[str, Any]:
    return loop_document()


def page_of(document: dict[str, Any]) -> str:
    pytest.importorskip("jinja2")
    pytest.importorskip("plotly")
    from edgerec.reports.loop.page import page

    return page(document)


def terminal(document: dict[str, Any], width: int) -> list[str]:
    from rich.console import Console

    from edgerec.cli.tables.loop import loop_table

    console = Console(width=width, file=io.StringIO())
    console.print(loop_table(document))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_the_report_has_the_figures_of_the_document(source: dict[str, Any]) -> None:
    last = source["rounds"][-1]
    last["uplift"]["click"] = {"mean": 0.0934, "ci95": [0.0821, 0.1042], "p": 1e-150}
    last["against_first"]["click"] = {"mean": 0.0191, "ci95": [-0.0012, 0.031], "p": 0.07}
    last["first_uplift"]["click"] = {"mean": 0.0551, "ci95": [0.04, 0.07], "p": 0.0001}
    last["validation_gauc"] = 0.68126
    source["rounds"][0]["first_uplift"]["click"]["mean"] = 0.081
    assert headline(source) == (
        "In this simulated world, the model of round 4 raised clicks by 9.3 % (95 %: 8.2 to 10.4 %) against the cloud "
        "alone; against the model of round 1, it did not clearly change clicks: +1.9 % (95 %: -0.1 to +3.1 %)."
    )
    text = markdown(source)
    assert "+8.1 % in its own round, and +5.5 % in round 4" in text
    assert "+9.34 % (+8.21 to +10.42)" in text
    assert "| 4 | latest model | cloud | CLICK | +9.34 % | +8.21 to +10.42 % | \\< 1e-99 |" in text
    assert "| 4 | first model | cloud | CLICK | +5.51 % | +4.00 to +7.00 % | 1.0e-04 |" in text
    assert " | 0.6813 | 28 to 34 | " in text
    parsed = Page(page_of(source))
    assert ["4", "latest model", "first model", "CLICK", "+1.91 %", "-0.12 to +3.10 %", "0.070"] in parsed.rows
    assert parsed.elements >= {*SECTIONS, *PLOTS}
    assert sorted(parsed.plots) == PLOTS
    shown = terminal(source, 80)
    assert max(map(len, shown)) <= 80
    row = "4 +9.3 % (+8.2 to +10.4) +5.5 % (+4.0 to +7.0) +1.9 % (-0.1 to +3.1)"
    assert row in [" ".join(line.split()) for line in shown]


def test_plots_show_both_models_with_intervals(source: dict[str, Any]) -> None:
    for key in ("click", "gmv"):
        latest, first = Page(page_of(source)).plots[f"by-round-{key}"]["data"]
        assert (latest["name"], first["name"]) == ("latest model", "first model")
        for trace, name in ((latest, "uplift"), (first, "first_uplift")):
            entries = [each[name][key] for each in source["rounds"]]
            assert trace["y"] == [entry["mean"] for entry in entries]
            lows = [y - low for y, low in zip(trace["y"], trace["error_y"]["arrayminus"], strict=True)]
            assert lows == pytest.approx([entry["ci95"][0] for entry in entries])
            assert [round(x) for x in trace["x"]] == [1, 2, 3, 4]


def test_the_report_says_where_the_first_model_comes_from() -> None:
    document = loop_document(2)
    later = "each later one is trained further on logs of the latest model's devices in the round before"
    for text in (markdown(document), body_of(page_of(document)).replace("&#39;", "'")):
        assert f"The first model is trained on simulated logs; {later}." in text
        assert "cloud alone, each later" not in text
    rounds = next(block.table for block in blocks_of(document) if block.id == "rounds")
    assert rounds is not None
    logs = rounds.columns.index("logs")
    assert [row[logs] for row in rounds.rows] == ["simulated logs", "latest of round 1"]
    assert [row[rounds.columns.index("days, inclusive")] for row in rounds.rows] == ["7 to 13", "14 to 20"]
    document["rounds"][0]["trained_on"] = {"bucket": None, "requests": None, "clicks": None}
    assert f"The first model was given; {later}." in markdown(document)
    assert "trained on simulated logs" not in markdown(document)
    assert "| a new model | not known | not measured | not measured |" in markdown(document)


def test_one_round_has_no_first_model_to_compare_with() -> None:
    document = loop_document(1)
    assert headline(document).endswith("against the cloud alone.")
    assert "in its own round" not in markdown(document)
    assert "first model |" in markdown(document)
    assert "latest model | first model" not in markdown(document)
    assert sorted(Page(page_of(document)).plots) == PLOTS
    assert any(line.startswith("1 ") and line.endswith(" -") for line in terminal(document, 80))


def test_values_that_are_none_are_not_measured() -> None:
    document = loop_document(2)
    for each in document["rounds"]:
        each |= {
            "uplift": {"click": {"mean": None, "ci95": None, "p": None}},
            "against_first": None,
            "first_uplift": {},
        }
        each |= {"trained_on": None, "days": None, "validation_gauc": None, "seconds": None, "buckets": {}}
    document["world"] = None
    assert "was not measured" in headline(document)
    assert Page(page_of(document)).plots == {}
    for text in (body_of(page_of(document)), markdown(document), "\n".join(terminal(document, 120))):
        assert "not measured" in text
        assert "None" not in text
    empty = loop_document(0)
    assert headline(empty).startswith("No round is complete")
    assert {block.id for block in blocks_of(empty)} == {"world", "words"}
    assert Page(page_of(empty)).plots == {}
    assert terminal(empty, 80)


def test_names_cannot_write_into_the_report() -> None:
    document = loop_document(2)
    hostile = "<b>x</b>|\x1b[31m"
    for each in document["rounds"]:
        each |= {"version_id": hostile, "trained_from": hostile, "buckets": {hostile: each["buckets"]["cloud"]}}
        each["trained_on"]["bucket"] = hostile
    for text in (page_of(document), markdown(document)):
        assert "<b>x" not in text.replace("\\<b\\>", "")
        assert "\x1b" not in text
    assert "\\<b\\>x\\</b\\>\\|" in markdown(document)


def test_only_a_report_is_replaced(source: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_text(markdown(source), encoding="utf-8")
    check_markdown(path, force=True)
    path.write_text("## A/B test in a simulated world\n")
    with pytest.raises(OutputError, match="is no report of `edgerec loop`"):
        check_markdown(path, force=True)
