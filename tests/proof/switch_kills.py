"""Kill a device (SIGKILL) at random moments of the download, the installation and the switch of model versions.

    python -m tests.proof.switch_kills BUNDLE OTHER_BUNDLE LOGS [--kills 100] [--seed 0] [--json]

The cloud offers the two versions in turn, so the device downloads and switches again and again. The rules are:

- After each kill, the device starts with one of the two versions, complete, and its store belongs to this version or to
  the one before.
- No behaviour that was recorded is lost, and none is recorded twice.
- At the end, the device's scores equal those of a new device of the same version over the same history, bit for bit.

The exit code is 1 if a rule is broken.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgerec import BehaviourStore, DeviceModel, HttpTransport, load_device_model
from edgerec.cli.output import emit, table_of
from edgerec.cloud.server_process import running_server
from edgerec.core.console import progress
from edgerec.device_runtime.serving import ModelServing
from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE
from tests.model_update.model_server import ModelServer, model_server

APP = """
import sys
from pathlib import Path
from edgerec import BehaviourStore, Client, ClientConfig, HttpTransport, ModelFolder, ModelUpdater, UpdateConfig
from edgerec.features.behaviours import EXPOSURE

folder, pages, models_url, shipped, most = sys.argv[1:]
say = lambda *words: print("@", *words, flush=True)
with ModelFolder(Path(folder, "models")) as models:
    models.install(shipped)
    with BehaviourStore(Path(folder, "user.db"), user_id=1) as store, HttpTransport(pages) as cloud, \
            HttpTransport(models_url) as updates:
        model = models.load(store)
        say("started", model.version_id, ",".join(sorted(store.encoded_versions())) or "-")
        clock = lambda: 1_700_000_000_000 + 1000 * store.next_ordinal(EXPOSURE)
        config = ClientConfig(page=8, fetch=12, prefetch=2, debounce_ms=0, triggers=(), send_interval_ms=10**12)
        client = Client(store, cloud, model, config=config, clock=clock)
        waits = dict.fromkeys(("check_ms", "retry_first_ms", "retry_most_ms", "refused_ms"), 1)
        update = UpdateConfig(**waits, piece_bytes=16384, tries=10**6)
        updater = ModelUpdater(
            client, models, updates, config=update, clock=clock,
            on_event=lambda event: say("event", event.what, event.version_id, event.detail),
        )
        first = store.next_ordinal(EXPOSURE)
        for number in range(first, first + int(most)):
            if not client.order() or number % 8 == 0:
                client.refresh()
                client.run_pending()
            order = client.order()
            item = order[number % len(order)]
            client.exposed(item)
            say("recorded", number, item)
            client.run_pending()
            updater.run_pending()
            client.run_pending()
        client.close(send=False)
        updater.close()
