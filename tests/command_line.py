"""The command line as tests call it: in a process of its own, or in this one."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EDGEREC = [sys.executable, "-m", "edgerec"]


def edgerec(*arguments: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run `edgerec` in a process of its own, as a user does."""
    return subprocess.run([*EDGEREC, *map(str, arguments)], capture_output=True, text=True, check=False, **more)


def edgerec_here(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `edgerec` in this process: much is imported already, which takes a process of its own seconds."""
    from edgerec.cli import main

    command = ["edgerec", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    code = 0
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            patch.setattr(sys, "argv", command)
            if cwd is not None:
                patch.chdir(cwd)
            main()
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Standard output, which has to be one JSON document and nothing else."""
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["schema"] == 1
    return found


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of an expected error."""
    lines = done.stderr.splitlines()
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert [line.startswith("edgerec: ") for line in lines].count(True) == 1, done.stderr
    assert lines[-1].startswith("edgerec: ")
    return lines[-1]
