"""Measure a bundle in the process of the test, which is faster than a new process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgerec.bench.environment import environment
from edgerec.bench.measure import WINDOWS
from edgerec.bench.plan import Plan
from edgerec.bench.process import measure_bundle
from edgerec.bench.run import document_of


def bench_here(what: str, bundle: Path, **settings: Any) -> dict[str, Any]:
    """Return the document of `run_bench`. `settings` are those of a `Plan`."""
    plan = Plan(what, **settings)
    with pytest.MonkeyPatch.context() as patch:
        repeat_little(patch)
        measured = measure_bundle(bundle, plan, rounds=plan.rounds)
    return document_of(bundle, plan, [measured], environment()).to_json()


def repeat_little(patch: pytest.MonkeyPatch) -> None:
    """Let a measurement repeat each call only a few times."""
    patch.setattr("edgerec.bench.measure.MOST_WINDOWS", WINDOWS)
    patch.setattr("edgerec.bench.measure.ROUND_SECONDS", 0.001)
