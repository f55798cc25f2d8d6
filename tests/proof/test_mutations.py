from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from edgerec.core.errors import SessionError
from edgerec.core.parallel import run_in_child
from tests.proof import mutations
from tests.proof.mutations import KINDS, SIDES, run_mutations, update_hashes


@pytest.mark.parametrize("kinds", [["one byte of a model changed"], pytest.param(list(KINDS), marks=pytest.mark.slow)])
def test_every_mutation_is_refused_or_harmless(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: list[str]
) -> None:
    """This runs one mutation of each kind. `python -m tests.proof.mutations BUNDLE` runs two hundred."""
    monkeypatch.setattr(mutations, "KINDS", {kind: KINDS[kind] for kind in kinds})
    document = run_mutations(bundle_path, count=1, seed=0)
    assert document["faults"] == []
    assert [(row["kind"], row["hashes"]) for row in document["rows"]] == [
        (kind, side) for kind in kinds for side in SIDES
    ]
    for row in document["rows"]:
        if row["hashes"] == SIDES[0]:
            assert row.get("refused", 0) + row.get("harmless", 0) == 1


def test_mutations_depend_only_on_their_seed(bundle_path: Path, tmp_path: Path) -> None:
    changes = [
        mutations.mutate(bundle_path, tmp_path / f"{seed}-{repeat}", "one byte changed", 3, seed, SIDES[0])
        for seed in (0, 1)
        for repeat in (0, 1)
    ]
    assert changes[0] == changes[1] != changes[2] == changes[3]


def test_updating_the_hashes_of_an_unchanged_bundle_changes_nothing(bundle_path: Path, tmp_path: Path) -> None:
    """Updated hashes alone must not damage a bundle, or refusals would prove nothing."""
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    update_hashes(bundle)
    for path in bundle.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (bundle_path / path.relative_to(bundle)).read_bytes()


def _die(number: int) -> None:
    os.kill(os.getpid(), number)


def _fail(text: str) -> None:
    raise SessionError(text)


def test_a_crash_of_a_child_raises_an_error_in_the_parent() -> None:
    with pytest.raises(SessionError, match="it died"):
        run_in_child(_die, signal.SIGSEGV, died=lambda: SessionError("it died"))
    with pytest.raises(SessionError, match="of its own"):
        run_in_child(_fail, "of its own", died=lambda: SessionError("it died"))
    assert run_in_child(len, [1, 2, 3], died=lambda: SessionError("it died")) == 3
