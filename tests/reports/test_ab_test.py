"""The page, the Markdown and the terminal tables of `edgerec abtest`, on documents that are made here."""

from __future__ import annotations

import copy
import io
import re
from pathlib import Path
from typing import Any

import pytest

from edgerec.core.errors import OutputError
from edgerec.reports.ab_test.blocks import blocks_of
from edgerec.reports.ab_test.comparisons import brief_comparisons
from edgerec.reports.ab_test.lead import headline
from edgerec.reports.ab_test.markdown import check_markdown, markdown
from edgerec.reports.block import Block
from edgerec.reports.cells import p_value
from tests.reports.ab_test_documents import LONG, PAPER, ab_test_document
from tests.reports.parsed_page import Page, body_of

SECTIONS = [
    "uplift", "positions", "buckets", "comparisons", "p-values", "activity", "feedback", "power", "settings", "time",
    "world", "words",
]  # fmt: skip
HOSTILE = "<img src=x onerror=alert(1)>|`*[x](y)\x1b[31m</script>"
MANY = ("cloud", "crban", LONG, f"{LONG}-2", *(f"dnn_rank_{index}" for index in range(8)))


@pytest.fixture(scope="module")
def source() -> dict[str, Any]:
    return ab_test_document()


def page_of(document: dict[str, Any]) -> str:
    pytest.importorskip("jinja2")
    pytest.importorskip("plotly")
    from edgerec.reports.ab_test.page import page

    return page(document)


def terminal(document: dict[str, Any], width: int) -> list[str]:
    from rich.console import Console

    from edgerec.cli.tables.ab_test import ab_test_table

    console = Console(width=width, file=io.StringIO())
    console.print(ab_test_table(document))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def rows_of(document: dict[str, Any], name: str) -> list[tuple[str, ...]]:
    (block,) = [block for block in blocks_of(document) if block.id == name]
    assert block.table is not None
    assert all(len(row) == len(block.table.columns) for row in block.table.rows)
    return [tuple(row) for row in block.table.rows]


def block_of(document: dict[str, Any], name: str) -> Block | None:
    return next((block for block in blocks_of(document) if block.id == name), None)


def with_uplift(mean: float | None, ci95: list[float] | None, primary: str = "click") -> dict[str, Any]:
    document = ab_test_document(("cloud", "crban"))
    document["uplift"][primary] = {"mean": mean, "ci95": ci95, "p": 0.5, "p_adjusted": None, "paper": None}
    return {**document, "primary": primary}


@pytest.mark.parametrize(
    ("mean", "ci95", "primary", "expected"),
    [
        (0.081, [0.07, 0.092], "click", "EdgeRec raised clicks by 8.1 % (95 %: 7.0 to 9.2 %)."),
        (-0.031, [-0.042, -0.02], "click", "EdgeRec lowered clicks by 3.1 % (95 %: 2.0 to 4.2 %)."),
        (0.003, [-0.005, 0.011], "ctr", "did not clearly change the click rate: +0.3 % (95 %: -0.5 to +1.1 %)."),
        (0.0021, [0.0012, 0.003], "pv", "raised the exposures of a user by 0.21 % (95 %: 0.12 to 0.30 %)."),
        (0.05, None, "gmv", "changed GMV by +5.0 % (without an interval)."),
        (None, None, "click", "The effect of EdgeRec on clicks was not measured."),
    ],
)
def test_the_headline_says_the_result_in_one_sentence(
    mean: float | None, ci95: list[float] | None, primary: str, expected: str
) -> None:
    found = headline(with_uplift(mean, ci95, primary))
    assert found.endswith(expected)
    assert found.startswith("In this simulated world, EdgeRec") or mean is None


