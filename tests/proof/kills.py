"""Kill commands (SIGKILL) at random times, and check that a second run finishes the work correctly.

    python -m tests.proof.kills simulate|samples|train|export [--count 20] [--seed 0] [--json]

The command first runs once without a kill. Then it is started `--count` times and killed at a random time: half of the
times are drawn from the whole duration, a quarter from the time after its first write, and a quarter from its last
tenth. In every second run only the parent is killed and not its process group. The rules are:

- The output is missing, or it is complete and equal to the reference output.
- Next to the output there are only files that docs/scale.md names. The folder for temporary files is empty.
- No process of the group lives longer than the parent or writes after its death.
- A second run of the command finishes the work. It uses `--resume` if the error asks for it, and `--force` if the
  output is complete.
- The result equals the reference output, and the folder contains nothing else.

The exit code is 1 if a rule is broken.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgerec.cli.output import emit, table_of
from edgerec.core.console import progress
from tests.proof.kill_jobs import JOBS, Job

GONE_AFTER_SECONDS = 60.0
"""A process that has not ended after this time breaks a rule."""
VICTIMS = ("group", "parent")
ALLOWED = re.compile(r"\.out\.(logs|samples|training|edgerec-(partial|old|done)-[a-z0-9_]{8})")
"""Names that may exist next to the output `out`."""
IGNORED = re.compile(r"\.ses|__autograph_generated_file\w+\.py")
"""Temporary files that a kill may leave: one of ONNX Runtime, and a few kilobytes of TensorFlow for each function that
it has just translated."""


@dataclass(frozen=True)
class Workspace:
    """The folders of a job: one for its output, one for temporary files, and a file for stderr."""

    out: Path
    temporary: Path
    stderr: Path

    @staticmethod
    def make(folder: Path) -> Workspace:
        workspace = Workspace(folder / "work" / "out", folder / "tmp", folder / "stderr")
        workspace.out.parent.mkdir(parents=True)
        workspace.temporary.mkdir()
        return workspace

    def beside(self) -> list[str]:
        """Return the names of all files and folders next to the output."""
        return sorted(entry.name for entry in self.out.parent.iterdir() if entry != self.out)

    def temporary_files(self) -> list[str]:
        """Return the names in the folder for temporary files."""
        return sorted(entry.name for entry in self.temporary.iterdir() if not IGNORED.fullmatch(entry.name))

    def start(self, job: Job, *options: str) -> subprocess.Popen[bytes]:
        """Start the job in a new process group."""
        environment = {**os.environ, "TMPDIR": str(self.temporary), "SOURCE_DATE_EPOCH": "1735689600"}
        with self.stderr.open("wb") as stderr:
            return subprocess.Popen(
                [*job.command(self.out), *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            )

    def run(self, job: Job, *options: str) -> tuple[int, str]:
        """Run the job to its end and return its exit code and the last line of stderr."""
        code = self.start(job, *options).wait()
        lines = self.error_text().splitlines()
        return code, lines[-1] if lines else ""

    def error_text(self) -> str:
        """Return the text that the last process wrote to stderr."""
        return self.stderr.read_text(errors="replace").strip()


def prove(job: Job, *, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Kill `job` `count` times and return a document with a row for each kill and the broken rules.

    Args:
        job: the job to run.
        count: number of kills.
        seed: seed of the kill times.
        folder: an empty folder for inputs and outputs.
    """
    job.prepare()
    reference = Workspace.make(folder / "unbroken")
    begins, seconds = _run_reference(job, reference)
    for reader in job.readers(reference.out):
        subprocess.run(reader, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    workspace = Workspace.make(folder / "killed")
    rows: list[dict[str, Any]] = []
    kill_times = enumerate(draw_kill_times(random.Random(f"{job.name} {seed}"), begins, seconds))
    for number, kill_time in progress(kill_times, what="kills", total=count):
        row = _kill(job, workspace, reference.out, VICTIMS[number % 2], kill_time)
        rows.append({"number": number, **row})
        # On a busy machine, a run may end before its kill time. Then another run is made, up to a limit.
        killed = sum(row["killed"] for row in rows)
        if killed == count or len(rows) == 3 * count or row["broken"]:
            break
    faults = [f"{job.name}, kill {row['number']}: {fault}" for row in rows for fault in row["broken"]]
    return {"command": job.name, "seed": seed, "unbroken_seconds": seconds, "rows": rows, "faults": faults}


def draw_kill_times(rng: random.Random, begins: float, seconds: float) -> Iterator[float]:
    """Yield random kill times for a run that takes `seconds` and writes its first file after `begins` seconds."""
    ranges = [(0.0, seconds), (begins, seconds), (0.0, seconds), (0.9 * seconds, seconds)]
    while True:
        # Each range is used twice in a row: once to kill the whole group, and once to kill only the parent.
        for low, high in ranges:
            yield rng.uniform(low, high)
            yield rng.uniform(low, high)


def _run_reference(job: Job, workspace: Workspace) -> tuple[float, float]:
    """Run `job` without a kill. Return the seconds until its first write and until its end."""
    start = time.perf_counter()
    begins = None
    process = workspace.start(job)
    while process.poll() is None:
        if begins is None and any(workspace.out.parent.iterdir()):
            begins = time.perf_counter() - start
        time.sleep(0.01)
    seconds = time.perf_counter() - start
    if process.returncode or workspace.beside() or workspace.temporary_files():
        raise AssertionError(
            f"reference run of {job.name}: {process.returncode}, {workspace.beside()}: {workspace.error_text()[-3000:]}"
        )
    return begins or 0.0, seconds


def _kill(job: Job, workspace: Workspace, reference: Path, victim: str, kill_time: float) -> dict[str, Any]:
    """Run the job, kill it and check the rules. Then run it again and check again. Return a row of the document."""
    process = workspace.start(job)
    shared: set[Path] = set()
    deadline = time.perf_counter() + kill_time
    while process.poll() is None and (remaining := deadline - time.perf_counter()) > 0:
        time.sleep(min(remaining, 0.05))
        shared |= _shared_memory(process.pid)
    killed = process.poll() is None
    if victim == "parent":
        process.kill()
    elif killed:
        # The process was not waited for yet. So the system has not reused its ID, which is the ID of the group.
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    broken = _writes_after_kill(process.pid, workspace)
    broken += [f"{path} remains" for path in sorted(shared) if path.exists()]
    remaining = workspace.beside()
    complete = workspace.out.exists()
    if complete:
        broken += [f"after the kill: {fault}" for fault in job.differences(reference, workspace.out)]
    unnamed = [name for name in remaining if not ALLOWED.fullmatch(name)]
    broken += [f"after the kill: docs/scale.md does not name {name}" for name in unnamed]
    broken += [f"after the kill: temporary file {name}" for name in workspace.temporary_files()]
    second_run, faults = _run_again(job, workspace, complete=complete)
    broken += faults
    if workspace.out.exists():
        broken += [f"after the second run: {fault}" for fault in job.differences(reference, workspace.out)]
        shutil.rmtree(workspace.out)
    broken += [f"after the second run: {name} remains" for name in workspace.beside()]
    return {
        "instant": round(kill_time, 3),
        "victim": victim,
        "killed": killed,
        "output": "complete" if complete else "absent",
        "left": [re.sub(r"-[a-z0-9_]{8}$", "-*", name) for name in remaining],
        "then": second_run,
        "broken": broken,
    }


def _run_again(job: Job, workspace: Workspace, *, complete: bool) -> tuple[str, list[str]]:
    """Run the command again. Return how it finished, and a list of the rules that it broke."""
    code, error_text = workspace.run(job)
    if complete:
        if code != 1 or "exists already" not in error_text:
            return "", [f"a complete output was not refused: {code}, {error_text}"]
        code, error_text = workspace.run(job, "--force")
        return "replaced", [f"--force: {code}, {error_text}"] if code else []
    if code == 1 and "--resume" in error_text:
        code, error_text = workspace.run(job, "--resume")
        return "resumed", [f"--resume: {code}, {error_text}"] if code else []
    return "started again", [f"again: {code}, {error_text}"] if code else []


def _writes_after_kill(group: int, workspace: Workspace) -> list[str]:
    """Wait until the processes of `group` have ended. Return an error text for each file that they wrote meanwhile."""
    # A child that is killed with its parent may still finish a system call.
    time.sleep(0.05)
    before = _state(workspace)
    deadline = time.perf_counter() + GONE_AFTER_SECONDS
    while _members(group):
        if time.perf_counter() > deadline:
            os.killpg(group, signal.SIGKILL)
            return [f"a process outlived its parent by {GONE_AFTER_SECONDS:.0f} s"]
        time.sleep(0.02)
    changed = sorted(str(path.name) for path, stamp in _state(workspace).items() if before.get(path) != stamp)
    return [f"a process wrote {name} after its parent was killed" for name in changed]


def _state(workspace: Workspace) -> dict[Path, tuple[int, int]]:
    """Return the size and the modification time of every file."""
    result = {}
    for root in (workspace.out.parent, workspace.temporary):
        for path in root.rglob("*"):
            if not path.is_dir():
                stat = path.lstat()
                result[path] = stat.st_size, stat.st_mtime_ns
    return result


def _members(group: int) -> list[int]:
    """Return the IDs of the processes of `group` that have not ended."""
    result = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The process name ends with the last parenthesis. The fields after it are state, parent and group.
            state, _, process_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(process_group) == group and state != "Z":
            result.append(int(entry.name))
    return result


def _shared_memory(group: int) -> set[Path]:
    """Return the files under /dev/shm that processes of `group` have mapped."""
    result = set()
    for member in _members(group):
        try:
            maps = Path(f"/proc/{member}/maps").read_text()
        except OSError:
            continue
        result |= {Path(name) for name in re.findall(r"/dev/shm/\S+", maps)}
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.kills", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=sorted(JOBS))
    parser.add_argument("--count", type=int, default=20, help="number of kills (default: 20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="edgerec-kills-") as name:
        folder = Path(name)
        job = JOBS[options.command](folder / "inputs")
        document = prove(job, count=options.count, seed=options.seed, folder=folder)
    columns = ("number", "instant", "victim", "killed", "output", "left", "then")
    cells = [[" ".join(row[key]) if key == "left" else str(row[key]) for key in columns] for row in document["rows"]]
    emit(document, as_json=options.json, table=table_of(columns, cells))
    for fault in document["faults"]:
        sys.stderr.write(f"fault: {fault}\n")
    return 1 if document["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
