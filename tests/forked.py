"""Scripts that fork, run as processes of their own: the process of the tests has threads that a fork would not copy."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

HEAD = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads, which is what this is about

def child(work):
    '''What `work()` gives in a forked child: the text of its error, "done", or "hangs".'''
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(1200)  # a guard; nothing waits that long where all is well
        try:
            work()
            said = "done"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    said = os.fdopen(reader).read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return "hangs" if status == -signal.SIGALRM else said

def while_busy(work, times=12):
    '''The answers of children that are forked while a thread is at `work`.'''
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


def lines(script: str, *arguments: str | Path) -> list[str]:
    """What `script` wrote to standard error, line by line, after `HEAD`; standard output is MNN's as well."""
    code = HEAD + textwrap.dedent(script)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()
