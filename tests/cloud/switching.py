"""Switch versions of a real server under load, and check every answer against the tables and files of the bundles."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from edgerec.bundle.tables import open_tables
from edgerec.cloud.version_folder import publish, retire
from edgerec.data.logs import load_logs
from edgerec.features.spec import FeatureSpec
from edgerec.features.vocabulary import MISSING_ID
from edgerec.kv.npz import Table
from edgerec.paging.codec import decode_items, decode_page
from edgerec.paging.items import UNKNOWN_KEY, ItemBatch

COUNT = 20
"""Items of a page."""


@dataclass(frozen=True)
class Truth:
    """What a version must serve.

    Attributes:
        version_id: the version.
        bundle: its bundle.
        tables: its embedding tables by feature.
        keys: for each feature, the key of each item of the catalogue.
        files: the bytes of the files for devices by path.
    """

    version_id: str
    bundle: Path
    tables: Mapping[str, Table]
    keys: Mapping[str, Mapping[int, int]]
    files: Mapping[str, bytes]

    @classmethod
    def of(cls, bundle: Path, logs: Path) -> Truth:
        opened = open_tables(bundle / "cloud")
        spec = FeatureSpec.model_validate(opened.spec)
        items = load_logs(logs).items
        tables = {}
        for name, table in opened.tables.items():
            keys, values = (np.concatenate(part) for part in zip(*table.blocks(), strict=True))
            tables[name] = Table(keys.copy(), values.astype(np.float32), table.unknown)
        return cls(
            opened.version_id,
            bundle,
            tables,
            {
                feature.name: dict(zip(items["item_id"], items[feature.source].fill_null(MISSING_ID), strict=True))
                for feature in spec.embeddings
                if feature.origin == "catalogue"
            },
            {path.relative_to(bundle).as_posix(): path.read_bytes() for path in (bundle / "device").iterdir()},
        )

    def fault(self, batch: ItemBatch) -> str | None:
        """Return what is wrong with the rows of an answer, or None."""
        if batch.version_id != self.version_id or set(batch.embeddings) != set(self.tables):
            return f"asked for {self.version_id}, received {batch.version_id} with {sorted(batch.embeddings)}"
        for name, keys in self.keys.items():
            column, table = batch.embeddings[name], self.tables[name]
            wanted = np.array([keys[item] for item in batch.item_id.tolist()], np.int64)
            at = np.minimum(table.keys.searchsorted(wanted), len(table.keys) - 1)
            known = table.keys[at] == wanted
            rows = np.where(known[:, None], table.values[at], table.unknown)
            if not np.array_equal(column.keys[column.index], np.where(known, wanted, UNKNOWN_KEY)):
                return f"{name}: other keys than those of the items"
            if not np.array_equal(column.rows[column.index], rows):
                return f"{name}: rows of another version than {self.version_id}"
        return None


class Live:
    """The versions that are certainly served: the server has said so, and nobody has begun to retire them."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._next = 0

    def begin(self, version_id: str) -> None:
        self._next += 1
        self._numbers.setdefault(version_id, self._next)

    def end(self, version_id: str) -> None:
        self._numbers.pop(version_id, None)

    def number(self, version_id: str) -> int | None:
        """Return a number that changes when the version is retired, or None if it is not certainly served."""
        return self._numbers.get(version_id)


