"""The tables of `edgerec mix` in a terminal of 80 columns: no label is dropped, and no number is cut."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from edgerec.cli.output import table_of
from edgerec.cli.tables.block import block_table, keep_whole
from edgerec.cli.tables.mixing_rules import rules_table
from edgerec.mixing.rules import MixRules
from edgerec.reports.block import Block, Table
from edgerec.reports.surroundings.table import METRICS, blocks, terminal_blocks

MODELS = ("esan", "esan_alone", "esan_no_behaviour", "esan_no_place", "esan_shuffled")


def printed(*parts: RenderableType, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    for part in parts:
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


def row(value: float, *, first: bool) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(METRICS, value) | {f"{metric}_sd": 0.0011 for metric in METRICS}
    if not first:
        found |= {f"{metric}_vs": -0.0083 for metric in METRICS}
        found |= {f"{metric}_vs_ci95": (-0.0102, -0.0064) for metric in METRICS}
    return found


def ablation() -> dict[str, Any]:
    models = {name: row(0.8058 - number / 100, first=not number) for number, name in enumerate(MODELS)}
    groups = [
        {"kind": kind, "exposures": 98_867, "click_rate": 0.0412, "models": models} for kind in ("live_room", "ad")
    ]
    rates = dict.fromkeys(MODELS, 0.0321)
    pair = {"kind": "live_room", "previous": "product", "exposures": 98_867, "click_rate": 0.0412, "predicted": rates}
    size = {"exposures": 98_867, "clicks": 4_073, "users": 2_572}
    return {**size, "models": models, "kinds": groups, "previous": groups, "pairs": [pair]}


def test_tables_of_an_ablation_are_whole_at_80_columns() -> None:
    document = ablation()
    lines = printed(*(block_table(block) for block in terminal_blocks(document)))
    assert not any("…" in line for line in lines)
    for number, name in enumerate(MODELS):
        cell = f"{0.8058 - number / 100:.4f} {'-0.0083' if number else '      -'}"
        assert [line.split(maxsplit=1)[1] for line in lines if line.split(" ")[0] == name] == ["  ".join([cell] * 3)]
        assert sum(line.startswith(f"  {name} ") for line in lines) == 4  # two groups in two tables
    assert sum(line.split()[:3] == ["live_room", "98,867", "seen"] for line in lines) == 2
    assert [line.split() for line in lines if line.startswith("live_room  product")] == [
        ["live_room", "product", "98,867", "0.0412", "0.0321", "0.0321"]
    ]
    assert "--json has esan_no_behaviour, esan_no_place, esan_shuffled, too." in " ".join(lines)


def test_a_name_wraps_before_a_number_is_cut() -> None:
    table = keep_whole(table_of(("name", "a", "b"), [("a_name_that_is_long", "0.8058 (+0.0001)", "1,234,567")]))
    assert [column.min_width for column in table.columns] == [12, 16, 9]
    lines = printed(table, width=41)
    assert lines[1:] == ["a_name_that_  0.8058 (+0.0001)  1,234,567", "is_long"]


def test_a_terminal_that_is_too_narrow_wraps_lines_and_cuts_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgerec.cli.output import emit

    monkeypatch.setenv("COLUMNS", "40")
    block = blocks(ablation())[1]  # with intervals: far wider than 120
    emit({}, as_json=False, table=block_table(block))
    out = capsys.readouterr().out
    assert "…" not in out
    assert out.count("-0.0083 (-0.0102 to -0.0064)") == 2 * 4 * 3
    assert out.count("0.8058 ± 0.0011") == 2 * 3


def test_a_last_column_of_text_wraps() -> None:
    table = Table(["name", "n", "why"], [["a", "123", "word " * 30]], last_is_text=True)
    lines = printed(block_table(Block("x", "Title", table=table)))
    assert max(map(len, lines)) <= 80
    assert " ".join(lines).count("word") == 30


def test_the_rules_fit_into_80_columns() -> None:
    rules = MixRules.model_validate(
        {"kinds": {"product": {}, "live_room": {"share": (0.05, 0.15), "advertiser_gap": 8}}}
    )
    lines = printed(rules_table(rules, ["careful"]))
    assert next(line.split() for line in lines if line.startswith("live_room")) == (
        ["live_room", "1", "0.05", "to", "0.15", "session", "1", "8", "1", "0", "20"]
    )
    assert lines[-1] == "! careful"
