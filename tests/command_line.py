"""Run the command line in tests: in a child process, or in this process."""

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
    """Run `edgerec` in a child process, as a user does."""
    return subprocess.run([*EDGEREC, *map(str, arguments)], capture_output=True, text=True, check=False, **more)


def edgerec_here(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `edgerec` in this process. This saves the seconds that a child process needs for imports."""
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
    """Return the JSON document on standard output. Check that there is no other output and no error."""
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    assert parsed["schema"] == 1
    return parsed


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the error line of a command that failed. Check that the error is one line without a traceback."""
    lines = done.stderr.splitlines()
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert [line.startswith("edgerec: ") for line in lines].count(True) == 1, done.stderr
    assert lines[-1].startswith("edgerec: ")
    return lines[-1]
