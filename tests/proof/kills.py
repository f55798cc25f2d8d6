"""Commands that are killed (SIGKILL) at random instants: nothing is half made, and a second run finishes the work.

    python -m tests.proof.kills simulate|samples|train|export [--count 20] [--seed 0] [--json]

The command runs unbroken once. Then it is started `--count` times and killed at a random instant of that duration:
half of the instants are drawn from all of it, a quarter from the part after its first write, a quarter from its last
tenth. Every second time only the parent is killed and not its process group. The rules are:

- the output is absent, or it is complete and equal to the unbroken one;
- beside the output stands only what docs/scale.md names, and nothing in the folder for temporary files;
- no process of the group outlives the parent or writes after it;
- the same command finishes the work: with `--resume` where it asks for it, with `--force` where the output is complete;
- the result equals the unbroken one, and nothing else is left in the folder.

The exit code is 1 where one of these rules is broken.
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
"""A guard against a process that never ends; those that work on are found by what they write."""
VICTIMS = ("group", "parent")
LEFT = re.compile(r"\.out\.(logs|samples|training|edgerec-(partial|old|done)-[a-z0-9_]{8})")
"""What may stand beside the output `out`."""
FOREIGN = re.compile(r"\.ses|__autograph_generated_file\w+\.py")
"""Temporary files of ONNX Runtime (always one of this name) and of TensorFlow (a few
kilobytes for each function that it has just translated). A kill leaves them."""


@dataclass(frozen=True)
class Place:
    """Where a job is run: an empty folder for its output, one for temporary files, and a file for stderr."""

    out: Path
    temporary: Path
    stderr: Path

    @staticmethod
    def make(folder: Path) -> Place:
        place = Place(folder / "work" / "out", folder / "tmp", folder / "stderr")
        place.out.parent.mkdir(parents=True)
        place.temporary.mkdir()
        return place

    def beside(self) -> list[str]:
        """Names of what stands beside the output."""
        return sorted(entry.name for entry in self.out.parent.iterdir() if entry != self.out)

    def temporary_files(self) -> list[str]:
        """Names in the folder for temporary files."""
        return sorted(entry.name for entry in self.temporary.iterdir() if not FOREIGN.fullmatch(entry.name))

    def start(self, job: Job, *options: str) -> subprocess.Popen[bytes]:
        """Start the job as a process group of its own."""
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
        """Run the job to its end; returns its exit code and the last line of stderr."""
        code = self.start(job, *options).wait()
        lines = self.said().splitlines()
        return code, lines[-1] if lines else ""

    def said(self) -> str:
        """What the last process wrote to stderr."""
        return self.stderr.read_text(errors="replace").strip()


def prove(job: Job, *, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Kill `job` `count` times; the answer has a row for each kill, with the rules that it broke.

    Args:
        job: what to run.
        count: how many kills.
        seed: of the instants.
        folder: empty, for inputs and outputs.
    """
    job.prepare()
    whole = Place.make(folder / "unbroken")
    begins, seconds = _unbroken(job, whole)
    for reader in job.readers(whole.out):
        subprocess.run(reader, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    place = Place.make(folder / "killed")
    rows: list[dict[str, Any]] = []
    drawn = enumerate(instants(random.Random(f"{job.name} {seed}"), begins, seconds))
    for number, instant in progress(drawn, what="kills", total=count):
        row = _kill(job, place, whole.out, VICTIMS[number % 2], instant)
        rows.append({"number": number, **row})
        # On a busy machine a run may end before its instant: another one takes its place, up to a limit.
        killed = sum(row["killed"] for row in rows)
        if killed == count or len(rows) == 3 * count or row["broken"]:
            break
    faults = [f"{job.name}, kill {row['number']}: {fault}" for row in rows for fault in row["broken"]]
    return {"command": job.name, "seed": seed, "unbroken_seconds": seconds, "rows": rows, "faults": faults}


def instants(rng: random.Random, begins: float, seconds: float) -> Iterator[float]:
    """Random instants of a run of so many `seconds` whose first write is at `begins`."""
    ranges = [(0.0, seconds), (begins, seconds), (0.0, seconds), (0.9 * seconds, seconds)]
    while True:
        # In pairs: both victims get every range.
        for low, high in ranges:
            yield rng.uniform(low, high)
            yield rng.uniform(low, high)


def _unbroken(job: Job, place: Place) -> tuple[float, float]:
    """Run `job` to its end; returns the seconds to its first write, and to its end."""
    start = time.perf_counter()
    begins = None
    process = place.start(job)
    while process.poll() is None:
        if begins is None and any(place.out.parent.iterdir()):
            begins = time.perf_counter() - start
        time.sleep(0.01)
    seconds = time.perf_counter() - start
    if process.returncode or place.beside() or place.temporary_files():
        raise AssertionError(f"unbroken {job.name}: {process.returncode}, {place.beside()}: {place.said()[-3000:]}")
    return begins or 0.0, seconds


def _kill(job: Job, place: Place, whole: Path, victim: str, instant: float) -> dict[str, Any]:
    """Run, kill, look, run again, look again."""
    process = place.start(job)
    shared: set[Path] = set()
    deadline = time.perf_counter() + instant
    while process.poll() is None and (left := deadline - time.perf_counter()) > 0:
        time.sleep(min(left, 0.05))
        shared |= _shared_memory(process.pid)
    killed = process.poll() is None
    if victim == "parent":
        process.kill()
    elif killed:
        # Not waited for yet, so the number is still that of its group.
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    broken = _outlived(process.pid, place)
    broken += [f"{path} is left" for path in sorted(shared) if path.exists()]
    left = place.beside()
    complete = place.out.exists()
    if complete:
        broken += [f"after the kill: {fault}" for fault in job.differences(whole, place.out)]
    unnamed = [name for name in left if not LEFT.fullmatch(name)]
    broken += [f"after the kill: {name} is not among what docs/scale.md names" for name in unnamed]
    broken += [f"after the kill: temporary file {name}" for name in place.temporary_files()]
    then, faults = _again(job, place, complete=complete)
    broken += faults
    if place.out.exists():
        broken += [f"after the second run: {fault}" for fault in job.differences(whole, place.out)]
        shutil.rmtree(place.out)
    broken += [f"after the second run: {name} is left" for name in place.beside()]
    return {
        "instant": round(instant, 3),
        "victim": victim,
        "killed": killed,
        "output": "complete" if complete else "absent",
        "left": [re.sub(r"-[a-z0-9_]{8}$", "-*", name) for name in left],
        "then": then,
        "broken": broken,
    }


def _again(job: Job, place: Place, *, complete: bool) -> tuple[str, list[str]]:
    """Run the same command again; returns how it finished and the rules that it broke."""
    code, said = place.run(job)
    if complete:
        if code != 1 or "exists already" not in said:
            return "", [f"a complete output was not refused: {code}, {said}"]
        code, said = place.run(job, "--force")
        return "replaced", [f"--force: {code}, {said}"] if code else []
    if code == 1 and "--resume" in said:
        code, said = place.run(job, "--resume")
        return "resumed", [f"--resume: {code}, {said}"] if code else []
    return "made anew", [f"again: {code}, {said}"] if code else []


def _outlived(group: int, place: Place) -> list[str]:
    """Wait for the processes of `group`; what they write meanwhile breaks a rule."""
    # A child that is killed with its parent may end a system call that it had begun.
    time.sleep(0.05)
    before = _state(place)
    deadline = time.perf_counter() + GONE_AFTER_SECONDS
    while _members(group):
        if time.perf_counter() > deadline:
            os.killpg(group, signal.SIGKILL)
            return [f"a process outlived its parent by {GONE_AFTER_SECONDS:.0f} s"]
        time.sleep(0.02)
    changed = sorted(str(path.name) for path, stamp in _state(place).items() if before.get(path) != stamp)
    return [f"a process wrote {name} after its parent was killed" for name in changed]


def _state(place: Place) -> dict[Path, tuple[int, int]]:
    """Size and time of change of every file."""
    found = {}
    for root in (place.out.parent, place.temporary):
        for path in root.rglob("*"):
            if not path.is_dir():
                stat = path.lstat()
                found[path] = stat.st_size, stat.st_mtime_ns
    return found


def _members(group: int) -> list[int]:
    """Processes of `group` that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # After the name, which may hold anything: state, parent, group.
            state, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(of) == group and state != "Z":
            found.append(int(entry.name))
    return found


def _shared_memory(group: int) -> set[Path]:
    """What processes of `group` have mapped of /dev/shm."""
    found = set()
    for member in _members(group):
        try:
            maps = Path(f"/proc/{member}/maps").read_text()
        except OSError:
            continue
        found |= {Path(name) for name in re.findall(r"/dev/shm/\S+", maps)}
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.kills", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=sorted(JOBS))
    parser.add_argument("--count", type=int, default=20, help="kills (default: 20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="edgerec-kills-") as name:
        folder = Path(name)
        job = JOBS[chosen.command](folder / "inputs")
        document = prove(job, count=chosen.count, seed=chosen.seed, folder=folder)
    columns = ("number", "instant", "victim", "killed", "output", "left", "then")
    cells = [[" ".join(row[key]) if key == "left" else str(row[key]) for key in columns] for row in document["rows"]]
    emit(document, as_json=chosen.json, table=table_of(columns, cells))
    for fault in document["faults"]:
        sys.stderr.write(f"fault: {fault}\n")
    return 1 if document["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