@dataclass
class Load:
    """Client threads that ask for pages, items and models of all versions until they are stopped.

    Attributes:
        url: the server.
        truths: the versions.
        items: the items of the catalogue.
        live: the versions that are certainly served.
        pause_s: how long a client waits between two requests, in seconds.
        counts: the numbers of answers by kind.
        faults: what was wrong.
    """

    url: str
    truths: Mapping[str, Truth]
    items: list[int]
    live: Live
    pause_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def running(self, clients: int) -> Iterator[None]:
        threads = [threading.Thread(target=self._client, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _client(self, number: int) -> None:
        rng = random.Random(number)
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            while not self._stop.is_set():
                work = rng.choice([self._page, self._page, self._items, self._model])
                try:
                    kind, fault = work(connection, rng)
                except Exception as error:
                    kind, fault = "broken", f"{type(error).__name__}: {error}"
                    connection.close()
                with self._lock:
                    self.counts[kind] += 1
                    self.faults += [fault] if fault is not None else []
                time.sleep(self.pause_s)
        finally:
            connection.close()

    def _page(self, connection: http.client.HTTPConnection, rng: random.Random) -> tuple[str, str | None]:
        version_id = rng.choice([*self.truths, None])
        body = {"user_id": rng.randrange(50), "store_id": 1, "version_id": version_id, "count": COUNT, "time": 9}
        return self._batch(connection, "/v1/page", body, version_id)

    def _items(self, connection: http.client.HTTPConnection, rng: random.Random) -> tuple[str, str | None]:
        version_id = rng.choice([*self.truths, None])
        body = {"version_id": version_id, "item_ids": rng.sample(self.items, 10)}
        return self._batch(connection, "/v1/items", body, version_id)

    def _batch(
        self, connection: http.client.HTTPConnection, path: str, body: dict[str, Any], version_id: str | None
    ) -> tuple[str, str | None]:
        before = None if version_id is None else self.live.number(version_id)
        status, content = _ask(connection, "POST", path, body)
        if status == 200:
            batch = decode_page(content).items if path == "/v1/page" else decode_items(content)
            if version_id is None:
                return "without a model", None if batch.version_id is None else "a version was not asked for"
            return path[4:], self.truths[version_id].fault(batch)
        return self._absent(status, content, version_id, before)

    def _model(self, connection: http.client.HTTPConnection, rng: random.Random) -> tuple[str, str | None]:
        body = {"user_id": rng.randrange(50), "store_id": 1, "version_id": None}
        status, content = _ask(connection, "POST", "/v1/model", body)
        if status != 200:
            return f"{status}", f"/v1/model: {content[:200]!r}"
        offer = json.loads(content)
        version_id = offer["version_id"]
        if version_id is None:
            return "no offer", "no version was offered, although one is always live"
        truth = self.truths[version_id]
        if {file["path"] for file in offer["files"]} != set(truth.files):
            return "offer", f"other files than those of {version_id}"
        before = self.live.number(version_id)
        for file in offer["files"]:
            start = rng.choice([0, rng.randrange(file["bytes"])])
            headers = {"Range": f"bytes={start}-"} if start else {}
            status, content = _ask(connection, "GET", f"/v1/model/{version_id}/{file['path']}", headers=headers)
            if status == 404:
                return self._absent(status, content, version_id, before)
            whole = truth.files[file["path"]]
            if status != (206 if start else 200) or content != whole[start:]:
                return "file", f"{version_id}/{file['path']} from {start}: status {status}, {len(content)} bytes"
            if file["sha256"] != hashlib.sha256(whole).hexdigest():
                return "file", f"{version_id}/{file['path']}: another hash"
        return "model", None

    def _absent(
        self, status: int, content: bytes, version_id: str | None, before: int | None
    ) -> tuple[str, str | None]:
        """Check an answer that says that a version is not served."""
        error = json.loads(content)
        if status != 404 or version_id is None:
            return f"{status}", f"status {status} for {version_id}: {error}"
        if not error["versions"] or version_id in error["versions"] or not set(error["versions"]) <= set(self.truths):
            return "404", f"the answer for {version_id} names the live versions {error['versions']}"
        if before is not None and self.live.number(version_id) == before:
            return "404", f"{version_id} was live all the time, and got {error}"
        return "404", None


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    content = None if body is None else json.dumps(body).encode()
    connection.request(method, path, content, {"Content-Type": "application/json", **(headers or {})})
    answer = connection.getresponse()
    return answer.status, answer.read()


@contextlib.contextmanager
def server(folder: Path, logs: Path, errors: Path) -> Iterator[tuple[int, str]]:
    """Run a server that follows a versions folder. Yield its process ID and its URL. Its messages go to a file."""
    command = [sys.executable, "-m", "edgerec", "serve", "--versions", str(folder), "--catalogue", str(logs)]
    command += ["--port", "0", "--json"]
    with errors.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        try:
            yield process.pid, json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def memory(pid: int) -> tuple[float, int, int]:
    """Return the resident memory of a process in MiB, its open files, and the shards that it has mapped."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    shards = sum("/shard-" in line for line in Path(f"/proc/{pid}/maps").read_text().splitlines())
    return resident / 1024, len(os.listdir(f"/proc/{pid}/fd")), shards


def switch(
    first: Truth, second: Truth, folder: Path, pid: int, url: str, live: Live, *, times: int, quick: int = 5
) -> tuple[list[float], list[tuple[float, int, int]]]:
    """Publish one version and retire the other, again and again. `first` is live at the begin.

    Each switch number `quick` is made without waiting for the server. Each tenth removes the files, so that the next
    publication copies them again.

    Returns:
        For each switch that was waited for, the seconds until the server served the new version; and after each switch
        what `memory` returns.
    """
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def served() -> list[str]:
        found: list[str] = json.loads(_ask(connection, "GET", "/v1/health")[1])["versions"]
        return found

    seconds, states = [], []
    old, new = first, second
    for number in range(times):
        waits = number % quick != quick - 1
        publish(new.bundle, folder)
        begin = time.perf_counter()
        if waits:
            while new.version_id not in served():
                time.sleep(0.005)
            seconds.append(time.perf_counter() - begin)
            live.begin(new.version_id)
        live.end(old.version_id)
        retire(old.version_id, folder, delete=number % 10 == 9)
        while waits and old.version_id in served():
            time.sleep(0.005)
        states.append(memory(pid))
        old, new = new, old
    connection.close()
    return seconds, states
