"""Measure a server: pages, log rows, its first page, its memory, and where the time of a page goes."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import psutil

from edgerec.bench.cloud.batches import MIXED_EVENTS, MIXED_REQUESTS, batch_lines
from edgerec.bench.cloud.breakdown import page_parts
from edgerec.bench.cloud.load import LoadResult, check_wrk, load
from edgerec.bench.cloud.stores import Store
from edgerec.bench.cloud.workload import Workload, document
from edgerec.bench.environment import environment
from edgerec.bench.values import Environment
from edgerec.bench.warnings import environment_warnings
from edgerec.cloud.server_process import RunningServer, started_server
from edgerec.core.console import log, stage
from edgerec.core.errors import InputError, ResourceError

PAGE, FIRST, LOGS, MEMORY = "page", "first", "logs", "memory"
ITEMS = 100
_LOG_CONNECTIONS = 8
_WARM_S = 2
_PAUSE_S = 1.0
"""Between two loads. What the connections of the load before still wait for would make the next one slow."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        connections: numbers of connections, each measured by itself.
        seconds: duration of one load.
        rounds: number of loads for each number of connections. They take turns over the numbers.
        pages: number of pages over which the memory is watched; 0: it is not.
        items: number of items of a page.

    Raises:
        InputError: a number is too small.
    """

    connections: tuple[int, ...] = (1, 8, 64)
    seconds: int = 5
    rounds: int = 3
    pages: int = 0
    items: int = ITEMS

    def __post_init__(self) -> None:
        if not self.connections or min(*self.connections, self.seconds, self.rounds, self.items) < 1 or self.pages < 0:
            raise InputError("bench: --connections, --seconds, --rounds and --items should be at least 1, --pages 0")


def run_cloud_bench(workload: Workload, stores: Sequence[Store], plan: Plan, *, work: Path) -> dict[str, Any]:
    """Start a server for each store, send it pages and logs, and return a document.

    Args:
        workload: what the server serves.
        stores: where its embedding tables are.
        plan: what is measured.
        work: an existing folder for files of the measurement.

    Raises:
        ResourceError: wrk is not installed, or a server does not start, or an answer fails.
    """
    check_wrk()
    start = environment()
    users = work / "users.txt"
    users.write_text("".join(f"{user}\n" for user in workload.users.tolist()), encoding="ascii")
    rows: list[dict[str, Any]] = []
    for store in stores:
        with _server(workload, store, work) as server:
            rows += _measure(workload, store, plan, server, users=users, work=work)
    parts = page_parts(workload, count=plan.items)
    at_one = [row["cpu_us"] for row in rows if row["stage"] == PAGE and row["name"] == stores[0].name]
    parts["HTTP and the rest"] = round(min(at_one) - sum(parts.values()), 1)
    return {
        "environment": {**start, "load_end": psutil.getloadavg()[0]},
        "warnings": list(environment_warnings(Environment.model_validate(start))),
        "version_id": workload.version_id,
        "sizes": {**document(workload), "page": plan.items},
        "plan": {"connections": list(plan.connections), "seconds": plan.seconds, "rounds": plan.rounds},
        "results": rows,
        "parts": [{"part": name, "us": us} for name, us in parts.items()],
    }


@contextlib.contextmanager
def _server(workload: Workload, store: Store, work: Path) -> Iterator[RunningServer]:
    command = [
        "edgerec",
        "serve",
        str(workload.bundle),
        "--catalogue",
        str(workload.catalogue),
        "--port",
        "0",
        "--json",
    ]
    with stage(f"start a server ({store.name})"), contextlib.ExitStack() as stack:
        command += ["--logs", str(work / f"received-{store.name}"), *stack.enter_context(store.options(workload))]
        server = stack.enter_context(started_server(command))
        stack = stack.pop_all()
    with stack:
        yield server


def _measure(
    workload: Workload, store: Store, plan: Plan, server: RunningServer, *, users: Path, work: Path
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one server."""
    name, arguments = store.name, [workload.version_id, str(plan.items), str(users)]
    process = psutil.Process(server.process_id)
    first = _first_page(server.url, workload, plan.items)
    load(server.url, "pages.lua", connections=1, seconds=_WARM_S, arguments=arguments)
    loads: dict[int, list[LoadResult]] = {count: [] for count in plan.connections}
    used: dict[int, list[float]] = {count: [] for count in plan.connections}
    for turn in range(plan.rounds):
        for count in plan.connections:
            log(f"{name}: pages over {count} connections, round {turn + 1} of {plan.rounds}")
            time.sleep(_PAUSE_S)
            before = _cpu_s(process)
            found = load(server.url, "pages.lua", connections=count, seconds=plan.seconds, arguments=arguments)
            used[count].append((_cpu_s(process) - before) / max(found.requests, 1) * 1e6)
            loads[count].append(found)
    for count in plan.connections:
        yield _row(PAGE, name, count, loads[count], used[count])
    typical = median(one.p50_us for one in loads[plan.connections[0]])
    yield {"stage": FIRST, "name": name, "us": round(first, 1), "to_p50": round(first / typical, 2)}
    for kind, events, requests in (("behaviours", 500, 0), ("behaviours and requests", MIXED_EVENTS, MIXED_REQUESTS)):
        file = work / "batches.txt"
        file.write_text("\n".join(batch_lines(workload, events=events, requests=requests)) + "\n", encoding="utf-8")
        sent = []
        for turn in range(plan.rounds):
            log(f"{name}: logs ({kind}), round {turn + 1} of {plan.rounds}")
            seed = str(turn + 1 + 100 * (requests > 0))
            sent.append(
                load(
                    server.url,
                    "logs.lua",
                    connections=_LOG_CONNECTIONS,
                    seconds=plan.seconds,
                    arguments=[seed, str(file)],
                )
            )
        row = _row(LOGS, name, _LOG_CONNECTIONS, sent, [])
        del row["pages_per_s"]
        yield {
            **row,
            "batch": kind,
            "events": events,
            "requests": requests,
            "behaviours_per_s": round(median(one.per_second for one in sent) * events, 1),
        }
    if plan.pages:
        yield _memory(server, process, plan, name, arguments)


