"""Results come in order, faults come as they are, whatever the number of processes."""

from __future__ import annotations

import os

import pytest

from edgerec.core.errors import InputError, ResourceError
from edgerec.core.parallel import map_ordered


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    if number == 3:
        raise InputError("three is refused")
    return number


def die(number: int) -> int:
    os._exit(1)


@pytest.mark.parametrize("processes", [1, 2])
def test_results_are_in_order(processes):
    assert list(map_ordered(square, range(9), processes=processes)) == [n * n for n in range(9)]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_fault_reaches_the_caller(processes):
    with pytest.raises(InputError, match="three"):
        list(map_ordered(refuse, range(9), processes=processes))


def test_a_dead_process_is_an_expected_error():
    with pytest.raises(ResourceError, match="memory"):
        list(map_ordered(die, range(4), processes=2))


def test_no_task_gives_no_result():
    assert list(map_ordered(square, [], processes=2)) == []
