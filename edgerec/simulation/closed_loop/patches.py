"""What the patches of one simulated user did: trainings, and orders that a patch changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgerec.device_runtime.reranking import REORDERED
from edgerec.device_runtime.serving import best_first
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.paging.log_rows import LogBatch, Row
from edgerec.personalization.learning import REJECTED, ROLLED_BACK, TRAINED


@dataclass
class PatchTotals:
    """What the patches of one user did.

    Attributes:
        trainings: number of trainings.
        rejected: trainings after which the gate left the shared model, also if it rolled back the patch before.
        failed: trainings that were not possible, after which the user kept what was there.
        rolled_back: how often a patch was given up because it was worse than the shared model on later events.
        at_end: 1 if the user had a patch at the end, else 0.
        ranked: orders of the model that were shown as they are, without exploration and mixing.
        changed: those of them that the shared model would have ordered otherwise.
    """

    trainings: int = 0
    rejected: int = 0
    failed: int = 0
    rolled_back: int = 0
    at_end: int = 0
    ranked: int = 0
    changed: int = 0


class PatchRecord:
    """Counts what the patches of one user do, from the store and from the log rows that the device sends.

    Args:
        store: the store of the user.
        version_id: the model version; None without a model.

    Attributes:
        totals: what was counted until now.
    """

    def __init__(self, store: BehaviourStore, version_id: str | None) -> None:
        self._store, self._version_id, self._time = store, version_id, -1
        self.totals = PatchTotals()

    def look(self) -> None:
        """Count the latest training, if it is a new one. Call it after each time in which there may have been one."""
        state = None if self._version_id is None else self._store.personal.state(self._version_id)
        if state is None or state.time == self._time:
            return
        self._time, totals = state.time, self.totals
        totals.trainings += 1
        # After a roll-back, the outcome may also say why no new patch could be trained.
        rejected = state.outcome == REJECTED or state.outcome.startswith(ROLLED_BACK)
        totals.rejected += rejected
        totals.failed += not rejected and state.outcome != TRAINED
        totals.rolled_back = state.rollbacks
        totals.at_end = int(state.patch is not None)

    def sent(self, batch: LogBatch) -> None:
        """Count the orders of log rows."""
        shown = [row for row in batch.requests if row["outcome"] == REORDERED and "propensities" not in row]
        self.totals.ranked += len(shown)
        self.totals.changed += sum(bool(row.get("personal")) and _changed(row) for row in shown)


def _changed(row: Row) -> bool:
    # The scores of a row are always those of the shared model.
    return bool(best_first(np.array(row["scores"], np.float32)) != row["positions"])
