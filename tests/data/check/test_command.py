"""The command `edgerec check`: its table, its JSON and its exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest

from edgerec.data.logs import write_logs
from tests.command_line import document, edgerec_here, error_line
from tests.synthetic import make_logs, unstamp

EVENTS = "events/part-00000.parquet"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    write_logs(make_logs(), tmp_path / "logs")
    unstamp(tmp_path / "logs")
    return tmp_path / "logs"


def test_good_logs(logs: Path) -> None:
    done = edgerec_here("check", logs)
    rows = sum(len(pl.read_parquet(file)) for file in logs.rglob("*.parquet"))
    assert (done.returncode, done.stdout) == (0, f"0 errors, 0 warnings in {rows:,} rows\n")
    found = document(edgerec_here("check", logs, "--json"))
    assert list(found) == ["schema", "logs", "errors", "warnings", "rows", "skipped", "findings"]
    assert (found["logs"], found["findings"]) == (str(logs), [])


def test_errors_come_first_and_the_exit_code_is_1(logs: Path) -> None:
    rows = pl.read_parquet(logs / EVENTS)
    wrong = rows.with_columns(
        kind=pl.when(pl.int_range(pl.len()) == 8).then(pl.lit("[red]click")).otherwise("kind"),
        bought=pl.lit(None, pl.Int64),
        score=pl.lit(float("nan")),
    )
    wrong.write_parquet(logs / EVENTS)
    done = edgerec_here("check", logs)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    refused = error_line(edgerec_here("samples", logs, "--out", logs.parent / "samples", "--processes", "1"))
    assert refused.endswith(f"; `edgerec check {logs}` shows all faults")
    lines = done.stdout.splitlines()
    assert lines[1].split()[:6] == ["error", "events.kind", f"{EVENTS},", "row", "9", "1"]
    assert "expected: 'exposure' or 'page_view'" in lines[1]
    assert "found: '[red]click'" in lines[2]
    assert "do: rename the kind" in lines[3]
    severities = [line.split()[0] for line in lines if line.startswith(("error", "warning"))]
    assert severities == ["error", "error", "warning"]
    assert lines[-2].startswith("not checked: ordinals, and what all rows of a user show")
    assert lines[-1].startswith("2 errors, 1 warning in ")
    few = edgerec_here("check", logs, "--most", "1")
    assert few.stdout.splitlines()[-1] == lines[-1]
    assert few.stdout.splitlines()[-2] == "2 more findings: give a larger --most"
    as_json = json.loads(edgerec_here("check", logs, "--most", "1", "--json").stdout)
    assert (as_json["errors"], as_json["warnings"], len(as_json["findings"])) == (2, 1, 1)
    assert as_json["findings"][0] == {
        "severity": "error", "table": "events", "column": "kind", "file": EVENTS, "row": 9, "rows": 1, "files": 1,
        "expected": "'exposure' or 'page_view'", "found": "'[red]click'",
        "advice": "rename the kind, or leave the rows out",
    }  # fmt: skip


def test_a_name_that_is_not_utf_8(logs: Path) -> None:
    (logs / EVENTS).rename(logs / "events" / os.fsdecode(b"\xff.parquet"))
    done = edgerec_here("check", logs, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["errors"]) == (1, 2), done.stderr
    assert found["findings"][0]["file"] == r"events/\udcff.parquet"


def test_another_specification(logs: Path, tmp_path: Path) -> None:
    (logs / "features.json").rename(tmp_path / "other.json")
    assert edgerec_here("check", logs).returncode == 1
    assert edgerec_here("check", logs, "--features", tmp_path / "other.json").returncode == 0


def test_wrong_usage_and_a_folder_without_logs(tmp_path: Path) -> None:
    assert edgerec_here("check", tmp_path, "--most", "0").returncode == 2
    assert "has no logs.json" in error_line(edgerec_here("check", tmp_path))
