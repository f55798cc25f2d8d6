"""Two real processes take turns."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerec.bench.turns import VARIABLE, Turns, _connections, wait_for_turn
from edgerec.core.errors import ResourceError

# Each round writes its begin and its end. If another process ran in between, its lines would be between the two.
CHILD = """
import sys
from edgerec.bench.turns import wait_for_turn
path, name, rounds = sys.argv[1:]
for _ in range(int(rounds)):
    wait_for_turn()
    for event in "<>":
        with open(path, "a") as file:
            file.write(name + event)
"""


def start(turns: Turns, path: Path, *rounds: int) -> Iterator[subprocess.Popen[bytes]]:
    for name, count, variables in zip("AB", rounds, turns.variables, strict=True):
        command = [sys.executable, "-c", CHILD, str(path), name, str(count)]
        yield subprocess.Popen(command, env={**os.environ, **variables}, stderr=subprocess.DEVNULL)


def order(path: Path, *rounds: int, first: int) -> tuple[bool, str]:
    path.touch()
    with Turns(2) as turns:
        processes = list(start(turns, path, *rounds))
        given = turns.give(processes, first=first)
    for process in processes:
        process.wait()
    return given, path.read_text()


def test_rounds_alternate_and_do_not_overlap(tmp_path: Path) -> None:
    assert order(tmp_path / "a", 4, 4, first=0) == (True, "".join(f"{name}<{name}>" for name in "ABBAABBA"))


def test_a_process_with_more_rounds_goes_on_alone(tmp_path: Path) -> None:
    assert order(tmp_path / "b", 1, 3, first=1) == (True, "".join(f"{name}<{name}>" for name in "BABB"))


def test_no_turn_is_given_if_a_process_does_not_take_turns(tmp_path: Path) -> None:
    """The first process ends without a round, so the second one waits until the turns are closed."""
    given, events = order(tmp_path / "c", 0, 2, first=0)
    assert not given
    assert "A" not in events


def test_without_another_process_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / "d"), "A", "2"], check=True)
    assert (tmp_path / "d").read_text() == "A<A>A<A>"


def test_another_program_that_connects_and_sends_nothing_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgerec.bench.turns._NAME_SECONDS", 0.1)
    (tmp_path / "e").touch()
    with Turns(2) as turns:
        port = int(turns.variables[0][VARIABLE].partition(":")[0])
        with socket.create_connection(("127.0.0.1", port)):
            processes = list(start(turns, tmp_path / "e", 1, 1))
            assert turns.give(processes, first=0)
    for process in processes:
        process.wait()
    assert (tmp_path / "e").read_text() == "A<A>B<B>"


def test_a_process_ends_with_an_error_if_nobody_gives_turns_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    with Turns(1) as turns:
        monkeypatch.setenv(VARIABLE, turns.variables[0][VARIABLE])
        closing = threading.Thread(target=lambda: turns._listener.accept()[0].close())
        closing.start()
        for _ in range(2):
            with pytest.raises(ResourceError, match="the process that gives the turns has ended: compare again"):
                wait_for_turn()
        closing.join()
        _connections.pop(os.environ[VARIABLE]).close()
