"""Switch model versions of a running server, damage bundles, and kill publications.

    python -m tests.proof.versions [--switches 200] [--clients 4] [--damages 50] [--json]
    python -m tests.proof.versions --bundles FIRST SECOND --catalogue LOGS

1. A real server serves two versions over loopback. Client threads ask for pages and items of both versions and for
   model files, while one version is published and the other is retired, again and again. The rules are: every answer
   has rows and files of exactly the version that was asked for (they are compared with the bundles), or it is a 404
   that names the live versions; a version that is live all the time gets no 404; there is no other status; memory, open
   files and mapped shards do not grow.
2. One bit of a bundle is changed, at random places in all of its files. `publish` refuses the bundle and changes
   nothing. If the bit changes after the publication, the server refuses the version, except if no server reads the file
   (golden cases). Then it serves the same bytes.
3. `publish` is killed (SIGKILL) before each of its file operations. The list is the old one or the new one, all bundles
   that it names are complete, and the same command finishes the work.

The exit code is 1 if a rule is broken.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgerec.cli.output import emit, table_of
from edgerec.cloud.followed_folder import FollowedFolder
from edgerec.cloud.start import open_service
from edgerec.cloud.version_folder import publish
from edgerec.core.errors import EdgeRecError, FormatError
from edgerec.data.logs import load_logs, write_logs
from tests.cloud.bundles import write_whole
from tests.cloud.killed import kill_each_step
from tests.cloud.switching import Live, Load, Truth, server, switch
from tests.synthetic import make_logs_with_context

GROWTH_MIB = 8.0
"""How much the memory may grow from a fifth of the switches to their end."""


def prove_switches(first: Path, second: Path, logs: Path, folder: Path, *, times: int, clients: int) -> dict[str, Any]:
    """Switch two bundles `times` times under load. Return the figures and the broken rules."""
    one, two = Truth.of(first, logs), Truth.of(second, logs)
    versions, live = folder / "versions", Live()
    publish(first, versions)
    with server(versions, logs, folder / "errors") as (pid, url):
        live.begin(one.version_id)
        truths = {truth.version_id: truth for truth in (one, two)}
        load = Load(url, truths, load_logs(logs).items["item_id"].to_list(), live)
        with load.running(clients):
            seconds, states = switch(one, two, versions, pid, url, live, times=times)
    faults = list(load.faults)
    early, late = states[len(states) // 5], states[-1]
    if late[0] > early[0] + GROWTH_MIB:
        faults.append(f"the memory grew from {early[0]:.1f} to {late[0]:.1f} MiB")
    most = [max(state[column] for state in states) for column in (1, 2)]
    shards = [sum(1 for _ in (bundle / "cloud").rglob("shard-*")) for bundle in (first, second)]
    if most[1] > 3 * sum(shards):
        faults.append(f"{most[1]} shards were mapped; two versions have {sum(shards)}")
    if most[0] > states[0][1] + 2 * clients + 4:
        faults.append(f"the open files grew from {states[0][1]} to {most[0]}")
    messages = (folder / "errors").read_text()
    if "Traceback" in messages or "not served" in messages:
        faults.append(f"the server wrote: {messages[-2000:]}")
    ordered = sorted(seconds)
    return {
        "switches": times,
        "answers": dict(sorted(load.counts.items())),
        "seconds_until_served_p50": ordered[len(ordered) // 2],
        "seconds_until_served_max": ordered[-1],
        "resident_mib": {"first": states[0][0], "fifth": early[0], "last": late[0]},
        "most_open_files": most[0],
        "most_mapped_shards": most[1],
        "faults": faults,
    }


def changed_bits(bundle: Path, count: int) -> Iterator[Path]:
    """Change one bit of a file of `bundle`, yield the file, and change it back; `count` times, in turn in all files."""
    rng = random.Random(5)
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    for number in range(count):
        path = files[number % len(files)]
        content = path.read_bytes()
        changed = bytearray(content)
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        yield path
        path.write_bytes(content)


def prove_damages(first: Path, second: Path, logs: Path, folder: Path, *, count: int) -> dict[str, Any]:
    """Damage a bundle before and after it is published. Return the figures and the broken rules."""
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    versions = folder / "versions"
    publish(first, versions)
    before = {path: path.read_bytes() for path in versions.rglob("*") if path.is_file()}
    copy = shutil.copytree(second, folder / "copy")
    for path in changed_bits(copy, count):
        try:
            publish(copy, versions)
            faults.append(f"published with a change of {path.relative_to(copy)}")
        except FormatError:
            outcomes["refused by publish"] += 1
        if {path: path.read_bytes() for path in versions.rglob("*") if path.is_file()} != before:
            faults.append(f"a refused bundle changed the folder: {path.relative_to(copy)}")
    service = open_service(logs, followed=FollowedFolder(versions))
    entry = publish(copy, versions)
    truth = Truth.of(second, logs)
    for path in changed_bits(versions / entry.folder, count):
        with contextlib.redirect_stderr(io.StringIO()):
            FollowedFolder(versions).update(service.versions, service.admit)
        refused = truth.version_id in service.versions.refused
        if refused != (truth.version_id not in service.versions.ids):
            faults.append(f"refused and served: {path}")
        if refused:
            outcomes["refused by the server"] += 1
            continue
        outcomes["served, not read by a server"] += 1
        device = service.versions.get(truth.version_id).device
        batch = service.items(truth.version_id, service.catalogue.ids.tolist()[:1000])
        same = device is not None and {name: file.content for name, file in device.files.items()} == truth.files
        if path.parent.name not in ("golden", "onnx", "peers") or not same or truth.fault(batch):
            faults.append(f"served with a change of {path.relative_to(versions)}")
    return {"damages": 2 * count, "outcomes": dict(outcomes), "faults": faults}


def prove_kills(first: Path, second: Path, folder: Path) -> dict[str, Any]:
    """Kill the publication before each file operation. Return the figures and the broken rules."""
    publish(first, folder / "versions")
    try:
        outcomes = kill_each_step(second, folder / "versions", folder / "copies")
    except (AssertionError, EdgeRecError) as error:
        return {"kills": 0, "faults": [f"after a kill: {error}"]}
    faults = [] if {"old", "new"} == set(outcomes) else [f"only {set(outcomes)} was left"]
    return {"kills": len(outcomes), "lists_left": dict(Counter(outcomes)), "faults": faults}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.versions", description=__doc__.splitlines()[0])
    parser.add_argument("--switches", type=int, default=200)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--damages", type=int, default=50, help="before, and as many after the publication")
    parser.add_argument("--bundles", type=Path, nargs=2, help="two whole bundles (default: small ones are made)")
    parser.add_argument("--catalogue", type=Path, help="logs that fit --bundles")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="edgerec-versions-") as name:
        root = Path(name)
        for part in ("switches", "damages", "kills"):
            (root / part).mkdir()
        logs = options.catalogue or root / "logs"
        if options.bundles is None:
            write_logs(make_logs_with_context(), logs)
        first, second = options.bundles or (write_whole(root / each, each) for each in ("v1", "version-2"))
        parts = {
            "switches": prove_switches(
                first, second, logs, root / "switches", times=options.switches, clients=options.clients
            ),
            "damages": prove_damages(first, second, logs, root / "damages", count=options.damages),
            "kills": prove_kills(first, second, root / "kills"),
        }
    faults = [f"{part}: {fault}" for part, document in parts.items() for fault in document["faults"]]
    cells = [(f"{part}: {key}", str(value)) for part, each in parts.items() for key, value in each.items()]
    emit({**parts, "faults": faults[:100]}, as_json=options.json, table=table_of(("", ""), cells, header=False))
    for fault in faults[:100]:
        sys.stderr.write(f"fault: {fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
