"""How trainings of a simulated user are counted, by what they did."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.rows import PatchState
from edgerec.personalization.learning import Learnt, learn
from edgerec.personalization.patch import Patch
from edgerec.simulation.closed_loop.patches import PatchRecord
from tests.personalization.heads import a_head, some_events

HEAD = a_head(optimiser="newton")
EVENTS = some_events(HEAD, 400)


def learnt(*, harmful: bool, gain: float = 0.0, budget_s: float | None = None) -> Learnt:
    """Return what a device learns, after a patch that harms or after no training."""
    head = a_head(optimiser="newton", gain=gain, gain_events=1e6)
    before = Learnt(np.full(5, 3, np.float32), 9, "trained", 0) if harmful else None
    return learn(head, EVENTS, before, new=slice(0, len(EVENTS)), budget_s=budget_s)


@pytest.mark.parametrize(
    ("found", "outcome", "counted"),
    [
        (learnt(harmful=False, gain=1.0), "trained", (0, 0, 0)),
        (learnt(harmful=False, gain=-1.0), "rejected", (1, 0, 0)),
        (learnt(harmful=False, budget_s=0.0), "patch: the training takes longer", (0, 1, 0)),
        (learnt(harmful=True, gain=-1e-9), "trained", (0, 0, 1)),
        (learnt(harmful=True, budget_s=0.0), "rolled back; patch: the training takes longer", (1, 0, 1)),
    ],
)
def test_a_training_counts_by_what_it_did(
    tmp_path: Path, found: Learnt, outcome: str, counted: tuple[int, int, int]
) -> None:
    assert found.outcome.startswith(outcome)
    with BehaviourStore(tmp_path / "user.sqlite", user_id=7) as store:
        record = PatchRecord(store, "v1")
        patch = None if found.theta is None else Patch(7, "v1", found.theta, found.events, 5)
        store.personal.write(PatchState("v1", patch, 5, 1, found.outcome, found.rollbacks))
        record.look()
        record.look()  # The same training counts once.
    assert astuple(record.totals)[:5] == (1, *counted, int(patch is not None))
