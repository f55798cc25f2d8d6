"""Check that damaged and forged bundles are refused or have the same results, and never crash `edgerec verify`.

    python -m tests.proof.mutations BUNDLE [--count 200] [--seed 0] [--json]

The bundle is signed with a new key. For each kind of mutation, `--count` copies of it are changed and verified. Each
mutation is verified twice: with unchanged hashes, and with all hashes updated, as an attacker or a faulty tool would
do. The outcomes are:

- `refused`: verification raises an error of one line.
- `harmless`: verification passes. The bundle has the tables and versions of the original, and its scores of the golden
  cases are within the tolerance.
- `forged`: verification passes, but the bundle differs from the original. This is only allowed with updated hashes,
  where only a signature can reveal it.
- `crashed`: native code ended the process. This is only allowed with updated hashes. `edgerec verify`, which loads
  models in a child process, must then refuse the same bundle in one line.

With the public key, every bundle must be refused, except those whose mutation changed nothing. The exit code is 1 if a
rule is broken.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgerec.bundle.files import stamp_files
from edgerec.bundle.golden import GoldenCase, read_case, run_case
from edgerec.bundle.guard import guarded
from edgerec.bundle.layout import NAME, part_folders
from edgerec.bundle.load import load_device_model
from edgerec.bundle.manifest_file import read_bundle_manifest, read_device_manifest, sign_bundle
from edgerec.bundle.signing import PublicKey, SigningKey
from edgerec.bundle.verify import verify_bundle
from edgerec.cli.output import emit, table_of
from edgerec.core import stdout
from edgerec.core.atomic import json_bytes
from edgerec.core.console import progress
from edgerec.core.errors import EdgeRecError
from edgerec.core.hashing import sha256_bytes
from edgerec.features.spec import parse_spec
from edgerec.kv.npz import NpzTable, open_table

HANGS_AFTER_SECONDS = 1200
MEMORY_BYTES = 8 << 30
SIDES = ("unchanged hashes", "updated hashes")
ALLOWED = {SIDES[0]: {"refused", "harmless"}, SIDES[1]: {"refused", "harmless", "forged", "crashed"}}


def _files(bundle: Path) -> list[Path]:
    return sorted(path for path in bundle.rglob("*") if path.is_file() and path.suffix != ".sig")


def _shards(bundle: Path) -> list[Path]:
    return sorted((bundle / "cloud" / "embeddings").rglob("shard-*.npz"))


def byte_changed(bundle: Path, rng: random.Random) -> str:
    path = rng.choice(_files(bundle))
    return _change_byte(path, rng, bundle)


def model_byte_changed(bundle: Path, rng: random.Random) -> str:
    """Change a byte of a model file, which native code reads."""
    return _change_byte(rng.choice(sorted((bundle / "device").glob("*.mnn"))), rng, bundle)


def _change_byte(path: Path, rng: random.Random, bundle: Path) -> str:
    content = bytearray(path.read_bytes())
    index = rng.randrange(len(content))
    old = content[index]
    content[index] = (old + rng.randrange(1, 256)) % 256
    path.write_bytes(content)
    return f"{path.relative_to(bundle)}: byte {index} is {content[index]} instead of {old}"


def truncated(bundle: Path, rng: random.Random) -> str:
    path = rng.choice(_files(bundle))
    size = rng.randrange(path.stat().st_size)
    path.write_bytes(path.read_bytes()[:size])
    return f"{path.relative_to(bundle)}: cut to {size} bytes"


def missing_shard(bundle: Path, rng: random.Random) -> str:
    path = rng.choice(_shards(bundle))
    path.unlink()
    return f"{path.relative_to(bundle)}: removed"


def swapped_shards(bundle: Path, rng: random.Random) -> str:
    first_path, second_path = rng.sample(_shards(bundle), 2)
    first, second = first_path.read_bytes(), second_path.read_bytes()
    first_path.write_bytes(second)
    second_path.write_bytes(first)
    return f"{first_path.relative_to(bundle)} and {second_path.relative_to(bundle)}: exchanged"


def wrong_version(bundle: Path, rng: random.Random) -> str:
    """Change the format number or the version id in one of the three manifests."""
    path = rng.choice(list(part_folders(bundle).values())) / NAME
    document = json.loads(path.read_bytes())
    key = rng.choice(["format", "version_id"])
    document[key] = rng.choice([0, 2, 99, "1"]) if key == "format" else f"20250101000000-{rng.getrandbits(48):012x}"
    path.write_bytes(json_bytes(document))
    return f"{path.relative_to(bundle)}: {key} is {document[key]!r}"


KINDS: dict[str, Callable[[Path, random.Random], str]] = {
    "one byte changed": byte_changed,
    "one byte of a model changed": model_byte_changed,
    "truncated file": truncated,
    "missing shard": missing_shard,
    "swapped shards": swapped_shards,
    "wrong version": wrong_version,
}


def update_hashes(bundle: Path) -> None:
    """Update every hash in the manifests that can still be read. Signatures stay unchanged."""
    for folder in (bundle / "device", bundle / "cloud", bundle):
        path = folder / NAME
        try:
            document = json.loads(path.read_bytes())
            # List only files that still exist, as an attacker who removes a file would do.
            listed = [folder / name for name in document["files"] if (folder / name).is_file()]
            stamps = stamp_files(folder, listed)
        except (ValueError, TypeError, KeyError):
            continue  # The file is no manifest any more. Its reader raises an error.
        document["files"] = {name: stamp.model_dump() for name, stamp in stamps.items()}
        without_digest = json_bytes({**document, "digest": "0" * 64})
        path.write_bytes(without_digest.replace(b'"' + b"0" * 64 + b'"', f'"{sha256_bytes(without_digest)}"'.encode()))


class Original:
    """The contents of the unchanged bundle, for comparison with its mutations."""

    def __init__(self, bundle: Path) -> None:
        self.manifest = read_bundle_manifest(bundle)
        self.spec = parse_spec(json.dumps(self.manifest.spec), where="manifest.json")
        self.limits = read_device_manifest(bundle / "device").limits
        self.tables = {name: _content(bundle, name) for name in self.manifest.tables}
        self.cases: list[GoldenCase] = [read_case(path) for path in sorted((bundle / "golden").glob("case-*.npz"))]

    def equals(self, bundle: Path) -> bool:
        """Return whether `bundle`, which passed verification, gives the same results as the original."""
        manifest = read_bundle_manifest(bundle)
        same = {"version_id", "precision", "spec", "models", "tables"}
        if manifest.model_dump(include=same) != self.manifest.model_dump(include=same):
            return False
        if any(_content(bundle, name) != self.tables[name] for name in manifest.tables):
            return False
        model = load_device_model(bundle)
        if model.spec != self.spec or model.limits.model_dump() != self.limits:
            return False
        worst = max(float(np.abs(run_case(model, case) - case.logits).max()) for case in self.cases)
        return worst <= self.manifest.parity.tolerance


def _content(bundle: Path, name: str) -> str:
    """Return a digest of all rows in the table of the feature `name`."""
    # Open the table as a server does. A server checks the manifest's hashes and not the checksums of the arrays.
    table: NpzTable = open_table(bundle / "cloud" / "embeddings" / name, sums=False, numbers=False)
    digest = hashlib.sha256(table.unknown.tobytes())
    for keys, rows in table.blocks():
        digest.update(keys.tobytes() + rows.tobytes())
    return digest.hexdigest()


def mutate(original: Path, copy: Path, kind: str, number: int, seed: int, side: str) -> str:
    """Write mutation `number` of `kind` to `copy` and return a text that describes the change."""
    shutil.copytree(original, copy)
    change = KINDS[kind](copy, random.Random(f"{seed} {kind} {number}"))
    if side == SIDES[1]:
        update_hashes(copy)
    return change


def judge(copy: Path, original: Original, public_key: PublicKey) -> dict[str, str]:
    """Verify `copy` in this process and return the outcome. Native code may crash the process."""
    try:
        # Verify with the key first. This must refuse the bundle before native code reads it.
        verify_bundle(copy, public_key=public_key)
        signed = "passed"
    except EdgeRecError as error:
        signed = f"refused: {type(error).__name__}"
    sys.stdout.write(json.dumps({"signed": signed}) + "\n")
    sys.stdout.flush()
    try:
        verify_bundle(copy)
    except EdgeRecError as error:
        one_line = "\n" not in str(error).strip()
        return {"outcome": "refused" if one_line else "refused in several lines", "how": type(error).__name__}
    return {"outcome": "harmless" if original.equals(copy) else "forged", "how": ""}


def _child(bundle: Path, key: bytes, kind: str, side: str, seed: int, numbers: range) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    original = Original(bundle)
    for number in numbers:
        with TemporaryDirectory(prefix="edgerec-mutation-") as folder:
            copy = Path(folder, "bundle")
            change = mutate(bundle, copy, kind, number, seed, side)
            signal.alarm(HANGS_AFTER_SECONDS)
            outcome = judge(copy, original, PublicKey(key))
            signal.alarm(0)
        sys.stdout.write(json.dumps({"number": number, "what": change, **outcome}) + "\n")
        sys.stdout.flush()


def run_kind(bundle: Path, key: PublicKey, kind: str, side: str, *, seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Verify the mutations of one kind in child processes, and yield the outcomes. If a child dies, it is `crashed`."""
    number = 0
    while number < count:
        arguments = [str(bundle), "--child", key.raw.hex(), kind, side, str(seed), str(number), str(count)]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.proof.mutations", *arguments],
            capture_output=True,
            text=True,
            check=False,
            # The parent removes the temporary files of a crashed child together with its own folder.
            env={**os.environ, "TMPDIR": str(bundle.parent)},
        )
        signed = None
        for line in done.stdout.splitlines():
            outcome = json.loads(line)
            if "number" not in outcome:
                signed = outcome["signed"]
                continue
            yield {**outcome, "signed": signed}
            number, signed = outcome["number"] + 1, None
        if number >= count:
            return
        if done.returncode >= 0:
            raise AssertionError(f"{kind}, {side}, number {number}: {done.stderr[-3000:]}")
        yield {
            "number": number,
            "what": "",
            "outcome": "crashed",
            "how": signal.Signals(-done.returncode).name,
            "signed": signed,
        }
        number += 1


