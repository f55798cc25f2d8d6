from __future__ import annotations

import re
from pathlib import Path

from tests.proof.__main__ import PROOFS

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
