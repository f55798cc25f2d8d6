from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lowest(*arguments: str) -> dict[str, str]:
    command = [sys.executable, ROOT / "scripts" / "lowest_versions", *arguments]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return dict(line.split("==") for line in lines)


def test_the_lowest_versions_equal_those_in_setup_cfg() -> None:
    versions = lowest()
    assert set(versions) == {"numpy", "polars", "pydantic", "click", "rich"}
    setup = (ROOT / "setup.cfg").read_text()
    for name, version in (*versions.items(), *lowest("--other").items()):
        assert f"{name}>={version}" in setup


def test_the_lowest_polars_equals_the_pinned_one() -> None:
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    assert pinned["polars"] in (lowest()["polars"], f"{lowest()['polars']}.0")
