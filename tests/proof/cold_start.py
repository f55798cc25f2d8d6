"""Measure a device process from its start to the first order, and its memory.

    python -m tests.proof.cold_start BUNDLE LOGS [--python PYTHON] [--runs 20] [--json]

A server serves BUNDLE and the items of LOGS. A child process loads the bundle, opens a behaviour store with a full
window of behaviours, asks the server for a page, and orders it. The parent process measures the time, from starting the
child to its line on standard output. The memory is the child's resident memory after the first order, above that of a
process that has only imported NumPy and MNN. `--python` names the Python of an environment with the extra `device`
alone. `edgerec bench cold` and `edgerec bench memory` measure the parts, without a server. The exit code is 1 if the
median time is above 1 s or the median memory is above 30 MB. These limits hold for a machine without other load.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgerec.bundle.load import load_device_model
from edgerec.cli.output import emit, table_of
from edgerec.cloud.server_process import server_process
from edgerec.core.console import progress
from edgerec.data.logs import open_logs
from edgerec.data.schema import ITEM_ID

SECONDS, MEGABYTES = 1.0, 30.0
USER = 7
FIRST_ORDER = """
import sys
from pathlib import Path
from edgerec import BehaviourStore, Client, HttpTransport, load_device_model
bundle, store, url = sys.argv[1:4]
model = load_device_model(Path(bundle))
with BehaviourStore(store, user_id=7, limits=model.limits) as behaviours, HttpTransport(url) as cloud:
    client = Client(behaviours, cloud, model)
    client.refresh()
    client.run_pending()
    order = client.order()
    print(len(order), flush=True)
    with open("/proc/self/statm") as file:
        print(int(file.read().split()[1]) * 4096, flush=True)
    sys.stdin.readline()
    client.close()
"""
FILL = """
import sys
from pathlib import Path
from edgerec import BehaviourStore, Client, ClientConfig, HttpTransport, load_device_model
bundle, store, url = sys.argv[1:4]
model = load_device_model(Path(bundle))
with BehaviourStore(store, user_id=7, limits=model.limits) as behaviours, HttpTransport(url) as cloud:
    client = Client(behaviours, cloud, model, config=ClientConfig(prefetch=0, page=100))
    client.refresh()
    client.run_pending()
    while behaviours.next_ordinal(EXPOSURE) < model.limits.exposures:
        for item_id in client.order():
            client.exposed(item_id)
            client.clicked(item_id)
            client.left_page(item_id)
            client.run_pending()
        client.refresh()
        client.run_pending()
    client.close()
""".replace("import sys\n", "import sys\nfrom edgerec.features.behaviours import EXPOSURE\n", 1)
BASE = """
import numpy, MNN, sys
with open("/proc/self/statm") as file:
    print(int(file.read().split()[1]) * 4096, flush=True)
sys.stdin.readline()
"""


def _start(python: Path, script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """Return lines of whole numbers. MNN prints lines of other text."""
    assert process.stdout is not None
    lines: list[str] = []
    while len(lines) < count:
        line = process.stdout.readline()
        assert line, "the child process ended"
        if line.strip().isdigit():
            lines.append(line)
    return lines


def measure(bundle: Path, logs: Path, *, python: Path, runs: int) -> dict[str, Any]:
    """Return the medians and the largest values of `runs` runs."""
    seconds, memory, base = [], [], []
    with (
        TemporaryDirectory(prefix="edgerec-cold-start-") as folder,
        server_process(bundle, catalogue=logs, logs=Path(folder) / "logs") as url,
    ):
        arguments = (str(bundle), str(Path(folder) / "store.sqlite"), url)
        subprocess.run([python, "-c", FILL, *arguments], check=True, stdout=subprocess.DEVNULL)
        for _ in progress(range(runs), what="cold start", total=runs):
            start = time.perf_counter()
            with _start(python, FIRST_ORDER, *arguments) as process:
                _lines(process, 1)
                seconds.append(time.perf_counter() - start)
                memory.append(int(_lines(process, 1)[0]) / 1e6)
                process.communicate("\n")
            with _start(python, BASE) as process:
                base.append(int(_lines(process, 1)[0]) / 1e6)
                process.communicate("\n")
    above = statistics.median(memory) - statistics.median(base)
    return {
        "runs": runs,
        "seconds_median": statistics.median(seconds),
        "seconds_max": max(seconds),
        "memory_mb": statistics.median(memory),
        "memory_above_numpy_and_mnn_mb": above,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.cold_start", description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("logs", type=Path, help="logs with the items that the bundle's model knows")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="Python of the device processes")
    parser.add_argument("--runs", type=int, default=20, help="number of processes (default: 20)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    load_device_model(options.bundle)
    assert ITEM_ID in open_logs(options.logs).items.columns
    document = measure(options.bundle, options.logs, python=options.python, runs=options.runs)
    emit(
        document,
        as_json=options.json,
        table=table_of(("", ""), [(key, f"{value:.3f}") for key, value in document.items()]),
    )
    return int(document["seconds_median"] > SECONDS or document["memory_above_numpy_and_mnn_mb"] > MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
