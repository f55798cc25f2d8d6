"""Run every command of README, of the docs, of the examples and of CONTRIBUTING at a small size.

    python -m tests.proof.docs_commands [PAGE...] [--keep]

The commands of a page run one after the other, in a new folder with a copy of the project. What the page takes as
given (`logs`, `bundle`, ...) is made once, at a small size. Each command must end with the exit code 0, and a server
must answer and stop at SIGTERM. tests/docs_commands/runs.toml says which arguments make commands shorter, and which
commands cannot run and why. Public data sets are used if they are on this machine (CONTRIBUTING.md).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from edgerec.core.console import log
from tests.docs_commands.pages import ROOT, commands, pages
from tests.docs_commands.plan import read_plan
from tests.docs_commands.session import PORTS, CommandFailedError, Given, Session, free_port

WORLD = "users = 150\ncategories = 8\nbrands_per_category = 5\nitems = 400\n[cloud]\npage = 30\nrecall = 80\n"
"""The world of what is given. It is that of the quickstart with fewer users."""
THREADS = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="prove docs", description="Run the commands of the docs.")
    parser.add_argument("pages", nargs="*", help="Pages, such as README.md or docs/bench.md. Default: all.")
    parser.add_argument(
        "--folder",
        type=Path,
        help="Keep all folders in this one, and use what is given from it. Delete it if runs.toml changes.",
    )
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    plan, start = read_plan(), time.monotonic()
    found = [page for page in pages() if not chosen.pages or page.relative_to(ROOT).as_posix() in chosen.pages]
    ran, excepted, faults = 0, 0, []
    with ExitStack() as stack:
        folder = Path(chosen.folder or stack.enter_context(TemporaryDirectory(prefix="docs-commands-")))
        environment = {**_environment(stack, folder), **plan.environment}
        given = Given(plan, folder / "given", environment)
        _prepare(given.folder)
        for page in found:
            name = page.relative_to(ROOT).as_posix()
            place = folder / name.replace("/", "-").removesuffix(".md")
            shutil.rmtree(place, ignore_errors=True)
            session = Session(place, given, page)
            stack.callback(session.kill)
            page_start, before = time.monotonic(), ran
            try:
                for text in plan.before.get(name, []):
                    session.prepare(text)
            except CommandFailedError as error:
                faults.append(f"before {name}: {error}")
            for command in commands(page):
                if plan.why_not(command):
                    excepted += 1
                    continue
                ran += 1
                command_start = time.monotonic()
                try:
                    session.run(command)
                    log(f"docs: {command} ({time.monotonic() - command_start:.0f} s)")
                except CommandFailedError as error:
                    faults.append(f"{command}\n{error}")
                    log(f"docs: FAILED {faults[-1]}")
            try:
                session.close()
            except CommandFailedError as error:
                faults.append(f"{name}: {error}")
                log(f"docs: FAILED {faults[-1]}")
            log(f"docs: {name}: {ran - before} commands, {time.monotonic() - page_start:.0f} s")
            if chosen.folder is None:
                shutil.rmtree(place)
    minutes = (time.monotonic() - start) / 60
    for fault in faults:
        sys.stdout.write(f"\nFAILED {fault}\n")
    sys.stdout.write(
        f"\n{ran} commands of {len(found)} pages ran, {len(faults)} failed, {excepted} are excepted "
        f"(tests/docs_commands/runs.toml), {minutes:.1f} minutes\n"
    )
    return 1 if faults else 0


def _environment(stack: ExitStack, folder: Path) -> dict[str, str]:
    """Return the environment of the commands, and start a Redis server for them."""
    ports = {variable: free_port() for variable in PORTS.values()}
    program = shutil.which("redis-server")
    if program:
        redis = subprocess.Popen(
            [program, "--port", ports["REDIS_PORT"], "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
        )
        stack.callback(redis.wait)
        stack.callback(redis.terminate)
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    data = os.environ.get("EDGEREC_DATA") or str(ROOT.parent / "shared" / "data")
    return {
        **os.environ,
        **THREADS,
        **ports,
        "PATH": path,
        "EDGEREC_DATA": data,
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": "",
    }


def _prepare(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "small_world.toml").write_text(WORLD, encoding="utf-8")
    for name in ("examples", "tests"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
