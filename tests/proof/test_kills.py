"""Test that the proof of kills detects broken rules. `python -m tests.proof.kills COMMAND` kills real commands."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.proof.kill_jobs import Job, run_differences
from tests.proof.kills import prove

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SOUND = """
import sys, time
from pathlib import Path
from edgerec.core.atomic import output_folder
from edgerec.core.errors import EdgeRecError
try:
    with output_folder(Path(sys.argv[2]), force="--force" in sys.argv) as folder:
        (folder / "items.parquet").write_text("1")
        time.sleep(0.3)
        (folder / "logs.json").write_text('{"format": 1, "kind": "logs", "name": "a"}')
except EdgeRecError as error:
    sys.exit(str(error))
"""
HEAD = """
import os, shutil, subprocess, sys, tempfile, time
out = sys.argv[2]
beside = os.path.dirname(out)
if os.path.exists(out):
    if "--force" not in sys.argv:
        sys.exit("exists already")
    shutil.rmtree(out)
"""
IN_PLACE = """
os.makedirs(out)
for name in ("first", "second"):
    open(os.path.join(out, name), "w").close()
    time.sleep(0.5)
"""
NEVER_CLEANED = """
made = tempfile.mkdtemp(prefix=".out.edgerec-partial-", dir=beside)
time.sleep(0.5)
os.rename(made, out)
"""
WITH_AN_ORPHAN = """
work = os.path.join(beside, ".out.logs")
os.makedirs(work, exist_ok=True)
subprocess.run(["sh", "-c", "sleep 0.7; echo late > late"], cwd=work)
os.rename(work, out)
"""


def _prove(script: str, folder: Path, *, count: int) -> dict[str, Any]:
    return prove(Job("job", [], program=[sys.executable, "-c", script]), count=count, seed=0, folder=folder)


@pytest.mark.slow
def test_an_atomic_writer_follows_all_rules(tmp_path: Path) -> None:
    document = _prove(SOUND, tmp_path, count=3)
    assert document["faults"] == []
    assert any(row["killed"] for row in document["rows"])
    assert {row["victim"] for row in document["rows"]} == {"group", "parent"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "fault"),
    [
        (IN_PLACE, "after the kill: second differs"),
        (NEVER_CLEANED, r"after the second run: \.out\.edgerec-partial-\w+ remains"),
        (WITH_AN_ORPHAN, "a process wrote late after its parent was killed"),
    ],
    ids=["in place", "never cleaned", "with an orphan"],
)
def test_a_writer_that_breaks_a_rule_is_detected(script: str, fault: str, tmp_path: Path) -> None:
    document = _prove(HEAD + script, tmp_path, count=20)
    assert any(re.search(fault, each) for each in document["faults"]), document


def test_run_differences_ignore_time_and_speed(tmp_path: Path) -> None:
    for name, version, gauc in (("one", "2025-aa", 0.5), ("again", "2026-aa", 0.5), ("other", "2026-bb", 0.6)):
        run = tmp_path / name
        run.mkdir()
        (run / "run.json").write_text(json.dumps({"version_id": version, "train_seconds": len(name)}))
        row = {"validation_gauc": gauc, "seconds": len(name), "requests_per_second": 1.0}
        (run / "metrics.jsonl").write_text(json.dumps(row) + "\n")
        (run / "model.weights.h5").write_text(version[-2:])
    assert run_differences(tmp_path / "one", tmp_path / "again") == []
    expected = ["model.weights.h5 differs", "run.json differs", "metrics.jsonl differs"]
    assert run_differences(tmp_path / "one", tmp_path / "other") == expected
