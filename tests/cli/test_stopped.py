"""A signal ends a server with exit code 0. A second one, which interrupts what it still does, does not."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

SERVER = """
    import time
    import click
    from edgerec.cli.command import run, until_stopped

    @click.command()
    def server():
        with until_stopped():
            try:
                print("serves", flush=True)
                time.sleep(60)
            finally:
                print("writes", flush=True)
                time.sleep({writes})

    run(server)
"""


@pytest.mark.parametrize(("number", "again"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_only_one_signal_ends_a_server_with_exit_code_0(number: int, again: bool) -> None:
    program = textwrap.dedent(SERVER).format(writes=60 if again else 0)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "serves\n"
            child.send_signal(number)
            assert child.stdout.readline() == "writes\n"
            if again:
                child.send_signal(signal.SIGINT)
            _, err = child.communicate(timeout=30)
        finally:
            child.kill()
    assert (child.returncode, err) == ((130, "edgerec: interrupted\n") if again else (0, "edgerec: stopped\n"))
