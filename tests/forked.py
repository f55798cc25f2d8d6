"""Run scripts that fork. They run in a child process, because a fork does not copy the threads of the test process."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

HEAD = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python warns about a fork while threads run.

def child(work):
    '''Run `work()` in a forked child and return "done", the text of its error, or "hangs".'''
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(1200)  # This ends a child that hangs.
        try:
            work()
            result = "done"
        except BaseException as error:
            result = f"{type(error).__name__}: {error}"
        os.write(writer, result.encode())
        os._exit(0)
    os.close(writer)
    result = os.fdopen(reader).read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return "hangs" if status == -signal.SIGALRM else result

def while_busy(work, times=12):
    '''Yield the results of children that are forked while another thread runs `work`.'''
    stop = threading.Event()
    def loop():
        while not stop.is_set():
            work()
    thread = threading.Thread(target=loop)
    thread.start()
    try:
        for _ in range(times):
            answer = child(work)
            yield answer
            if answer == "hangs":
                return
    finally:
        stop.set()
        thread.join()
"""


def run_script(script: str, *arguments: str | Path) -> list[str]:
    """Run `script` after `HEAD` and return the lines of stderr. Scripts do not use stdout, because MNN prints there."""
    code = HEAD + textwrap.dedent(script)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()