def test_the_tables_have_the_figures_of_the_document() -> None:
    document = with_uplift(0.08114, [0.07001, 0.09249])
    document["uplift"]["click"] |= {"p": 1e-120, "p_adjusted": 0.00012345, "paper": PAPER["click"]}
    document["buckets"]["crban"] |= {"users": 1999, "pv": 132.456, "ctr": 0.06789, "orders": 48.0, "pages": 4.0}
    document["positions"] = {
        "cloud": [{"from": 1, "to": 1, "exposures": 81234, "clicks": 7311, "rate": 0.09, "ci95": [0.088, 0.092]}],
        "crban": [{"from": 51, "to": None, "exposures": 0, "clicks": 0, "rate": None, "ci95": None}],
    }
    row = ("CLICK", "+8.11 %", "+7.00 to +9.25 %", "< 1e-99", "1.2e-04", "+8.87 %")
    assert row in rows_of(document, "uplift")
    assert rows_of(document, "buckets")[1][:5] == (
        "crban",
        "1,999",
        rows_of(document, "buckets")[1][2],
        "132.46",
        "6.79 %",
    )
    assert rows_of(document, "feedback")[1] == ("crban", "48.00", "4.00", "12.00")
    assert rows_of(document, "positions") == [
        ("cloud", "1", "81,234", "7,311", "9.00 %", "8.80 to 9.20 %"),
        ("crban", "51 and more", "0", "0", "not measured", "not measured"),
    ]
    assert rows_of(document, "time") == [
        ("simulated user", "190", "22.2 %", "11.0"),
        ("device: client, store and models", "504", "58.8 %", "29.2"),
        ("cloud: recall, initial ranking and pages", "71.9", "8.4 %", "4.17"),
        ("rest: new stores and clients, and files", "91.4", "10.7 %", "5.30"),
    ]
    text = markdown(document)
    assert f"| {' | '.join(row)} |".replace("<", "\\<") in text
    assert "**In this simulated world, EdgeRec raised clicks by 8.1 % (95 %: 7.0 to 9.2 %).**" in text
    assert "> This is a simulation" in text
    page = page_of(document)
    assert list(row) in Page(page).rows
    assert "raised clicks by 8.1\u00a0% (95\u00a0%: 7.0 to 9.2\u00a0%)." in page
    shown = terminal(document, 80)
    assert any(
        line.split() == ["CLICK", "+8.11", "%", "+7.00", "to", "+9.25", "%", "<", "1e-99", "1.2e-04", "+8.87", "%"]
        for line in shown
    )


def test_p_values_are_bounded_where_a_float_ends() -> None:
    assert [p_value(p) for p in (0.0, 1e-120, 1e-99, 2.34e-5, 0.001, 0.5, 1.0)] == [
        "< 1e-99", "< 1e-99", "1.0e-99", "2.3e-05", "0.001", "0.500", "1.000",
    ]  # fmt: skip


def test_the_note_on_time_has_only_figures_that_belong_together(source: dict[str, Any]) -> None:
    block = block_of(source, "time")
    assert block is not None
    assert block.table is not None
    assert list(block.table.columns) == ["part", "seconds", "share", "milliseconds a session"]
    # A resumed test has simulated some of its sessions before, so the seconds of this command are not those of all.
    assert block.note == (
        "17,234 sessions took 857 seconds, summed over all processes, or 40.2 sessions a second with 2 processes. "
        "Seconds are wall time: a process that waits for a processor counts, too."
    )
    alone = block_of(source | {"sessions_per_second": None, "time": None}, "time")
    assert alone is not None
    assert alone.table is None
    assert alone.note == "17,234 sessions. Their time was not measured."
    assert rows_of(source | {"time": {"user": 3.0, "other": 1.0}}, "time")[1][:3] == ("other", "1", "25.0 %")


def test_all_comparisons_are_listed(source: dict[str, Any]) -> None:
    found = [(entry["bucket"], entry["against"]) for entry in source["comparisons"]]
    assert len(found) == 5
    assert [row[:2] for row in rows_of(source, "comparisons")] == found
    assert [row[:3] for row in rows_of(source, "p-values")] == [
        (*pair, name) for pair in found for name in ("PV", "CTR", "CLICK", "GMV")
    ]
    entry = source["comparisons"][-1]["uplift"]["gmv"]
    low, high = entry["ci95"]
    expected = f"{100 * entry['mean']:+.2f} % ({100 * low:+.2f} to {100 * high:+.2f})"
    assert rows_of(source, "comparisons")[-1][-1] == expected


