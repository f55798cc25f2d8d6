"""A line appears when Ctrl-C is pressed, also while the main thread is in native code."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from edgerec.cli.at_once import said_at_once

WAITING = """
import hashlib, signal, sys
from edgerec.cli.at_once import said_at_once

signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
with said_at_once("stopping"):
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes of native code, which no signal ends
"""


def test_the_line_comes_before_the_native_code_ends() -> None:
    command = [sys.executable, "-c", WAITING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        timer = threading.Timer(60, child.kill)  # Without the line, `readline` would wait for the native code.
        timer.start()
        try:
            assert child.stdout.readline() == "begun\n"
            child.send_signal(signal.SIGINT)
            assert child.stderr.readline() == "edgerec: stopping\n"
            assert child.poll() is None
        finally:
            timer.cancel()
            child.kill()


def test_without_a_signal_nothing_is_said_and_nothing_is_left(capfd: pytest.CaptureFixture[str]) -> None:
    before = threading.active_count()
    with said_at_once("stopping"):
        pass
    assert threading.active_count() == before
    assert signal.set_wakeup_fd(-1) == -1
    assert capfd.readouterr().err == ""
