"""A process is killed (SIGKILL) while it records. Nothing that `record` returned is lost, and encodings go on."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgerec.device_runtime.store import BehaviourStore, Encoding, States
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.recurrences import window_start
from tests.device_runtime.store import patch_trainer
from tests.device_runtime.store.example_rows import LIMITS, VERSION, behaviour, open_store, same
from tests.device_runtime.store.recorder import encoding_of, numbers, ordinal_of, record_all, unbroken

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


def check_encodings(store: BehaviourStore) -> None:
    """Check that at most one behaviour of each kind is not encoded, and compare all encodings with unbroken ones."""
    for kind in BEHAVIOUR_KINDS:
        end, through = store.next_ordinal(kind), store.encoded_through(kind, VERSION)
        assert end - 2 <= through < end
        window = store.window(kind, VERSION, LIMITS.of(kind))
        assert window.ordinals.tolist() == list(range(window_start(end, LIMITS.of(kind)), through + 1))
        wanted = [(unbroken(kind, ordinal, 0), unbroken(kind, ordinal, 1)) for ordinal in window.ordinals.tolist()]
        arrays = (window.own_keys, window.own_values, window.previous_keys, window.previous_values)
        for index, states in enumerate(wanted):
            assert same(Encoding(*(array[index] for array in arrays)), encoding_of(*states))
        assert same(store.states(kind, VERSION), States(*wanted[-1]) if wanted else None)


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
            check_encodings(store)
    with open_store(path) as store:
        total = max(count, behaviours(store))
        record_all(store, total)
        check_rows(store, total - 1)
        check_encodings(store)
        assert all(store.pending(kind, VERSION) == [] for kind in BEHAVIOUR_KINDS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_after_a_kill_the_patch_is_that_of_one_training_and_no_event_is_lost(tmp_path: Path) -> None:
    found = patch_trainer.kill(tmp_path / "store.db", 4, random.Random(1))
    assert found[-1].through > 3
    assert any(each.in_training for each in found)
