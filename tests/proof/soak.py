"""A device at 50 behaviours a second: nothing grows beyond its bound.

    python -m tests.proof.soak BUNDLE LOGS [--minutes 10] [--rate 50]

A real client with worker threads, the models, the store, and a real server over loopback. A line is printed every ten
seconds, and at the end a table of what was bounded. The exit code is 1 if a bound was broken.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from edgerec.bundle.load import load_device_model
from edgerec.cloud.server_process import server_process
from edgerec.data.logs import load_logs
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.retention import Retention
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.paging.http_transport import HttpTransport

INTERVAL_S = 10.0
KEPT = Retention(rows=1_000)


@dataclass(frozen=True)
class Sample:
    """The state of the device at one moment. `p99_ms` is the latency of calls that record since the sample before."""

    seconds: float
    waiting: int
    unsent: int
    file_mb: float
    wal_mb: float
    memory_mb: float
    p99_ms: float

    def line(self) -> str:
        return (
            f"{self.seconds:6.0f} s  waiting {self.waiting:4}  unsent {self.unsent:5}  file {self.file_mb:6.2f} MB  "
            f"log {self.wal_mb:5.2f} MB  memory {self.memory_mb:6.1f} MB  p99 {self.p99_ms:6.2f} ms\n"
        )


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def memory_mb() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def sample(client: Client, store: BehaviourStore, started: float, latencies: list[float]) -> Sample:
    measured = store.measure()
    sent = store._spool.sent()
    unsent = sum(store.next_ordinal(kind) - first for kind, first in zip(BEHAVIOUR_KINDS, sent, strict=True))
    serving = client._cloud._serving
    waiting = 0 if serving is None else max(len(kind.waiting) for kind in serving._kinds.values())
    return Sample(
        time.monotonic() - started,
        waiting,
        unsent + measured["rows"]["requests"],
        measured["file_bytes"] / 2**20,
        measured["wal_bytes"] / 2**20,
        memory_mb(),
        float(np.quantile(latencies, 0.99)) if latencies else 0.0,
    )


def play(client: Client, store: BehaviourStore, *, minutes: float, rate: float) -> list[Sample]:
    """Scroll through the feed, open every tenth item, and pull the list down when it ends."""
    started, samples, latencies, position = time.monotonic(), [], [], 0
    client.refresh()
    client.wait(60)
    due, next_sample = time.monotonic(), time.monotonic() + INTERVAL_S
    while time.monotonic() < started + 60 * minutes:
        order = client.order()
        if position >= len(order) or position >= 400:
            client.refresh()
            client.wait(60)
            position = 0
            continue
        item, before = order[position], time.perf_counter()
        client.shown(item)
        client.exposed(item, {})
        latencies.append((time.perf_counter() - before) * 1000)
        if position % 10 == 9:
            client.clicked(item)
            client.left_page(item, {})
        position += 1
        due = max(due + 1 / rate, time.monotonic() - 1)
        time.sleep(max(due - time.monotonic(), 0))
        if time.monotonic() >= next_sample:
            samples.append(sample(client, store, started, latencies))
            sys.stdout.write(samples[-1].line())
            sys.stdout.flush()
            latencies, next_sample = [], next_sample + INTERVAL_S
    return samples


def bounds(samples: list[Sample], rate: float, limit: int) -> list[tuple[str, float, float]]:
    """Return what was bounded: its name, the largest value, and the bound. Growth is that of the second half."""
    middle = len(samples) // 2
    first, second = samples[:middle], samples[middle:]

    def growth(name: str) -> float:
        return max(getattr(one, name) for one in second) - max(getattr(one, name) for one in first)

    return [
        ("behaviours that wait in memory", max(one.waiting for one in samples), 2 * limit),
        ("unsent rows", max(one.unsent for one in samples), rate * 60),
        ("write-ahead log, MB", max(one.wal_mb for one in samples), 8),
        ("growth of the file, MB", growth("file_mb"), 1),
        ("growth of memory, MB", growth("memory_mb"), 5),
        (
            "latency of a record, p99, second half / first half",
            float(np.median([one.p99_ms for one in second]) / np.median([one.p99_ms for one in first])),
            3,
        ),
    ]


def not_once(events: pl.DataFrame, recorded: Mapping[str, int]) -> int:
    """Return how many behaviours are missing in the logs of a store, plus how many rows are there once too often.

    Args:
        events: the rows of the store.
        recorded: the number of recorded behaviours by kind.
    """
    wrong = 0
    for kind, count in recorded.items():
        ordinals = events.filter(events["kind"] == kind)["ordinal"].to_list()
        wrong += len(set(range(count)) ^ set(ordinals)) + len(ordinals) - len(set(ordinals))
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("logs", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=50.0, help="behaviours a second")
    options = parser.parse_args()
    warnings = _Warnings()
    logging.getLogger("edgerec").addHandler(warnings)
    model = load_device_model(options.bundle)
    config = ClientConfig(send_interval_ms=2_000, prune_interval_ms=5_000)
    with TemporaryDirectory(prefix="edgerec-soak-") as name:
        folder = Path(name)
        cloud = server_process(options.bundle, catalogue=options.logs, logs=folder / "received")
        store = BehaviourStore(folder / "user.db", user_id=9, limits=model.limits, retention=KEPT)
        with cloud as url, HttpTransport(url, timeout_s=20) as transport, store:
            client = Client(store, transport, model, config=config)
            client.start()
            samples = play(client, store, minutes=options.minutes, rate=options.rate)
            client.close()
            recorded = {kind.name: store.next_ordinal(kind) for kind in BEHAVIOUR_KINDS}
            lost = store.measure()["lost"]
        stored = load_logs(folder / "received").events
    table = bounds(samples, options.rate, max(model.limits.of(kind) for kind in BEHAVIOUR_KINDS))
    table += [
        ("behaviours that were not delivered once", not_once(stored, recorded) + lost, 0),
        ("warnings", len(warnings.texts), 0),
    ]
    sys.stdout.write(f"\n{sum(recorded.values())} behaviours in {options.minutes:g} minutes\n")
    sys.stdout.write("| what | largest | bound | |\n|---|---|---|---|\n")
    for what, value, bound in table:
        sys.stdout.write(f"| {what} | {value:.4g} | {bound:.4g} | {'ok' if value <= bound else 'BROKEN'} |\n")
    for text in warnings.texts[:10]:
        sys.stderr.write(f"{text}\n")
    return 0 if all(value <= bound for _, value, bound in table) else 1


if __name__ == "__main__":
    sys.exit(main())
