from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from tests.proof.__main__ import PROOFS
from tests.proof.faults import once
from tests.proof.soak import not_once

ROOT = Path(__file__).parents[2]


def test_contributing_md_lists_every_proof() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(PROOFS)


def test_every_proof_module_has_an_entry() -> None:
    modules = [
        path
        for path in (ROOT / "tests" / "proof").glob("[!_]*.py")
        if not path.name.startswith("test_") and '"__main__"' in path.read_text("utf-8")
    ]
    assert modules
    commands = " ".join(proof.arguments for proof in PROOFS.values())
    for path in modules:
        assert f"-m tests.proof.{path.stem}" in commands


def test_a_lost_tail_and_a_lost_and_a_doubled_row_are_found() -> None:
    assert once([2, 0, 1], 3) == "3 rows delivered once"
    for ordinals in ([0, 1], [0, 1, 1], [0, 1, 2, 3], [0, 1, 2, 2], []):
        assert once(ordinals, 3).startswith("WRONG")
    kinds = ["exposure"] * 3 + ["page_view"]
    for ordinals, wrong in (([0, 1, 2, 0], 0), ([0, 1, 1, 0], 2), ([0, 1, 2, 1], 2)):
        events = pl.DataFrame({"kind": kinds, "ordinal": ordinals})
        assert not_once(events, {"exposure": 3, "page_view": 1}) == wrong
