from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edgerec.bench.pinning import bound_to, parse_cpus, usable
from edgerec.core.errors import InputError


@pytest.mark.parametrize(
    ("text", "cpus"), [("0", [0]), ("0,2-3", [0, 2, 3]), (" 1 - 1 , 0", None), ("3,1,1", [1, 3]), ("2-2", [2])]
)
def test_a_list_of_processors_is_parsed(text: str, cpus: list[int] | None) -> None:
    if cpus is None:
        with pytest.raises(InputError, match="should be a list of processors"):
            parse_cpus(text)
    else:
        assert parse_cpus(text) == cpus


@pytest.mark.parametrize("text", ["", "a", "-1", "1-", "0,", "1.5", "3-1", "²", "9999999"])
def test_a_wrong_list_of_processors_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"bench: --cpu"):
        parse_cpus(text)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot bind a thread to processors")
def test_a_block_and_its_processes_are_bound_to_processors() -> None:
    before = usable()
    assert before
    with bound_to(before[:1]):
        assert usable() == before[:1]
        code = "import os; print(*os.sched_getaffinity(0))"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert found.split() == [str(before[0])]
    assert usable() == before
    with bound_to(None):
        assert usable() == before
    with pytest.raises(InputError, match="should name processors that this process may use"), bound_to([99_999]):
        pass
    assert usable() == before
