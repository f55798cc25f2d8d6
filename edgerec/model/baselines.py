"""The baselines of an evaluation: GAUC of simple rankers that are not trained models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import InputError
from edgerec.data.samples import NOT_EXPOSED, TRAIN, Requests, Samples
from edgerec.model.metrics import request_aucs

NO_PAIR = "evaluate: no request of the split has both a clicked and an unclicked exposure, so GAUC has no value"


@dataclass(frozen=True)
class Exposed:
    """The exposed candidates of some requests in flat arrays, in order of request and position.

    Attributes:
        group: (n,) the request of each candidate.
        position: (n,) its position in the list.
        label: (n,) 0 or 1.
        row: (n,) its index among all candidates of the shard.
    """

    group: NDArray[np.int64]
    position: NDArray[np.int64]
    label: NDArray[np.uint8]
    row: NDArray[np.int64]


def exposed(requests: Requests) -> Exposed:
    """Return the exposed candidates of `requests`."""
    row = np.flatnonzero(requests.label != NOT_EXPOSED)
    group = np.searchsorted(requests.offsets, row, side="right") - 1
    position = row - requests.offsets[group]
    return Exposed(group=group, position=position, label=np.asarray(requests.label[row]), row=row)


class Gaucs:
    """Accumulates GAUC (eq. 12) of several rankers, shard by shard."""

    def __init__(self) -> None:
        self._sums: dict[str, NDArray[np.float64]] = {}

    def add(self, seen: Exposed, scores: Mapping[str, NDArray[np.float64]]) -> None:
        """Add the exposed candidates (n,) of a shard, with the scores (n,) of each ranker."""
        for name, values in scores.items():
            aucs, impressions = request_aucs(seen.group, seen.label, values)
            self._sums[name] = self._sums.get(name, np.zeros(2)) + np.array([aucs @ impressions, impressions.sum()])

    def values(self) -> dict[str, float]:
        """Return GAUC by name of the ranker.

        Raises:
            InputError: no request has a clicked and an unclicked exposure.
        """
        if not all(below for _, below in self._sums.values()):
            raise InputError(NO_PAIR)
        return {name: float(above / below) for name, (above, below) in self._sums.items()}


def baselines(samples: Samples, split: str, *, seed: int) -> dict[str, float]:
    """Return GAUC of three simple rankers by name.

    They are random scores (`random`), the served order (`base_order`), and the order by the item's best raw feature
    (`best_single:NAME`, or `best_single:-NAME` if small values come first). The training split decides which feature is
    best. Without raw features there is no third ranker.

    Raises:
        InputError: no request of the split has a clicked and an unclicked exposure.
    """
    numbers = [feature.name for feature in samples.head.spec.item if feature.field == "numbers"]
    name, direction = _best_single(samples, numbers)
    rng, gaucs = np.random.default_rng(seed), Gaucs()
    for requests in samples.requests(split):
        seen = exposed(requests)
        scores = {"random": rng.random(len(seen.row)), "base_order": -seen.position.astype(np.float64)}
        if name:
            key = f"best_single:{'-' if direction < 0 else ''}{name}"
            scores[key] = direction * _number(requests, seen, numbers.index(name))
        gaucs.add(seen, scores)
    return gaucs.values()


def baselines_document(
    samples: Samples, split: str, *, oracle: Mapping[str, float] | None = None, seed: int = 1
) -> dict[str, Any]:
    """Return the JSON document that `edgerec evaluate` prints if it is called without a run.

    It has the sizes of the split and the figures of the baselines. The figures in `oracle` are added to them.


    Raises:
        InputError: no request of the split has a clicked and an unclicked exposure.
    """
    counts = samples.head.splits[split]
    return {
        "split": split,
        "requests": counts.requests,
        "impressions": counts.exposures,
        "baselines": {**baselines(samples, split, seed=seed), **(oracle or {})},
    }


def _best_single(samples: Samples, numbers: list[str]) -> tuple[str, float]:
    """Return the name of the raw feature with the largest GAUC on the training split, and its direction.

    The direction is 1 if large values come first, else -1. The name is empty if no feature is better than chance.
    """
    gaucs = Gaucs()
    for requests in samples.requests(TRAIN) if numbers else ():
        seen = exposed(requests)
        gaucs.add(seen, {name: _number(requests, seen, column) for column, name in enumerate(numbers)})
    try:
        values = gaucs.values()
    except InputError:
        values = {}
    best = (0.5, "", 1.0)
    for name, value in values.items():
        # If all values change their sign, the AUC of each request becomes 1 - AUC.
        for direction, gauc in ((1.0, value), (-1.0, 1.0 - value)):
            if gauc > best[0]:
                best = (gauc, name, direction)
    return best[1:]


def _number(requests: Requests, seen: Exposed, column: int) -> NDArray[np.float64]:
    return np.asarray(requests.item.numbers[seen.row, column], dtype=np.float64)
