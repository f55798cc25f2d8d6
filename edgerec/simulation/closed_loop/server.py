"""The RS of a simulated world in a process of its own: the HTTP server of `edgerec serve`, with the simulated recall.

``python -m edgerec.simulation.closed_loop.server FILE`` reads its settings from a JSON file. `world_server` writes the
file and runs the server.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgerec.cloud.log_rows import LogTables
from edgerec.cloud.serve import serve
from edgerec.cloud.server_process import running_server
from edgerec.cloud.settings import ServerSettings
from edgerec.core.atomic import write_json
from edgerec.core.parent import die_with
from edgerec.data.logs import TABLES, Logs, LogsHead, write_heads, write_logs, write_table
from edgerec.data.schema import EVENTS, ITEMS, REQUESTS
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.recall import SimulatedRecall
from edgerec.simulation.config import parse_simulation_config


@contextlib.contextmanager
def world_server(world: LoopWorld, bundle: Path | None, *, logs: Path, work: Path) -> Iterator[str]:
    """Run a server of a simulated world on a free port of this machine, and yield its URL.

    Args:
        world: the world.
        bundle: the bundle that it serves; None for devices without a model.
        logs: the folder for the logs that devices send.
        work: an existing folder for the catalogue and the settings.

    Raises:
        ResourceError: the server does not start, or does not end as it should.
    """
    catalogue, settings = work / "catalogue", work / "server.json"
    if not catalogue.exists():
        write_catalogue(world, catalogue)
    document = {
        "world": {"config": world.config.document(), "seed": world.seed, "first_day": world.first_day},
        "bundle": None if bundle is None else str(bundle),
        "catalogue": str(catalogue),
        "logs": str(logs),
        "parent": os.getpid(),
    }
    write_json(settings, document)
    with running_server(["edgerec.simulation.closed_loop.server", str(settings)]) as url:
        yield url


def write_catalogue(world: LoopWorld, path: Path) -> None:
    """Write the catalogue of a world as a folder of logs without rows."""
    items = world.items
    tables = LogTables([world.spec], items["item_id"].to_numpy())
    head = LogsHead(name=f"simulated-{world.seed}")
    write_logs(Logs(head, world.spec, items, tables.empty(EVENTS), tables.empty(REQUESTS)), path)


def finish_logs(world: LoopWorld, path: Path) -> None:
    """Write the catalogue and the heads to a folder that has the rows of devices, as the server does."""
    write_table(world.items, path / TABLES[ITEMS])
    write_heads(path, LogsHead(name=f"simulated-{world.seed}"), world.spec)


def main(path: Path) -> None:
    """Serve until the process gets SIGTERM. Then the logs are written."""
    # uvicorn ends on SIGTERM and then calls this handler. SystemExit lets the log writer close.
    signal.signal(signal.SIGTERM, _exit)
    document = json.loads(path.read_text(encoding="utf-8"))
    die_with(document["parent"])
    stated = document["world"]
    world = LoopWorld(parse_simulation_config(stated["config"]), stated["seed"], stated["first_day"])
    bundles = [] if document["bundle"] is None else [Path(document["bundle"])]
    serve(
        bundles,
        Path(document["catalogue"]),
        ServerSettings(logs=Path(document["logs"]), port=0),
        recall=lambda _: SimulatedRecall(world),
        listening=_print,
    )


def _exit(number: int, _: object) -> None:
    sys.exit(128 + number)


def _print(state: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(state) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
