"""Faults of a device, with real processes, files and servers. Prints a table: fault, count, outcome.

    python -m tests.proof.faults BUNDLE LOGS [NAME...] [--scale 1.0] [--seed 0]

The names are kills, server_kills, damage, dead_server and burst; default: all. `--scale 0.1` makes a tenth of the
counts. The exit code is 1 if something was lost, counted twice, or wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgerec.bundle.load import load_device_model
from edgerec.cloud.server_process import running_server, server_process
from edgerec.core.errors import TransportError
from edgerec.data.logs import load_logs
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import EXPOSURE
from edgerec.paging.http_transport import HttpTransport
from edgerec.paging.log_rows import LogBatch
from tests.device_runtime.store.damage import changed, content, copy, outcome, write_store
from tests.device_runtime.store.example_rows import open_store
from tests.device_runtime.test_faults import DeadServer

START = 1_700_000_000_000
APP = """
import sys
from pathlib import Path
from edgerec import BehaviourStore, Client, ClientConfig, HttpTransport, load_device_model
from edgerec.features.behaviours import EXPOSURE

bundle, path, url, end, *items = sys.argv[1:]
model = load_device_model(Path(bundle))
with BehaviourStore(path, user_id=1, limits=model.limits) as store, HttpTransport(url, timeout_s=20) as cloud:
    clock = lambda: 1_700_000_000_000 + 1000 * store.next_ordinal(EXPOSURE)
    client = Client(store, cloud, model, config=ClientConfig(triggers=(), prune_interval_ms=300_000), clock=clock)
    client.run_pending()
    for number in range(store.next_ordinal(EXPOSURE), int(end)):
        client.exposed(int(items[number % len(items)]), {}, served={})
        print("recorded", number, flush=True)
        client.run_pending()
    client.close()
"""


@dataclass(frozen=True)
class World:
    """What the proofs work on: a bundle, logs with its items, a folder for files, and how much to do."""

    bundle: Path
    logs: Path
    folder: Path
    scale: float
    rng: random.Random

    def count(self, full: int) -> int:
        return max(int(full * self.scale), 2)

    def items(self, count: int) -> list[int]:
        return [int(item) for item in load_logs(self.logs).items["item_id"].to_numpy()[:count]]


def delivered(logs: Path, store_id: int, count: int) -> str:
    """Return whether the logs of a server have the ordinals from 0 to `count` - 1 of a store, each once."""
    events = load_logs(logs).events
    return once(events.filter(events["store_id"] == store_id)["ordinal"].to_list(), count)


def once(ordinals: list[int], count: int) -> str:
    """Return whether these are the ordinals from 0 to `count` - 1, each once."""
    if sorted(ordinals) == list(range(count)):
        return f"{count} rows delivered once"
    missing, twice = len(set(range(count)) - set(ordinals)), len(ordinals) - len(set(ordinals))
    last = max(ordinals, default=-1)
    return f"WRONG: {len(ordinals)} rows of {count}, {missing} are missing, {twice} twice, up to {last}"


def kills(world: World) -> tuple[str, int, str]:
    """Kill a client at random points of its work, and compare its store with one that was never killed."""
    total, count = world.count(10_000), world.count(100)
    items, received = [str(item) for item in world.items(9)], world.folder / "received"
    model = load_device_model(world.bundle)
    lost, ids = 0, {}

    def run(path: Path, url: str, kill_after: int | None) -> int:
        command = [sys.executable, "-c", APP, str(world.bundle), str(path), url, str(total), *items]
        last, seen = -1, 0
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as app:
            assert app.stdout is not None
            for line in app.stdout:
                if line.startswith("recorded"):
                    last, seen = int(line.split()[1]), seen + 1
                    if seen == kill_after:
                        time.sleep(world.rng.random() / 100)
                        app.send_signal(signal.SIGKILL)
        if kill_after is None and app.returncode:
            raise SystemExit(f"the client ended with {app.returncode}")
        return last

    with server_process(world.bundle, catalogue=world.logs, logs=received) as url:
        for _ in range(count):
            last = run(world.folder / "killed.db", url, world.rng.randint(1, max(2 * total // count - 2, 1)))
            with BehaviourStore(world.folder / "killed.db", user_id=1, limits=model.limits) as store:
                lost += max(last + 1 - store.next_ordinal(EXPOSURE), 0)
        for name in ("killed.db", "whole.db"):
            run(world.folder / name, url, None)
    stores = [BehaviourStore(world.folder / name, user_id=1, limits=model.limits) for name in ("killed.db", "whole.db")]
    equal = len({store.next_ordinal(EXPOSURE) for store in stores}) == 1
    states = [store.states(EXPOSURE, model.version_id) for store in stores]
    windows = [store.window(EXPOSURE, model.version_id, model.limits.of(EXPOSURE)) for store in stores]
    equal &= states[0] is not None and states[1] is not None and np.array_equal(states[0].own, states[1].own)
    for field in ("ordinals", "times", "own_keys", "own_values", "previous_keys", "previous_values"):
        equal &= np.array_equal(*(getattr(window, field) for window in windows))
    ids = {name: store.store_id for name, store in zip(("killed", "whole"), stores, strict=True)}
    for store in stores:
        store.close()
    encodings = "encodings equal" if equal else "WRONG: encodings differ"
    losses = f"WRONG: {lost} acknowledged behaviours lost" if lost else "no acknowledged behaviour lost"
    return (
        f"kill -9 in {total:,} behaviours",
        count,
        f"{losses}; {encodings}; {delivered(received, ids['killed'], total)}",
    )


@contextmanager
def killable(command: list[str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a server that the block may kill."""
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"], process
        finally:
            process.kill()


