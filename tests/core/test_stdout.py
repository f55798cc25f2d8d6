"""Only results are written to standard output. If writing to it fails, the command's files are still complete."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from edgerec.core import stdout

COMMAND = """
    import ctypes, os, sys
    import click
    from edgerec.cli.command import run

    @click.command()
    @click.argument("path")
    def command(path):
        with open(path, "w") as file:
            ctypes.CDLL(None).puts(b"from a C library")
            ctypes.CDLL(None).fflush(None)
            os.write(1, b"on descriptor 1\\n")
            file.write("kept\\n")
        click.echo("a result \\u20ac")

    run(command)
"""


def command(path: Path, *options: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, *options, "-c", textwrap.dedent(COMMAND), str(path)]
    return subprocess.run(line, **{"stdout": subprocess.PIPE, **more}, stderr=subprocess.PIPE, check=False)


@pytest.mark.parametrize("option", [[], ["-u"]])
def test_only_results_reach_standard_output(option: list[str], tmp_path: Path) -> None:
    done = command(tmp_path / "file", *option, env={**os.environ, "PYTHONIOENCODING": "iso8859-15"})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a result \xa4\n", b"")
    assert (tmp_path / "file").read_text() == "kept\n"


@pytest.mark.parametrize("closed", [(1,), (0, 1), (1, 2), (0, 1, 2)])
def test_an_opened_file_never_gets_descriptor_1(closed: tuple[int, ...], tmp_path: Path) -> None:
    """If standard output is closed, the next opened file could get descriptor 1. C libraries would print into it."""

    def close() -> None:
        for number in closed:
            os.close(number)

    done = command(tmp_path / "file", preexec_fn=close)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "file").read_text() == "kept\n"


def test_a_closed_reader_ends_the_command_silently(tmp_path: Path) -> None:
    """For example, in `edgerec verify BUNDLE | true` the reader ends before the command writes."""
    reader, writer = os.pipe()
    os.close(reader)
    done = command(tmp_path / "file", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_reported_in_one_line(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = command(tmp_path / "file", stdout=full)
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, len(lines)) == (1, 1), lines
    assert lines[0].startswith("edgerec: No space left on device")


def test_a_replaced_sys_stdout_stays_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    replaced = sys.stdout
    stdout.keep_for_results()
    assert sys.stdout is replaced
    sys.stdout.write("still here\n")
    assert capsys.readouterr().out == "still here\n"


def test_output_of_worker_processes_is_discarded(tmp_path: Path) -> None:
    (tmp_path / "printing.py").write_text(
        textwrap.dedent("""
            import os
            from edgerec.core.parallel import map_ordered, run_in_child

            def work(number):
                print("from Python")
                os.write(1, b"on descriptor 1\\n")
                return number

            if __name__ == "__main__":
                print([run_in_child(work, 1, died=RuntimeError), *map_ordered(work, [2, 3], processes=2)])
        """)
    )
    done = subprocess.run([sys.executable, tmp_path / "printing.py"], capture_output=True, text=True, check=True)
    assert done.stdout == "[1, 2, 3]\n"
