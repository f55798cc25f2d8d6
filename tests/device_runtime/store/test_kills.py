"""A process is killed (SIGKILL) while it records. Nothing that `record` returned is lost, and encodings go on."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgerec.device_runtime.store import BehaviourStore
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from tests.device_runtime.store.example_rows import LIMITS, VERSION, behaviour, open_store, same
from tests.device_runtime.store.recorder import numbers, ordinal_of, record_all

ENDLESS = 1_000_000


def kill_after(path: Path, reports: int, wait: float) -> int:
    """Run the recorder and kill it `wait` seconds after some reports. Return the last behaviour that it reported."""
    command = [sys.executable, "-m", "tests.device_runtime.store.recorder", str(path), str(ENDLESS)]
    last = -1
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for count, line in enumerate(process.stdout, 1):
            last = int(line)
            if count == reports:
                time.sleep(wait)
                process.kill()
    assert process.returncode == -9
    return last


def check_rows(store: BehaviourStore, last: int) -> None:
    """Check that every behaviour up to `last` is in the store as it was recorded, and at most one more."""
    total = behaviours(store)
    assert last + 1 <= total <= last + 2
    for kind, wanted in numbers(total).items():
        assert same(store.latest(kind, total), [(ordinal_of(number), behaviour(number, kind)) for number in wanted])


def assert_equal(store: BehaviourStore, unbroken: BehaviourStore) -> None:
    for kind in BEHAVIOUR_KINDS:
        limit = LIMITS.of(kind)
        assert store.encoded_through(kind, VERSION) == store.next_ordinal(kind) - 1
        assert same(store.states(kind, VERSION), unbroken.states(kind, VERSION))
        assert same(store.window(kind, VERSION, limit), unbroken.window(kind, VERSION, limit))
        assert len(store.window(kind, VERSION, limit)) == limit


def behaviours(store: BehaviourStore) -> int:
    return sum(store.next_ordinal(kind) for kind in BEHAVIOUR_KINDS)


@pytest.mark.parametrize(("count", "kills"), [(400, 3), pytest.param(2000, 20, marks=pytest.mark.slow)])
def test_after_kills_a_store_equals_that_of_an_unbroken_run(tmp_path: Path, count: int, kills: int) -> None:
    generator = random.Random(kills)
    path = tmp_path / "store.db"
    for _ in range(kills):
        last = kill_after(path, generator.randint(1, count // kills), wait=generator.random() / 500)
        with open_store(path) as store:
            check_rows(store, last)
    with open_store(path) as store, open_store(tmp_path / "unbroken.db") as unbroken:
        total = max(count, behaviours(store))
        record_all(store, total)
        record_all(unbroken, total)
        check_rows(store, total - 1)
        assert_equal(store, unbroken)
