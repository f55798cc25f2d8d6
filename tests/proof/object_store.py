"""Make samples from logs on a real object store (Swift with its S3 interface), and kill an upload.

    EDGEREC_SWIFT=/tmp/swift/bin python -m tests.proof.object_store [--users 2000] [--folder FOLDER]

1. Logs are uploaded. `edgerec samples s3://... --out s3://...` gives the bytes of a local run.
2. The same upload again writes no object.
3. A process that uploads is killed (SIGKILL) at 10 random times. Each time the folder has no head and is refused, or it
   is complete.
4. With a wrong key, and for a missing folder, the error is one line without the secret.

`edgerec train` and `edgerec stats` then read from the store. The exit code is 1 if a rule is broken.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from edgerec.core.errors import FormatError
from edgerec.data.remote.fetch import INDEX, fetch
from edgerec.data.remote.push import RECORD, push
from tests.command_line import edgerec
from tests.proof.cluster import hashes
from tests.swift_store import SECRET, SwiftStore, swift_programs

PUSH = "import sys; from pathlib import Path; from edgerec.data.remote.push import push; "
PUSH += "push(Path(sys.argv[1]), sys.argv[2], head='samples.json', force=True)"
TRAINING = 'model = "dlcm"\nunits = 4\nlayers = 1\nepochs = 1\ncompiled = false\n'


def prove(folder: Path, users: int, store: SwiftStore) -> list[str]:
    """Return the broken rules."""
    import s3fs

    os.environ.update(store.environment, EDGEREC_CACHE=str(folder / "cache"))
    s3 = s3fs.S3FileSystem(use_listings_cache=False)
    s3.mkdir("bucket")
    faults: list[str] = []
    logs, local, url = folder / "logs", folder / "local", "s3://bucket/world/samples"

    def ran(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        done = edgerec(*arguments)
        if done.returncode:
            faults.append(f"{' '.join(map(str, arguments))}: {done.stderr[-300:]}")
        return done

    ran("simulate", "--users", str(users), "--out", logs)
    ran("samples", logs, "--out", local)
    started = time.perf_counter()
    say("logs", f"{push(logs, 's3://bucket/world/logs', head='logs.json')} objects uploaded")
    ran("samples", "s3://bucket/world/logs", "--out", url)
    say("samples", f"from the store to the store: {time.perf_counter() - started:.1f} s with the upload of the logs")
    expected = {key: value for key, value in hashes(local).items() if key != "samples.json"}
    copy = fetch(url, head="samples.json")
    found = {key: value for key, value in hashes(copy).items() if key not in ("samples.json", INDEX)}
    if found != expected:
        faults.append("samples from the store differ from local ones")
    say("equal", f"{len(expected)} files have the bytes of a local run")
    say("again", f"{push(copy_without_index(copy, folder), url, head='samples.json', force=True)} objects uploaded")
    ran("stats", "s3://bucket/world/logs", "--json")
    (folder / "train.toml").write_text(TRAINING)
    ran("train", url, "--out", folder / "run", "--config", folder / "train.toml")

    faults += kill_uploads(folder, local)
    for name, value in (("AWS_SECRET_ACCESS_KEY", "wrong-" + SECRET), ("AWS_ACCESS_KEY_ID", "nobody")):
        done = edgerec("stats", "s3://bucket/world/logs", env={**os.environ, name: value})
        if done.returncode != 1 or len(done.stderr.splitlines()) != 1 or value in done.stderr or SECRET in done.stderr:
            faults.append(f"{name} is wrong: {done.stderr}")
        say(name, done.stderr.strip())
    done = edgerec("stats", "s3://bucket/nothing")
    say("nothing", done.stderr.strip())
    if done.returncode != 1 or len(done.stderr.splitlines()) != 1:
        faults.append(f"a missing folder: {done.stderr}")
    if RECORD not in [name.rpartition("/")[2] for name in s3.find("bucket/world/samples")]:
        faults.append("the upload has no record")
    return faults


def copy_without_index(copy: Path, folder: Path) -> Path:
    """Return a folder with the files of `copy`, as a command would have written them."""
    target = folder / "again"
    for file in [each for each in copy.rglob("*") if each.is_file() and each.name != INDEX]:
        (target / file.relative_to(copy)).parent.mkdir(parents=True, exist_ok=True)
        os.link(file, target / file.relative_to(copy))
    return target


def kill_uploads(folder: Path, samples: Path) -> list[str]:
    """Kill uploads at random times. Return the broken rules."""
    rng, faults, outcomes = random.Random(0), [], []
    url = "s3://bucket/killed/samples"
    started = time.perf_counter()
    command = [sys.executable, "-c", PUSH, str(samples), url]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    expected = hashes(samples)
    for number in range(10):
        # So that the next upload changes files.
        push(folder / "again", url, head="samples.json", force=True)
        other = folder / f"changed-{number}"
        change(samples, other)
        with subprocess.Popen([*command[:3], str(other), url], stderr=subprocess.DEVNULL) as process:
            time.sleep(rng.uniform(0.3, 1.0) * seconds)
            process.kill()
        try:
            found = hashes(fetch(url, head="samples.json"))
        except FormatError:
            outcomes.append("no head")
        else:
            found.pop(INDEX)
            whole = found in (hashes(other), {**expected, "samples.json": hashes(folder / "again")["samples.json"]})
            outcomes.append("complete" if whole else "mixed")
            if not whole:
                faults.append(f"kill {number}: the folder mixes two uploads")
    push(samples, url, head="samples.json", force=True)
    if {key: value for key, value in hashes(fetch(url, head="samples.json")).items() if key != INDEX} != expected:
        faults.append("the upload after the kills differs")
    say("kills", ", ".join(outcomes))
    return faults


def change(samples: Path, other: Path) -> None:
    """Copy samples with another byte at the end of each file."""
    for file in [each for each in samples.rglob("*") if each.is_file()]:
        (other / file.relative_to(samples)).parent.mkdir(parents=True, exist_ok=True)
        (other / file.relative_to(samples)).write_bytes(file.read_bytes() + b" ")


def say(what: str, text: str) -> None:
    sys.stdout.write(f"{what:22} {text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.object_store", description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="where to write; its file system needs extended attributes")
    options = parser.parse_args(arguments)
    programs = swift_programs()
    if programs is None:
        sys.stderr.write("object_store: set EDGEREC_SWIFT to the folder of Swift's programs (tests/swift_store.py)\n")
        return 2
    with (
        TemporaryDirectory(prefix="edgerec-store-", dir=options.folder) as name,
        SwiftStore(Path(name) / "swift", programs) as store,
    ):
        faults = prove(Path(name), options.users, store)
    for fault in faults:
        sys.stderr.write(f"fault: {fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
