from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lowest(*arguments: str) -> dict[str, str]:
    command = [sys.executable, ROOT / "scripts" / "lowest_versions", *arguments]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return dict(line.split("==") for line in lines)


def test_the_lowest_versions_are_those_of_setup_cfg() -> None:
    found = lowest()
    assert set(found) == {"numpy", "polars", "pydantic", "click", "rich"}
    setup = (ROOT / "setup.cfg").read_text()
    for name, version in (*found.items(), *lowest("--other").items()):
        assert f"{name}>={version}" in setup


def test_samples_start_at_the_polars_that_writes_the_pinned_bytes() -> None:
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    assert pinned["polars"] in (lowest()["polars"], f"{lowest()['polars']}.0")