def _row(stage_name: str, name: str, count: int, loads: list[LoadResult], used: list[float]) -> dict[str, Any]:
    """Return a row: the median of the rounds, and all of them."""
    failed = sum(one.failed + one.broken for one in loads)
    if failed:
        raise ResourceError(
            f"bench: {failed} of {sum(one.requests for one in loads)} requests failed ({stage_name}, {name})"
        )
    return {
        "stage": stage_name,
        "name": name,
        "connections": count,
        "n": sum(one.requests for one in loads),
        "pages_per_s": round(median(one.per_second for one in loads), 1),
        **{f"{key}_us": median(getattr(one, f"{key}_us") for one in loads) for key in ("p50", "p90", "p99", "max")},
        **({"cpu_us": round(median(used), 1)} if used else {}),
        "rounds": [{"per_s": round(one.per_second, 1), "p50_us": one.p50_us, "p99_us": one.p99_us} for one in loads],
    }


def _memory(
    server: RunningServer, process: psutil.Process, plan: Plan, name: str, arguments: list[str]
) -> dict[str, Any]:
    """Ask for many pages, and return the memory of the server beside their number."""
    samples = [{"pages": 0, "bytes": int(process.memory_info().rss)}]
    done = 0
    while done < plan.pages:
        done += load(server.url, "pages.lua", connections=8, seconds=plan.seconds, arguments=arguments).requests
        samples.append({"pages": done, "bytes": int(process.memory_info().rss)})
        log(f"{name}: memory {samples[-1]['bytes'] / 1e6:,.1f} MB after {done:,} pages")
    later = [one["bytes"] for one in samples[1:]]
    return {"stage": MEMORY, "name": name, "pages": done, "grown_bytes": later[-1] - later[0], "samples": samples}


def _first_page(url: str, workload: Workload, items: int) -> float:
    """Return the duration of the first page of a server in microseconds. The connection is open before."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=60)
    connection.connect()
    body = {"user_id": int(workload.users[0]), "store_id": 1, "version_id": workload.version_id, "count": items}
    text = json.dumps({**body, "held": [], "time": 1_700_000_000_000})
    start = time.perf_counter()
    connection.request("POST", "/v1/page", text, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    duration = time.perf_counter() - start
    connection.close()
    if answer.status != 200:
        raise ResourceError(f"bench: the first page was answered with the status {answer.status}")
    return duration * 1e6


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
