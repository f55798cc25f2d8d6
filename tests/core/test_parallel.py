"""`map_ordered` returns results in order and raises the exceptions of its tasks, for any number of processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest

from edgerec.core.errors import InputError, ResourceError
from edgerec.core.parallel import map_ordered


def square(number: int) -> int:
    return number * number


def raise_for_three(number: int) -> int:
    if number == 3:
        raise InputError("three is refused")
    return number


def die(number: int) -> int:
    os._exit(1)


@pytest.mark.parametrize("processes", [1, 2])
def test_results_are_in_order(processes):
    assert list(map_ordered(square, range(9), processes=processes)) == [n * n for n in range(9)]


@pytest.mark.parametrize("processes", [1, 2])
def test_the_exception_of_a_task_reaches_the_caller(processes):
    with pytest.raises(InputError, match="three"):
        list(map_ordered(raise_for_three, range(9), processes=processes))


def test_a_worker_process_that_dies_raises_a_resource_error():
    with pytest.raises(ResourceError, match="memory"):
        list(map_ordered(die, range(4), processes=2))


def test_without_tasks_there_are_no_results():
    assert list(map_ordered(square, [], processes=2)) == []


def unpicklable(number: int) -> object:
    return (lambda: number) if number == 1 else number


def test_a_result_that_cannot_be_pickled_raises_an_error_for_its_task_only() -> None:
    results = map_ordered(unpicklable, range(3), processes=2)
    assert next(results) == 0
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        next(results)


def large(number: int) -> bytes:
    return bytes(number)


def test_large_tasks_and_large_results_cause_no_deadlock() -> None:
    """Parent and worker both write more bytes than a pipe can buffer."""
    sizes = [3 << 20] * 6
    assert [len(results) for results in map_ordered(large, sizes, processes=2)] == sizes
    tasks = [bytes(3 << 20)] * 6
    assert list(map_ordered(len, tasks, processes=2)) == sizes


def process_id(number: int) -> int:
    time.sleep(0.01)
    return os.getpid()


def test_closing_the_iterator_ends_all_processes() -> None:
    results = map_ordered(process_id, range(100), processes=2)
    first = next(results)
    results.close()
    assert first != os.getpid()
    assert multiprocessing.active_children() == []
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="needs Linux, where named semaphores are files in /dev/shm")
def test_killing_all_processes_leaves_no_shared_memory() -> None:
    script = (
        "import os, signal\n"
        "from edgerec.core.parallel import map_ordered\n"
        "found = map_ordered(abs, range(4), processes=2)\n"
        "next(found)\n"
        "for process in os.listdir('/proc'):\n"
        "    if process.isdigit() and os.getpgid(int(process)) == os.getpgid(0):\n"
        "        for line in open(f'/proc/{process}/maps'):\n"
        "            if '/dev/shm/' in line:\n"
        "                print(line.split()[-1], flush=True)\n"
        "os.killpg(0, signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, start_new_session=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [name for name in done.stdout.split() if os.path.exists(name)] == []
