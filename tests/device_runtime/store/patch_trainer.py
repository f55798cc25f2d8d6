"""Train patches on a store again and again. A test kills the process, and checks what is left.

    python -m tests.device_runtime.store.patch_trainer

For each line of standard input, the path of a store, it forks a child that records pages and trains after each one. The
child writes when a training begins, and the number of the latest page that it has read when it has ended. So one import
serves many kills.

All numbers are functions of the item, so every patch can be computed again from the behaviours of the store.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.personal.ranking import PersonalRanking
from edgerec.device_runtime.personal.training import PatchTraining
from edgerec.device_runtime.store import BehaviourStore
from edgerec.features.behaviours import EXPOSURE
from edgerec.personalization.head import PersonalHead, Training
from edgerec.personalization.training import train
from tests.device_runtime.store.example_rows import START, VERSION, behaviour, open_store, request

ITEMS = 3
RANK = 4
STEPS = 400
"""So many that a training takes longer than to record a page."""
ALL = 10**6


def head() -> PersonalHead:
    """Return a head whose gate accepts every patch."""
    numbers = np.arange(1, RANK + 2, dtype=np.float32)
    training = Training(version_id=VERSION, method="finetune", steps=STEPS, gain=1, gain_events=1e6)
    kernel = np.eye(RANK, dtype=np.float32)
    return PersonalHead(training, np.zeros(RANK, np.float32), kernel, numbers / 10, numbers / 100, numbers)


def phi_of(item_id: int) -> np.ndarray:
    return np.sin(np.arange(1, RANK + 1) * (item_id + 1)).astype(np.float16)


def logit_of(item_id: int) -> np.float32:
    return np.float32(np.cos(item_id))


def record_page(store: BehaviourStore, page_id: int) -> None:
    """Record a page with its request and the exposures of its items. The user clicks every item of an even number."""
    ids = [page_id * ITEMS + place for place in range(ITEMS)]
    phi, scores = np.stack([phi_of(item_id) for item_id in ids]), [float(logit_of(item_id)) for item_id in ids]
    end = store.next_ordinal(EXPOSURE)
    row = {"item_ids": ids, "scores": scores, "served": {}, "exposures_end": end, "phi": phi, "time": START + page_id}
    store.record_request(request(page_id, page_id=page_id, **row))
    for item_id in ids:
        store.record(behaviour(item_id, item_id=item_id, page_id=page_id, time=START + page_id))
        if item_id % 2 == 0:
            store.record_click(page_id, item_id, store.last_time)
    store.end_page(page_id)


def train_for_ever(path: Path) -> None:
    with open_store(path) as store:
        ranking = PersonalRanking(store, enabled=True)
        model: Any = SimpleNamespace(version_id=VERSION, personal=head())
        ranking.use(model)
        config = ClientConfig(personal=True, personal_budget_ms=600_000)
        training = PatchTraining(threading.Condition(), store, ranking, config, 0)
        while True:
            latest = store.latest(EXPOSURE, 1)
            page_id = 0 if not latest else (latest[0][1].page_id or 0) + 1
            record_page(store, page_id)
            os.write(1, b"training %d\n" % store.personal.newest)
            count, faults = training.run(START + page_id)
            assert (count, faults) == (1, []), faults
            os.write(1, b"trained %d\n" % store.personal.newest)


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            train_for_ever(Path(line.rstrip("\n")))
        os.write(1, b"child %d\n" % child)
        os.waitpid(child, 0)
        os.write(1, b"ended\n")


def check(path: Path, trained: int) -> tuple[int, int]:
    """Check a store after a kill. Return the latest page that its patch has read, and the number of pages.

    Args:
        path: the store.
        trained: the latest page whose training was reported.

    Raises:
        AssertionError: something is lost, or the patch is not that of one of the trainings.
    """
    with open_store(path, check=True) as store:
        rows = [one for _, one in store.latest(EXPOSURE, ALL)]
        seen = [[one.item_id for one in group] for _, group in groupby(rows, key=lambda one: one.page_id)]
        # Each behaviour is there once. Only the page at which a process was killed may have fewer.
        assert [item for page in seen for item in page] == sorted({one.item_id for one in rows})
        events, state = store.personal.events(VERSION), store.personal.state(VERSION)
        count = 0 if events is None else events.request_count
        assert len(seen) == count
        assert count >= trained
        if events is None or state is None:
            assert trained == 0
            return 0, count
        items = [item for page in seen for item in page]
        np.testing.assert_array_equal(events.phi, np.stack([phi_of(item) for item in items]).astype(np.float32))
        np.testing.assert_array_equal(events.logits, np.array([logit_of(item) for item in items]))
        np.testing.assert_array_equal(events.requests, np.repeat(np.arange(1, count + 1), [len(one) for one in seen]))
        complete = np.isin(events.requests, [number for number, page in enumerate(seen, 1) if len(page) == ITEMS])
        clicked = np.array([item % 2 == 0 for item in items])
        assert (events.labels <= clicked).all()
        wrong = events.requests[complete & (events.labels != clicked)]
        # A click is recorded after its exposure. So the last click of a killed page can be missing.
        assert all(page[-1] % 2 == 0 for page in (seen[number - 1] for number in set(wrong.tolist())))
        assert trained <= state.through <= count
        end = int(np.searchsorted(events.requests, state.through, side="right"))
        assert state.patch is not None
        assert (state.patch.user_id, state.patch.events, state.outcome) == (7, end, "trained")
        # It is the patch of the events up to its page, bit for bit: not an older one, not a part of one.
        assert state.patch.theta.tobytes() == train(head(), events.take(slice(0, end))).tobytes()
        return state.through, count


@contextmanager
def trainer() -> Iterator[subprocess.Popen[str]]:
    """Run this module in a process."""
    command = [sys.executable, "-m", "tests.device_runtime.store.patch_trainer"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()


@dataclass(frozen=True)
class Kill:
    """What a kill has left.

    Attributes:
        reported: the latest page whose training was reported as ended.
        through: the latest page that the patch in the store has read.
        pages: number of pages in the store.
        training: the page whose training was the last report; None if the last report was another one.
    """

    reported: int
    through: int
    pages: int
    training: int | None

    @property
    def in_training(self) -> bool:
        """Whether a training had begun and had not written its result."""
        return self.training is not None and self.through < self.training


def kill(path: Path, kills: int, rng: random.Random) -> list[Kill]:
    """Kill trainings of one store, and check it after each kill."""
    found: list[Kill] = []
    trained, begun, duration = 0, 0.0, 0.002
    with trainer() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for turn in range(kills):
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            # Every second kill aims at a training. The others are at any time, and without a report at the start.
            word = "training" if turn % 2 else "trained"
            wanted = rng.randint(turn % 2, 6)
            child, reports, killed, training = 0, 0, False, None
            for line in process.stdout:
                said, _, number = line.partition(" ")
                if said == "ended\n":
                    break
                if said == "child":
                    child = int(number)
                elif said == "training":
                    training, begun = int(number), time.perf_counter()
                elif said == "trained":
                    trained, training, duration = int(number), None, time.perf_counter() - begun
                reports += said == word
                if child and reports >= wanted and not killed:
                    time.sleep(rng.random() * (duration if turn % 2 else 0.02))
                    os.kill(child, 9)
                    killed = True
            assert killed, "the training has ended by itself"
            through, pages = check(path, trained)
            found.append(Kill(trained, through, pages, training))
            trained = through
    return found


if __name__ == "__main__":
    main()