@pytest.mark.parametrize(("design", "further"), [("paired", []), ("split", ["sample-ratio", "aa"])])
def test_the_page_has_the_sections_of_its_design(design: str, further: list[str]) -> None:
    document = ab_test_document(design=design)
    assert {block.id for block in blocks_of(document)} == {*SECTIONS, *further}
    parsed = Page(page_of(document))
    assert {*SECTIONS, *further, *parsed.plots} <= parsed.elements
    assert set(parsed.plots) == {
        "uplift-forest", "positions-rates", "comparisons-1", "comparisons-2", "activity-primary",
    }  # fmt: skip
    power = next(block.table for block in blocks_of(document) if block.id == "power")
    assert power is not None
    assert len(power.columns) == (5 if design == "split" else 3)


def test_plots_show_the_values_of_the_document(source: dict[str, Any]) -> None:
    plots = Page(page_of(source)).plots
    measured, paper = plots["uplift-forest"]["data"]
    assert measured["x"] == [source["uplift"][key]["mean"] for key in PAPER]
    ends = [(x - low, x + high) for x, low, high in zip(
        measured["x"], measured["error_x"]["arrayminus"], measured["error_x"]["array"], strict=True
    )]  # fmt: skip
    assert ends == [pytest.approx(source["uplift"][key]["ci95"]) for key in PAPER]
    assert paper["name"] == "a real deployment (paper)"
    assert paper["x"] == list(PAPER.values())
    rates = plots["positions-rates"]["data"]
    assert [trace["name"] for trace in rates] == list(source["positions"])
    for trace, entries in zip(rates, source["positions"].values(), strict=True):
        assert trace["y"] == [entry["rate"] for entry in entries]
        assert trace["x"][0] == (entries[0]["from"] + entries[0]["to"]) / 2
    low, high = plots["uplift-forest"]["layout"]["xaxis"]["range"]
    assert all(low < end < high for key in PAPER for end in (*source["uplift"][key]["ci95"], 0.0, PAPER[key]))


def test_positions_that_few_users_reach_are_only_in_the_table(source: dict[str, Any]) -> None:
    document = copy.deepcopy(source)
    for entries in document["positions"].values():
        entries.append({"from": 201, "to": None, "exposures": 40, "clicks": 9, "rate": 0.225, "ci95": [0.02, 0.43]})
    plot, before = (Page(page_of(each)).plots["positions-rates"] for each in (document, source))
    assert plot["data"] == before["data"]
    assert ("crban", "201 and more", "40", "9", "22.50 %", "2.00 to 43.00 %") in rows_of(document, "positions")


def test_one_bucket_has_nothing_to_compare() -> None:
    document = ab_test_document(("cloud",))
    assert "nothing to compare" in headline(document)
    assert {"uplift", "comparisons", "p-values", "activity"}.isdisjoint(block.id for block in blocks_of(document))
    assert set(Page(page_of(document)).plots) == {"positions-rates"}
    assert "nothing to compare" in markdown(document)
    assert "nothing to compare" in terminal(document, 80)[0]


def test_values_that_are_none_are_not_measured() -> None:
    document = ab_test_document(("cloud", "crban", "dnn_rank"), design="split")
    nothing = {"mean": None, "ci95": None, "p": None, "p_adjusted": None}
    for entry in (*document["comparisons"], *document["activity"]):
        entry["uplift"] = dict.fromkeys(PAPER, nothing)
    document["uplift"] = {key: {**nothing, "paper": None} for key in PAPER}
    document["power"] = {key: {"smallest_uplift": None, "users_for_paper": None, "with_cuped": None} for key in PAPER}
    document["buckets"]["crban"] = dict.fromkeys(document["buckets"]["crban"])
    document["positions"] = {name: [] for name in document["positions"]}
    document |= {"time": None, "winsorised": None, "sessions_per_second": None, "world": None}
    document["sample_ratio"]["p"] = None
    document["aa"]["metrics"]["pv"] = {"ks_p": None, "below_5_percent": None}
    assert rows_of(document, "uplift")[0] == ("PV", *["not measured"] * 4, "-")
    assert rows_of(document, "buckets")[1] == ("crban", *["not measured"] * 7)
    assert rows_of(document, "power")[0] == ("PV", "not measured", "not measured")
    assert Page(page_of(document)).plots == {}
    for text in (body_of(page_of(document)), markdown(document), "\n".join(terminal(document, 120))):
        assert "not measured" in text
        assert "None" not in text


