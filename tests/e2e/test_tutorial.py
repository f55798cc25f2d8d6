"""The commands and the Python code of docs/tutorial.md run in order, with a smaller feed and a smaller model."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from edgerec.data.logs import load_logs
from tests.command_line import edgerec_here

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^(?:<!-- (?P<mark>[^\n]*) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [match.groupdict() for match in BLOCK.finditer(PAGE)]
COMMANDS = [line for block in BLOCKS if block["kind"] == "sh" for line in block["text"].splitlines()]
SMALLER = {
    "edgerec samples LOGS --out SAMPLES": ["--candidates", "50", "--exposures", "8", "--page-views", "4"],
    "python examples/tutorial/make_feed.py feed": ["--users", "20"],
    "edgerec train SAMPLES --out RUN": ["--config", "small.toml", "--epochs", "1", "--batch-size", "64"],
    "edgerec export RUN --out BUNDLE": ["--requests", "5"],
    "edgerec bench rerank BUNDLE": ["--rounds", "1"],
}
"""Options that this test adds to the commands of the page."""


def _python(arguments: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_the_commands_lead_from_a_csv_file_to_a_new_order(tmp_path: Path) -> None:
    assert len(COMMANDS) == 9
    assert SMALLER.keys() <= set(COMMANDS)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "small.toml").write_text("units = 4\nlayers = 1\ncompiled = false\n")
    printed = {}
    for line in COMMANDS:
        name, *arguments = [*shlex.split(line), *SMALLER.get(line, [])]
        if name == "python":
            printed[line] = _python(arguments, tmp_path)
        else:
            assert name == "edgerec"
            done = edgerec_here(*arguments, cwd=tmp_path)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            printed[line] = done.stdout
    marked = {block["mark"]: block["text"] for block in BLOCKS if block["mark"] != "run"}
    with open(tmp_path / "feed" / "impressions.csv", encoding="utf-8") as file:
        assert file.readline() == marked["lines of feed/impressions.csv"].splitlines()[0] + "\n"
    init = printed["edgerec init feed/impressions.csv --out start"].splitlines()
    shown = [line.split() for line in init]
    assert all(line.split() in shown for line in marked["printed"].splitlines())
    # Every guess of the page is right, so the logs have what the file has.
    feed, logs = pl.read_csv(tmp_path / "feed" / "impressions.csv"), load_logs(tmp_path / "LOGS")
    assert logs.counts()["clicks"] == feed["clicked"].sum()
    assert len(logs.events) == feed["seen"].sum() + feed["clicked"].sum()
    assert "rerank" in printed["edgerec bench rerank BUNDLE"]
    before, after = _reordered(tmp_path)
    assert len(before) == len(after) == 8
    assert {*before, *after} <= set(feed["product"])


def _reordered(folder: Path) -> tuple[list[str], list[str]]:
    """Run the Python code of the page. Return the products that it prints: the list before, and after."""
    (code,) = (block["text"] for block in BLOCKS if block["kind"] == "python" and block["mark"] == "run")
    lines = _python(["-c", code], folder).splitlines()
    before, after = (line.split()[1:] for line in lines if line.startswith(("before:", "after:")))
    return before, after


def test_every_block_is_run_or_compared() -> None:
    for block in BLOCKS:
        assert (
            block["mark"] == "run" if block["kind"] else block["mark"] in ("lines of feed/impressions.csv", "printed")
        )