def server_kills(world: World) -> tuple[str, int, str]:
    """Send each batch three times, and kill the server at a random point of the first delivery."""
    count, received = world.count(20), world.folder / "server-logs"
    command = ["edgerec", "serve", "--catalogue", str(world.logs), "--logs", str(received), "--port", "0", "--json"]
    item, rows, acknowledged = world.items(1)[0], 50, 0
    for number in range(count):
        events = [
            {"user_id": 5, "time": START + row, "kind": "exposure", "item_id": item, "store_id": 77, "ordinal": row}
            for row in range(number * rows, (number + 1) * rows)
        ]
        batch = LogBatch(5, 77, number, events, [])
        with killable(command) as (url, server), HttpTransport(url) as transport:
            killer = threading.Timer(world.rng.random() / 3, server.kill)
            killer.start()
            try:
                transport.send(batch)
                acknowledged += 1
            except TransportError:
                pass
            killer.join()
            server.wait()
        if number % 3 == 0:
            with killable(command) as (url, server), HttpTransport(url) as transport:
                transport.send(batch)
                server.kill()
        with running_server(command) as url, HttpTransport(url, timeout_s=20) as transport:
            for _ in range(2):
                transport.send(batch)
    result = delivered(received, 77, count * rows)
    return "kill -9 of the server while it stores a batch", count, f"{result}; {acknowledged} answered before the kill"


def damage(world: World) -> tuple[str, int, str]:
    """Change bytes at random places of a store's file."""
    count, found = world.count(50), Counter[str]()
    whole = write_store(world.folder / "whole-store.db", 200)
    with open_store(copy(whole, world.folder / "intact.db")) as store:
        intact = content(store)
    for number in range(count):
        path = copy(whole, world.folder / f"damaged-{number}.db")
        path.write_bytes(changed(path.read_bytes(), world.rng, world.rng.randrange(path.stat().st_size)))
        found[outcome(path, intact)] += 1
    text = ", ".join(f"{times} {name}" for name, times in found.most_common())
    return "bytes changed in the store", count, text if set(found) <= {"intact", "moved aside"} else f"WRONG: {text}"