def test_names_of_buckets_cannot_write_into_the_report() -> None:
    document = ab_test_document(("cloud", HOSTILE, f"{HOSTILE} 2"), design="split")
    document["buckets"][HOSTILE]["settings"] = {HOSTILE: HOSTILE}
    page = page_of(document)
    assert "<img" not in page
    assert page.count("</script>") == page_of(ab_test_document(("cloud", "a", "b"), design="split")).count("</script>")
    assert "\x1b" not in page
    plots = Page(page).plots
    for plot in plots.values():
        for trace in plot["data"]:
            assert "<img" not in str(trace)
        assert "<img" not in str(plot["layout"]["yaxis"])
    text = markdown(document)
    assert "\\<img src=x onerror=alert(1)\\>\\|\\`\\*\\[x\\](y)" in text
    assert "\x1b" not in text + "\n".join(terminal(document, 120))
    lines = [line for line in text.splitlines() if "img" in line]
    assert {line[:4] for line in lines} >= {"### ", "| \\<"}
    assert len([line for line in lines if line.startswith("|")]) > 10
    for line in text.splitlines():
        # What is left of a line without escaped characters is Markdown: it comes from the report, and not from names.
        left = re.sub(r"\\.", "", line).removeprefix("> ")
        left = re.sub("^[*]{2}(.*)[*]{2}$", r"\1", left)
        left = re.sub("^(<details><summary>[A-Za-z]+</summary>|</details>)$", "", left)
        assert not set("<>`*[]\\") & set(left), line


def test_twelve_buckets_with_long_names_fit() -> None:
    document = ab_test_document(MANY, design="split")
    parsed = Page(page_of(document))
    rates = parsed.plots["positions-rates"]["data"]
    assert [trace["visible"] for trace in rates] == [True, True, *["legendonly"] * 10]
    labels = parsed.plots["comparisons-1"]["layout"]["yaxis"]["ticktext"]
    assert len({*labels}) == 11
    assert all(len(line) <= 22 for label in labels for line in label.split("<br>"))
    assert {LONG, f"{LONG}-2"} <= {row[0] for row in parsed.rows}
    # A name may wrap, a number does not.
    shown = terminal(document, 80)
    assert max(map(len, shown)) <= 80
    entry = document["comparisons"][-1]["uplift"]["click"]
    assert any(f"{100 * entry['mean']:+.2f} %" in line and "dnn_rank_7" in line for line in shown)


def test_checks_that_fail_are_warnings_at_the_top() -> None:
    document = ab_test_document(design="split")
    assert block_of(document, "warnings") is None
    broken = copy.deepcopy(document)
    broken["sample_ratio"]["p"] = 2e-5
    broken["aa"]["metrics"]["ctr"]["below_5_percent"] = 0.091
    broken["aa"]["metrics"]["gmv"]["ks_p"] = 1e-200
    found = block_of(broken, "warnings")
    assert found is not None
    ratio, level, uniform = found.items
    assert "not those of a random split (p = 2.0e-05)" in ratio
    assert level.startswith("CTR: 9.1 % of A/A tests")
    assert uniform.startswith("GMV: ")
    assert "(p < 1e-99)" in uniform
    assert blocks_of(broken)[0] is not None
    assert blocks_of(broken)[0].id == "warnings"
    assert any("CTR: 9.1 %" in line for line in terminal(broken, 120))


def test_a_test_of_few_users_says_that_they_are_too_few_and_which_effect_it_finds() -> None:
    document = ab_test_document()
    for bucket in document["buckets"].values():
        bucket["users"] = 200
    assert block_of(document, "warnings") is None
    next(iter(document["buckets"].values()))["users"] = 199
    document["uplift"]["click"]["ci95"] = [0.0, 0.21]
    found = block_of(document, "warnings")
    assert found is not None
    [warning] = found.items
    assert warning.startswith("199 users in a bucket are too few for a conclusion")
    # 1.1 ** 1.43 - 1: the interval is 1.1 times and 1 / 1.1 times the mean.
    assert "finds a rise of CLICK only from about 15 % on" in warning
    document["uplift"]["click"]["ci95"] = None
    assert "finds a rise" not in block_of(document, "warnings").items[0]  # type: ignore[union-attr]


