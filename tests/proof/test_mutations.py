from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from edgerec.core.errors import SessionError
from edgerec.core.parallel import run_apart
from tests.proof import mutations
from tests.proof.mutations import KINDS, SIDES, run_mutations, stamp_anew


def test_every_mutation_is_refused_or_harmless(bundle_path: Path) -> None:
    """A few of each kind; `python -m tests.proof.mutations BUNDLE` runs two hundred."""
    found = run_mutations(bundle_path, count=2, seed=0)
    assert found["faults"] == []
    assert [(row["kind"], row["hashes"]) for row in found["rows"]] == [(kind, side) for kind in KINDS for side in SIDES]
    for row in found["rows"]:
        if row["hashes"] == SIDES[0]:
            assert row.get("refused", 0) + row.get("harmless", 0) == 2


def test_mutations_are_of_their_seed(bundle_path: Path, tmp_path: Path) -> None:
    said = [
        mutations.mutate(bundle_path, tmp_path / f"{seed}-{again}", "one byte changed", 3, seed, SIDES[0])
        for seed in (0, 1)
        for again in (0, 1)
    ]
    assert said[0] == said[1] != said[2] == said[3]


def test_a_bundle_stamped_anew_is_what_it_was(bundle_path: Path, tmp_path: Path) -> None:
    """What the forger does is no damage in itself, or nothing would follow from the refusals."""
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    stamp_anew(bundle)
    for path in bundle.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (bundle_path / path.relative_to(bundle)).read_bytes()


def _die(number: int) -> None:
    os.kill(os.getpid(), number)


def _fail(text: str) -> None:
    raise SessionError(text)


def test_a_process_that_dies_is_an_error_of_this_one() -> None:
    for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL):
        with pytest.raises(SessionError, match="it died"):
            run_apart(_die, number, died=lambda: SessionError("it died"))
    with pytest.raises(SessionError, match="of its own"):
        run_apart(_fail, "of its own", died=lambda: SessionError("it died"))
    assert run_apart(len, [1, 2, 3], died=lambda: SessionError("it died")) == 3
