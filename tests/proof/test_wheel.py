from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.proof.wheel import kept
from tests.proof.wheel_installs import serve

SILENT = "trap '' TERM; exec sleep 60"
DEAF = """echo '{"url": "http://127.0.0.1:1"}'; trap 'exit 0' TERM; while true; do sleep 0.05; done"""
WRONG = """echo 'no JSON'; trap 'exit 0' TERM; while true; do sleep 0.05; done"""
ENDED = "exit 3"


def test_only_rows_of_an_equal_wheel_and_without_a_fault_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    rows = [{"extra": "base", "fault": ""}, {"extra": "device", "fault": "no wheel"}]
    out.write_text(json.dumps({"wheel_sha256": "a1", "rows": rows}), "utf-8")
    assert kept(out, "a1") == rows[:1]
    assert kept(out, "b2") == []
    out.write_text(json.dumps({"rows": rows}), "utf-8")
    assert kept(out, "a1") == []
    assert kept(None, "a1") == kept(tmp_path / "none.json", "a1") == []


@pytest.mark.parametrize(
    ("program", "fault"),
    [(SILENT, "no page"), (DEAF, "Connection refused"), (WRONG, "JSONDecodeError"), (ENDED, "no page")],
)
def test_a_server_without_a_page_is_a_fault_and_is_ended(tmp_path: Path, program: str, fault: str) -> None:
    server = tmp_path / "edgerec"
    server.write_text(f"#!/bin/sh\n{program}\n", "utf-8")
    server.chmod(0o755)
    with pytest.raises(subprocess.CalledProcessError) as error:
        serve(server, tmp_path, most_s=0.5 if program == SILENT else 60)
    assert fault in error.value.stderr