def run_mutations(bundle: Path, *, count: int, seed: int) -> dict[str, Any]:
    """Verify mutations of all kinds, with unchanged and with updated hashes.

    Return a document. Its `rows` count the outcomes, and its `faults` are the mutations that broke a rule.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = SigningKey(Ed25519PrivateKey.generate())
    rows: list[dict[str, Any]] = []
    faults: list[str] = []
    with TemporaryDirectory(prefix="edgerec-mutations-") as folder:
        signed = Path(shutil.copytree(bundle, Path(folder, "bundle")))
        sign_bundle(signed, key)
        assert verify_bundle(signed, public_key=key.public)["signature"] == "valid"
        cells = [(kind, side) for kind in KINDS for side in SIDES if "shard" not in kind or len(_shards(signed)) > 1]
        for kind, side in progress(cells, what="mutations", total=len(cells)):
            outcomes: Counter[str] = Counter()
            refused_with_key = 0
            for outcome in run_kind(signed, key.public, kind, side, seed=seed, count=count):
                mutation = f"{kind}, {side}, number {outcome['number']} ({outcome['what']})"
                outcomes[outcome["outcome"]] += 1
                refused_with_key += str(outcome["signed"]).startswith("refused")
                if outcome["outcome"] not in ALLOWED[side]:
                    faults.append(f"{mutation}: {outcome['outcome']} {outcome['how']}")
                if outcome["signed"] is None or (outcome["signed"] == "passed" and outcome["outcome"] != "harmless"):
                    faults.append(f"{mutation}: with the public key: {outcome['signed']}")
                if outcome["outcome"] == "crashed":
                    fault = _fault_in_child(signed, Path(folder, "again"), kind, outcome["number"], seed, side)
                    faults += [f"{mutation}: {fault}"] if fault else []
            rows.append({"kind": kind, "hashes": side, "count": count, **outcomes, "with_key": refused_with_key})
    return {"bundle": str(bundle), "seed": seed, "rows": rows, "faults": faults}


def _fault_in_child(original: Path, copy: Path, kind: str, number: int, seed: int, side: str) -> str | None:
    """Verify a mutation that crashed MNN again, in a child process.

    Return None if the bundle is refused with an error of one line, or else a text that names the fault.
    """
    mutate(original, copy, kind, number, seed, side)
    try:
        guarded(verify_bundle, copy)
    except EdgeRecError as error:
        return None if "\n" not in str(error).strip() else "the error has several lines"
    finally:
        shutil.rmtree(copy)
    return "crashed once, then passed"


def main() -> int:
    if "--child" in sys.argv:
        index = sys.argv.index("--child")
        key, kind, side, *numbers = sys.argv[index + 1 :]
        seed, first, count = map(int, numbers)
        _child(Path(sys.argv[1]), bytes.fromhex(key), kind, side, seed, range(first, count))
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.proof.mutations", description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--count", type=int, default=200, help="number of mutations of each kind (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    document = run_mutations(options.bundle, count=options.count, seed=options.seed)
    columns = ("kind", "hashes", "count", "refused", "harmless", "forged", "crashed", "with_key")
    cells = [[str(row.get(column, 0)) for column in columns] for row in document["rows"]]
    headings = ("mutation", "hashes", "bundles", *columns[3:-1], "refused with key")
    emit(document, as_json=options.json, table=table_of(headings, cells))
    for fault in document["faults"]:
        sys.stderr.write(f"fault: {fault}\n")
    return 1 if document["faults"] else 0


if __name__ == "__main__":
    stdout.keep_for_results()
    sys.exit(main())
