"""Damaged and forged bundles: each is refused, or proven to do the same, and none crashes the process.

    python -m tests.proof.mutations BUNDLE [--count 200] [--seed 0] [--json]

Of every kind of mutation, `--count` copies of BUNDLE, signed with a new key, are changed and verified, twice: as they
are, and with all hashes stamped anew, as an attacker or a buggy tool would leave them. What becomes of one:

- `refused`: an error of one line;
- `harmless`: it passes, with the tables and versions of the original, and scores its golden cases within the tolerance;
- `forged`: it passes, and is another bundle; only stamped anew, where no more than a signature can tell;
- `crashed`: native code ended the process; only stamped anew. `edgerec verify`, which loads models in a process of its
  own, is then held to refuse the same bundle in one line.

With the public key every one of them has to be refused, but for those that changed nothing. The exit code is 1 where
one of these rules is broken.
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
from edgerec.bundle.golden import GoldenCase, load_case, run_case
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
from edgerec.device_runtime.guard import guarded
from edgerec.features.spec import parse_spec
from edgerec.kv.npz import NpzTable, open_table

HANGS_AFTER_SECONDS = 1200
MEMORY_BYTES = 8 << 30
SIDES = ("as they are", "stamped anew")
ALLOWED = {SIDES[0]: {"refused", "harmless"}, SIDES[1]: {"refused", "harmless", "forged", "crashed"}}


def _files(bundle: Path) -> list[Path]:
    return sorted(path for path in bundle.rglob("*") if path.is_file() and path.suffix != ".sig")


def _shards(bundle: Path) -> list[Path]:
    return sorted((bundle / "cloud" / "embeddings").rglob("shard-*.npz"))


def byte_changed(bundle: Path, rng: random.Random) -> str:
    path = rng.choice(_files(bundle))
    return _change(path, rng, bundle)


def model_byte_changed(bundle: Path, rng: random.Random) -> str:
    """Like `byte_changed`, in what native code reads."""
    return _change(rng.choice(sorted((bundle / "device").glob("*.mnn"))), rng, bundle)


def _change(path: Path, rng: random.Random, bundle: Path) -> str:
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content))
    old = content[at]
    content[at] = (old + rng.randrange(1, 256)) % 256
    path.write_bytes(content)
    return f"{path.relative_to(bundle)}: byte {at} is {content[at]} instead of {old}"


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
    one, other = rng.sample(_shards(bundle), 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    return f"{one.relative_to(bundle)} and {other.relative_to(bundle)}: exchanged"


def wrong_version(bundle: Path, rng: random.Random) -> str:
    """The format number or the version of one of the three manifests."""
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


def stamp_anew(bundle: Path) -> None:
    """Make every hash right again, as far as manifests can still be read; signatures stay as they were."""
    for folder in (bundle / "device", bundle / "cloud", bundle):
        path = folder / NAME
        try:
            document = json.loads(path.read_bytes())
            # What was listed and is still there: the attacker of a missing file drops it from the list, too.
            listed = [folder / name for name in document["files"] if (folder / name).is_file()]
            stamps = stamp_files(folder, listed)
        except (ValueError, TypeError, KeyError):
            continue  # no manifest any more: its reader will say so
        document["files"] = {name: stamp.model_dump() for name, stamp in stamps.items()}
        unsealed = json_bytes({**document, "digest": "0" * 64})
        path.write_bytes(unsealed.replace(b'"' + b"0" * 64 + b'"', f'"{sha256_bytes(unsealed)}"'.encode()))


class Original:
    """What the unchanged bundle is, for others to be compared with."""

    def __init__(self, bundle: Path) -> None:
        self.manifest = read_bundle_manifest(bundle)
        self.spec = parse_spec(json.dumps(self.manifest.spec), where="of the manifest")
        self.limits = read_device_manifest(bundle / "device").limits
        self.tables = {name: _content(bundle, name) for name in self.manifest.tables}
        self.cases: list[GoldenCase] = [load_case(path) for path in sorted((bundle / "golden").glob("case-*.npz"))]

    def is_like(self, bundle: Path) -> bool:
        """Whether `bundle`, which passes, gives the same answers to whoever uses it."""
        found = read_bundle_manifest(bundle)
        same = {"version_id", "precision", "spec", "models", "tables"}
        if found.model_dump(include=same) != self.manifest.model_dump(include=same):
            return False
        if any(_content(bundle, name) != self.tables[name] for name in found.tables):
            return False
        model = load_device_model(bundle)
        if model.spec != self.spec or model.limits.model_dump() != self.limits:
            return False
        worst = max(float(np.abs(run_case(model, case) - case.logits).max()) for case in self.cases)
        return worst <= self.manifest.parity.tolerance


def _content(bundle: Path, name: str) -> str:
    """A digest of all that the table of feature `name` answers."""
    # As a server opens it: by the hashes of the manifest, which are stamped anew, and not by the checksums of arrays.
    table: NpzTable = open_table(bundle / "cloud" / "embeddings" / name, sums=False, numbers=False)
    digest = hashlib.sha256(table.unknown.tobytes())
    for keys, rows in table.blocks():
        digest.update(keys.tobytes() + rows.tobytes())
    return digest.hexdigest()


def mutate(original: Path, copy: Path, kind: str, number: int, seed: int, side: str) -> str:
    """Make `copy`, the mutation `number` of `kind`; the answer says what was changed."""
    shutil.copytree(original, copy)
    what = KINDS[kind](copy, random.Random(f"{seed} {kind} {number}"))
    if side == SIDES[1]:
        stamp_anew(copy)
    return what


def judge(copy: Path, original: Original, public_key: PublicKey) -> dict[str, str]:
    """What becomes of `copy` in this process; may crash it."""
    try:
        # First, for it has to be refused before anything of it reaches native code.
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
    return {"outcome": "harmless" if original.is_like(copy) else "forged", "how": ""}


def _child(bundle: Path, key: bytes, kind: str, side: str, seed: int, numbers: range) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    original = Original(bundle)
    for number in numbers:
        with TemporaryDirectory(prefix="edgerec-mutation-") as folder:
            copy = Path(folder, "bundle")
            what = mutate(bundle, copy, kind, number, seed, side)
            signal.alarm(HANGS_AFTER_SECONDS)
            found = judge(copy, original, PublicKey(key))
            signal.alarm(0)
        sys.stdout.write(json.dumps({"number": number, "what": what, **found}) + "\n")
        sys.stdout.flush()


def run_kind(bundle: Path, key: PublicKey, kind: str, side: str, *, seed: int, count: int) -> Iterator[dict[str, Any]]:
    """The mutations of one kind, judged in child processes; one that a child dies of has the outcome `crashed`."""
    number = 0
    while number < count:
        arguments = [str(bundle), "--child", key.raw.hex(), kind, side, str(seed), str(number), str(count)]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.proof.mutations", *arguments],
            capture_output=True,
            text=True,
            check=False,
            # What a crash leaves behind goes with the parent's own folder.
            env={**os.environ, "TMPDIR": str(bundle.parent)},
        )
        signed = None
        for line in done.stdout.splitlines():
            found = json.loads(line)
            if "number" not in found:
                signed = found["signed"]
                continue
            yield {**found, "signed": signed}
            number, signed = found["number"] + 1, None
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
    """Every kind and side: `rows` of counts, and `faults`, the mutations that broke a rule."""
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
            for found in run_kind(signed, key.public, kind, side, seed=seed, count=count):
                where = f"{kind}, {side}, number {found['number']} ({found['what']})"
                outcomes[found["outcome"]] += 1
                refused_with_key += str(found["signed"]).startswith("refused")
                if found["outcome"] not in ALLOWED[side]:
                    faults.append(f"{where}: {found['outcome']} {found['how']}")
                if found["signed"] is None or (found["signed"] == "passed" and found["outcome"] != "harmless"):
                    faults.append(f"{where}: with the public key: {found['signed']}")
                if found["outcome"] == "crashed":
                    fault = _refused_apart(signed, Path(folder, "again"), kind, found["number"], seed, side)
                    faults += [f"{where}: {fault}"] if fault else []
            rows.append({"kind": kind, "hashes": side, "count": count, **outcomes, "with_key": refused_with_key})
    return {"bundle": str(bundle), "seed": seed, "rows": rows, "faults": faults}


def _refused_apart(original: Path, copy: Path, kind: str, number: int, seed: int, side: str) -> str | None:
    """What is wrong with how `edgerec verify` takes a bundle that crashes MNN; None where it refuses it."""
    mutate(original, copy, kind, number, seed, side)
    try:
        guarded(verify_bundle, copy)
    except EdgeRecError as error:
        return None if "\n" not in str(error).strip() else "an error of several lines"
    finally:
        shutil.rmtree(copy)
    return "crashed once, then passed"


def main() -> int:
    if "--child" in sys.argv:
        at = sys.argv.index("--child")
        key, kind, side, *numbers = sys.argv[at + 1 :]
        seed, first, count = map(int, numbers)
        _child(Path(sys.argv[1]), bytes.fromhex(key), kind, side, seed, range(first, count))
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.proof.mutations", description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--count", type=int, default=200, help="of every kind (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    document = run_mutations(chosen.bundle, count=chosen.count, seed=chosen.seed)
    columns = ("kind", "hashes", "count", "refused", "harmless", "forged", "crashed", "with_key")
    cells = [[str(row.get(column, 0)) for column in columns] for row in document["rows"]]
    headings = ("one mutation", "hashes", "bundles", *columns[3:-1], "refused with key")
    emit(document, as_json=chosen.json, table=table_of(headings, cells))
    for fault in document["faults"]:
        sys.stderr.write(f"fault: {fault}\n")
    return 1 if document["faults"] else 0


if __name__ == "__main__":
    stdout.keep_for_results()
    sys.exit(main())