"""
RUN = 40
"""Number of behaviours of a run that is not killed."""


class Trial:
    """One device with its server of models, and what the device has said so far."""

    def __init__(self, folder: Path, bundles: Sequence[Path], server: ModelServer, pages: str) -> None:
        self.folder, self.bundles, self.server, self.pages = folder, bundles, server, pages
        self.models = {model.version_id: model for model in map(load_device_model, bundles)}
        self.recorded: dict[int, int] = {}
        self.events: Counter[str] = Counter()
        self.faults: list[str] = []
        self.current = ""

    def offer(self, number: int) -> None:
        self.server.offer(self.bundles[number % len(self.bundles)])

    def run(self, rng: random.Random | None) -> str:
        """Run the application. Kill it some time after a random line that it prints. Return what it did last."""
        wanted = (
            None if rng is None else rng.choice(("started", "offered", "offered", "installed", "preparing", "switched"))
        )
        delay = 0.0 if rng is None else rng.choice((0.0, rng.random() * 0.02, rng.random() * 0.3))
        command = [sys.executable, "-c", APP, str(self.folder), self.pages, self.server.url, str(self.bundles[0])]
        last, armed = "", False
        with subprocess.Popen([*command, str(RUN)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as app:
            assert app.stdout is not None
            assert app.stderr is not None
            for line in app.stdout:
                if not line.startswith("@") or not line.endswith(
                    "\n"
                ):  # MNN prints a line, too, and a kill may cut one
                    continue
                _, word, *rest = line.split()
                if word == "recorded":
                    number, item = int(rest[0]), int(rest[1])
                    if number in self.recorded:
                        self.faults.append(f"behaviour {number} was recorded twice")
                    self.recorded[number] = item
                    continue
                last = rest[0] if word == "event" else word
                if word == "event":
                    self.events[last] += 1
                    if last in ("refused", "rolled_back"):
                        self.faults.append(line.strip())
                    if last == "switched":
                        self.current = rest[1]
                        self.offer(list(self.models).index(rest[1]) + 1)
                else:
                    self._started(*rest)
                if last == wanted and not armed:
                    armed = True
                    threading.Timer(delay, app.send_signal, (signal.SIGKILL,)).start()
            error = app.stderr.read().strip().splitlines()
            code = app.wait()
        if code not in (0, -signal.SIGKILL):
            self.faults.append(f"the application ended with {code}: {error[-1] if error else ''}")
        return last

    def _started(self, version_id: str, encoded: str) -> None:
        if version_id not in self.models:
            self.faults.append(f"the device started with version {version_id}")
        if encoded not in ("-", *self.models):
            self.faults.append(f"the store has encodings of {encoded}")
        if encoded != "-" and encoded != version_id:
            self.faults.append(f"the device started with version {version_id}, but the store is of version {encoded}")
        if self.current and version_id != self.current:
            # The switch was committed, but the process was killed before it said so.
            self.events["switched unheard"] += 1
            self.offer(list(self.models).index(version_id) + 1)
        self.current = version_id

    def check_history(self) -> None:
        with BehaviourStore(self.folder / "user.db", user_id=1) as store:
            rows = {ordinal: one.item_id for ordinal, one in store.latest(EXPOSURE, 10**6)}
        lost = [number for number, item in self.recorded.items() if rows.get(number) != item]
        if lost:
            self.faults.append(f"{len(lost)} behaviours are lost, such as {lost[0]}")
        if sorted(rows) != list(range(len(rows))):
            self.faults.append("ordinals have gaps")

    def check_scores(self) -> None:
        """Compare the scores over the stored encodings with those of a new device."""
        model = self.models[self.current]
        with HttpTransport(self.pages) as cloud:
            items = list(dict.fromkeys(self.recorded.values()))[: model.ranker.limit]
            batch = cloud.items(model.version_id, items)
            scores = []
            for fresh in (False, True):
                copy = self.folder / "copy.db"
                shutil.copy(self.folder / "user.db", copy)
                with BehaviourStore(copy, user_id=1, limits=model.limits) as store:
                    scores.append(_scores(model, store, cloud, batch, fresh=fresh))
        if not np.array_equal(*scores):
            self.faults.append("the scores differ from those of a new device")


def _scores(model: DeviceModel, store: BehaviourStore, cloud: HttpTransport, batch: Any, *, fresh: bool) -> Any:
    if fresh:
        for kind in BEHAVIOUR_KINDS:
            store.forget_encodings(kind)
            store._database.write(f"UPDATE {kind.name}s SET item_version = NULL")
    serving = ModelServing(model, store)
    while unknown := serving.unknown_items(100):
        serving.supply(cloud.items(model.version_id, unknown))
    while serving.encode_next():
        pass
    return serving.score(serving.items.prepare(batch), context={}, time=store.last_time + 1000)


def prove(bundles: Sequence[Path], logs: Path, folder: Path, *, kills: int, seed: int) -> dict[str, Any]:
    """Kill a device so many times. Return a document with the counts and the broken rules."""
    rng, killed_after, begun = random.Random(seed), Counter[str](), time.perf_counter()
    command = ["edgerec", "serve", *map(str, bundles), "--catalogue", str(logs), "--port", "0", "--json"]
    with running_server(command) as pages, model_server() as server:
        trial = Trial(folder, bundles, server, pages)
        trial.offer(1)
        for _ in progress(iter(range(kills)), what="kills", total=kills):
            killed_after[trial.run(rng)] += 1
            trial.check_history()
        trial.run(None)
        trial.check_history()
        trial.check_scores()
    return {
        "kills": kills,
        "behaviours": len(trial.recorded),
        "killed_after": dict(killed_after),
        "events": dict(trial.events),
        "seconds": round(time.perf_counter() - begun, 1),
        "faults": trial.faults,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.switch_kills", description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs=2, type=Path)
    parser.add_argument("logs", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="edgerec-switches-") as name:
        document = prove(options.bundles, options.logs, Path(name), kills=options.kills, seed=options.seed)
    rows = [(key, json.dumps(value)) for key, value in document.items()]
    emit(document, as_json=options.json, table=table_of(("", ""), rows, header=False))
    return 1 if document["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
