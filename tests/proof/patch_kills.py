"""Kill trainings of patches (SIGKILL) at random moments, and check the store after each.

    python -m tests.proof.patch_kills [--kills 120] [--seed 0] [--json]

A child records pages in a behaviour store and trains a patch after each one. The rules are:

- The store opens with a whole check, and has every behaviour and every event that was recorded, once.
- Its patch is that of one of the trainings, bit for bit, and not older than the last one that was reported.
- At least 50 kills were in a training: its beginning was the last report, and its result is not in the store.

The exit code is 1 if a rule is broken.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgerec.cli.output import emit, table_of
from tests.device_runtime.store.patch_trainer import Kill, kill

IN_TRAINING = 50
"""At least so many kills have to be in a training."""


def prove(folder: Path, *, kills: int, seed: int) -> dict[str, Any]:
    """Kill so many trainings. Return a document with the counts and the broken rules."""
    begun, faults = time.perf_counter(), []
    found: list[Kill] = []
    try:
        found = kill(folder / "store.db", kills, random.Random(seed))
    except AssertionError as error:
        faults.append(str(error) or "a rule is broken")
    in_training = sum(each.in_training for each in found)
    if not faults and in_training < IN_TRAINING:
        faults.append(f"only {in_training} kills were in a training, instead of {IN_TRAINING}: take more --kills")
    return {
        "kills": len(found),
        "pages": found[-1].pages if found else 0,
        "in_training": in_training,
        "while_recording": sum(each.training is None for each in found),
        "after_the_write": sum(each.through > each.reported for each in found),
        "seconds": round(time.perf_counter() - begun, 1),
        "faults": faults,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.patch_kills", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="edgerec-patches-") as name:
        document = prove(Path(name), kills=options.kills, seed=options.seed)
    rows = [(key, str(value)) for key, value in document.items()]
    emit(document, as_json=options.json, table=table_of(("", ""), rows, header=False))
    return 1 if document["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