def dead_server(world: World) -> tuple[str, int, str]:
    """Ask for pages while the server is down, then deliver everything to a real one."""
    pages, model = world.count(100), load_device_model(world.bundle)
    now, received, empty = [START], world.folder / "after-logs", 0
    config = ClientConfig(send_interval_ms=0)
    server = DeadServer()
    with BehaviourStore(world.folder / "dead.db", user_id=3, limits=model.limits) as store:
        with server_process(world.bundle, catalogue=world.logs, logs=None) as url, HttpTransport(url) as transport:
            client = Client(store, transport, model, config=config, clock=lambda: now[0])
            client.refresh()
            client.run_pending()
            first = client.order()
            client._cloud._transport = HttpTransport(server.url)
            for number in range(pages):
                now[0] += 30_000
                client.refresh()
                client.run_pending()
                order = client.order()
                empty += not order
                client.exposed(order[number % len(order)] if order else first[0], {})
                client.run_pending()
            client.close()
        server.stop()
        with server_process(world.bundle, catalogue=world.logs, logs=received) as url, HttpTransport(url) as transport:
            client = Client(store, transport, model, config=config, clock=lambda: now[0])
            now[0] += 3_600_000
            client.run_pending()
            client.close()
        rows = delivered(received, store.store_id, pages)
        text = f"{empty} pages without an order; {server.connections} requests; {rows}"
    # The user pulls the list down every 30 s, which hurries a request each time; nothing else is asked.
    wrong = empty or server.connections > pages + 10
    return "server down, pages wanted", pages, f"WRONG: {text}" if wrong else text


def burst(world: World) -> tuple[str, int, str]:
    """Record many behaviours at once from four threads while the server is down."""
    count, model = world.count(10_000), load_device_model(world.bundle)
    items, received, now = world.items(500), world.folder / "burst-logs", [START]
    server = DeadServer()
    with BehaviourStore(world.folder / "burst.db", user_id=4, limits=model.limits) as store:
        with HttpTransport(server.url) as transport:
            client = Client(store, transport, model, clock=lambda: now[0])
            client.start()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

            def work(part: int) -> None:
                for number in range(part, count, 4):
                    client.exposed(items[number % len(items)], {})

            threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            waiting = len(client._cloud._serving._kinds[EXPOSURE].waiting)  # type: ignore[union-attr]
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            client.close()
        server.stop()
        limit = 2 * model.limits.of(EXPOSURE)
        cloud = server_process(world.bundle, catalogue=world.logs, logs=received)
        with cloud as url, HttpTransport(url, timeout_s=20) as transport:
            client = Client(store, transport, model, clock=lambda: now[0])
            now[0] += 10_000_000
            for _ in range(20):
                client.run_pending()
            client.close()
        rows = delivered(received, store.store_id, count)
        text = f"{waiting} wait in memory (limit {limit}), {grown:.0f} MB more; {rows}"
    wrong = waiting > limit or grown > 30
    return "behaviours at once, server down", count, f"WRONG: {text}" if wrong else text


PROOFS: dict[str, Callable[[World], tuple[str, int, str]]] = {
    each.__name__: each for each in (damage, server_kills, dead_server, burst, kills)
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.faults", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("logs", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(PROOFS)}")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in PROOFS]:
        parser.error(f"unknown name {unknown[0]!r}; expected one of: {', '.join(PROOFS)}")
    failed = False
    for name in options.names or PROOFS:
        with TemporaryDirectory(prefix="edgerec-faults-") as folder:
            started = time.monotonic()
            world = World(options.bundle, options.logs, Path(folder), options.scale, random.Random(options.seed))
            fault, count, result = PROOFS[name](world)
            failed |= "WRONG" in result
            seconds = time.monotonic() - started
            sys.stdout.write(f"| {fault} | {count:,} | {result} | {seconds:.0f} s |\n")
            sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