def test_comparisons_of_few_users_are_marked_in_the_report_and_on_the_terminal() -> None:
    document = ab_test_document()
    for bucket in document["buckets"].values():
        bucket["users"] = 200
    block = block_of(document, "comparisons")
    assert block is not None
    assert "*" not in block.note + str(block.table) + str(brief_comparisons(document))
    few = document["comparisons"][0]["bucket"]
    document["buckets"][few]["users"] = 199
    block = block_of(document, "comparisons")
    assert block is not None
    assert "* One of the two buckets has fewer than 200 users" in block.note
    pairs = {(entry["bucket"], entry["against"]) for entry in document["comparisons"]}
    marked = {(f"{one} *" if few in (one, other) else one, other) for one, other in pairs}
    assert {row[:2] for row in rows_of(document, "comparisons")} == marked
    assert any(row[0] == f"  {few} *" for row in brief_comparisons(document).rows)


def test_users_who_planned_no_session_have_a_row_and_are_explained() -> None:
    document = ab_test_document(design="split")
    block = block_of(document, "activity")
    assert block is not None
    assert "before the test" not in block.note
    entry = {**document["activity"][0], "sessions": "0", "users": 43}
    document["activity"] = [entry, *document["activity"]]
    block = block_of(document, "activity")
    assert block is not None
    assert "Users with 0 planned all of theirs before the test period, and came back in it." in block.note
    assert [row[:2] for row in rows_of(document, "activity")][:2] == [("0 sessions", "43"), ("1 session", "612")]
    labels = Page(page_of(document)).plots["activity-primary"]["layout"]["yaxis"]["ticktext"]
    assert sorted(labels) == ["0 sessions", "1 session", "2 sessions", "3 and more sessions"]
    assert "| 0 sessions | 43 |" in markdown(document)


def test_equal_settings_are_listed_once(source: dict[str, Any]) -> None:
    found = block_of(source, "settings")
    assert found is not None
    assert "page = 50." in found.note
    assert rows_of(source, "settings")[:2] == [
        ("cloud", "no model", "-"),
        ("crban", "20261129-1", "fetch = 100; triggers = click, delete; explore = 0.05"),
    ]


def test_equal_documents_give_equal_reports(source: dict[str, Any]) -> None:
    assert page_of(source) == page_of(copy.deepcopy(source))
    assert markdown(source) == markdown(copy.deepcopy(source))


def test_only_a_report_is_replaced(source: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    check_markdown(path, force=False)
    path.write_text(markdown(source), encoding="utf-8")
    check_markdown(path, force=True)
    with pytest.raises(OutputError, match="exists already"):
        check_markdown(path, force=False)
    path.write_text("# My notes\n")
    with pytest.raises(OutputError, match="is no report of `edgerec abtest`"):
        check_markdown(path, force=True)


def test_personal_patches_have_two_tables() -> None:
    document = ab_test_document(("cloud", "crban", "own"))
    click = {"mean": 0.04, "ci95": [0.01, 0.07], "p": 0.01}
    document["personal"] = {
        "own": {
            "trainings": 1900, "rejected": 12, "failed": 3, "rolled_back": 7, "patched_share": 0.95,
            "changed_share": 0.871, "against": "crban",
            "gain": {
                "expected_clicks": click,
                "activity": [{"from": 1, "to": 1, "users": 90, "click": click}],
                "sessions": [{"from": 21, "to": None, "users": 40, "click": {**click, "ci95": None}}],
                "worse": {"users": 80, "worse": 0.05, "better": 0.25, "noise": 0.04},
            },
        }
    }  # fmt: skip

    assert rows_of(document, "patches") == [("own", "1,900", "12", "3", "7", "95.00 %", "87.10 %")]
    rows = rows_of(document, "patch-gain")
    assert rows[0] == ("own", "crban", "all: expected clicks", "", "+4.00 % (+1.00 to +7.00)")
    assert [row[2:4] for row in rows[1:3]] == [
        ("users with 1 planned sessions", "90"),
        ("sessions 21 and more of a user", "40"),
    ]
    assert [row[4] for row in rows[3:]] == ["5.00 %", "25.00 %", "4.00 %"]
    for text in (markdown(document), page_of(document), "\n".join(terminal(document, 132))):
        assert "Personal patches against the shared model" in text
    assert block_of(ab_test_document(), "patches") is block_of(ab_test_document(), "patch-gain") is None
