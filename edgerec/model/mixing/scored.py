"""Logged lists with the scores of a trained model. This imports TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.data.samples import NOT_EXPOSED, Samples
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Problem
from edgerec.mixing.values import PlanValues, PointValues
from edgerec.model.batches import make_batch
from edgerec.model.evaluation import traced
from edgerec.model.mixing.calibration import rates
from edgerec.model.mixing.kinds import KindReader
from edgerec.model.mixing.lists import shard_lists
from edgerec.model.runs import Run

Floats = NDArray[np.float64]
BATCH = 200


@dataclass(frozen=True)
class ScoredList:
    """One request.

    Attributes:
        kinds: (c,) the kinds of the candidates.
        exposed: (c,) whether each candidate was exposed.
        clicked: (c,) float64, 1 if it was clicked, else 0.
        logits: (c,) float64, the model's logits.
        first: whether it is the first request of its page.
    """

    kinds: NDArray[np.int64]
    exposed: NDArray[np.bool_]
    clicked: Floats
    logits: Floats
    first: bool

    @property
    def best_first(self) -> NDArray[np.int64]:
        """The candidates in the order of a re-rank."""
        return np.argsort(-self.logits, kind="stable").astype(np.int64)

    def values(self, problem: Problem, rules: MixRules, prior: MixPrior, prices: Floats) -> PlanValues:
        """Return the values of the plans of this list, whose candidates are in the order `best_first`."""
        kinds = problem.cards.kinds
        scales, shifts = (np.array([prior.calibration[name][i] for name in rules.names]) for i in (0, 1))
        worths = np.array([kind.worth for kind in rules.kinds.values()])
        leaves = np.array([prior.departures.get(name, 0.0) for name in rules.names]) * prior.later
        calibrated = rates(scales[kinds] * self.logits[self.best_first] + shifts[kinds])
        seen = np.array(prior.examination)
        return PointValues(calibrated, worths[kinds], (prices + leaves)[kinds], seen, len(rules.names))


def scored_lists(run: Run, samples: Samples, split: str, reader: KindReader) -> Iterator[ScoredList]:
    """Yield all requests of a split with the model's logits."""
    function = traced(run.model)
    for lists in shard_lists(samples, split, reader):
        requests, first = lists.shard.requests, set(lists.first.tolist())
        for start in range(0, len(requests), BATCH):
            rows = np.arange(start, min(start + BATCH, len(requests)))
            logits = function(make_batch(lists.shard, rows).inputs).numpy().astype(np.float64)
            for row, own in zip(rows.tolist(), logits, strict=True):
                where = lists.candidates(row)
                label = requests.label[where]
                yield ScoredList(
                    kinds=lists.kinds[where],
                    exposed=label != NOT_EXPOSED,
                    clicked=(label == 1).astype(np.float64),
                    logits=own[: len(label)],
                    first=row in first,
                )
