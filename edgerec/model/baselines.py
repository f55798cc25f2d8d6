"""What a model has to beat: GAUC of rankers that learn nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import InputError
from edgerec.data.samples import NOT_EXPOSED, TRAIN, Requests, Samples
from edgerec.model.metrics import request_aucs

NO_PAIR = "evaluate: no request of this split has a clicked and an unclicked exposure: GAUC has no value"


@dataclass(frozen=True)
class Exposed:
    """Exposed candidates, flat, in order of request and place.

    Attributes:
        group: (n,) the request of each.
        place: (n,) its place in the list.
        label: (n,) 0 or 1.
        which: (n,) its row among all candidates of the shard.
    """

    group: NDArray[np.int64]
    place: NDArray[np.int64]
    label: NDArray[np.uint8]
    which: NDArray[np.int64]


def exposed(requests: Requests) -> Exposed:
    """The exposed candidates of `requests`."""
    which = np.flatnonzero(requests.label != NOT_EXPOSED)
    group = np.searchsorted(requests.offsets, which, side="right") - 1
    place = which - requests.offsets[group]
    return Exposed(group=group, place=place, label=np.asarray(requests.label[which]), which=which)


class Gaucs:
    """GAUC (eq. 12) of several rankers at once, summed up shard by shard."""

    def __init__(self) -> None:
        self._sums: dict[str, NDArray[np.float64]] = {}

    def add(self, seen: Exposed, scores: Mapping[str, NDArray[np.float64]]) -> None:
        """Take in a shard's exposed candidates (n,) with the scores (n,) that each ranker gives them."""
        for name, values in scores.items():
            aucs, impressions = request_aucs(seen.group, seen.label, values)
            self._sums[name] = self._sums.get(name, np.zeros(2)) + np.array([aucs @ impressions, impressions.sum()])

    def values(self) -> dict[str, float]:
        """By name of ranker.

        Raises:
            InputError: no request has a clicked and an unclicked exposure.
        """
        if not all(below for _, below in self._sums.values()):
            raise InputError(NO_PAIR)
        return {name: float(above / below) for name, (above, below) in self._sums.items()}


def baselines(samples: Samples, split: str, *, seed: int) -> dict[str, float]:
    """GAUC of chance (`random`), of the order on offer (`base_order`), and of the best single number of the items.

    The best single number, and whether more or less of it is better, is chosen on the training split.

    Raises:
        InputError: no request of the split has a clicked and an unclicked exposure.
    """
    numbers = [feature.name for feature in samples.head.spec.item if feature.field == "numbers"]
    name, direction = _best_single(samples, numbers)
    rng, found = np.random.default_rng(seed), Gaucs()
    for requests in samples.requests(split):
        seen = exposed(requests)
        scores = {"random": rng.random(len(seen.which)), "base_order": -seen.place.astype(np.float64)}
        if name:
            key = f"best_single:{'-' if direction < 0 else ''}{name}"
            scores[key] = direction * _number(requests, seen, numbers.index(name))
        found.add(seen, scores)
    return found.values()


def baselines_document(
    samples: Samples, split: str, *, oracle: Mapping[str, float] | None = None, seed: int = 1
) -> dict[str, Any]:
    """The document of `edgerec evaluate` without a run: sizes of the split, and `baselines`, those of `oracle` too.

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
    """The number of the largest GAUC on the training split, and 1 if more of it is better, else -1; "" for none."""
    found = Gaucs()
    for requests in samples.requests(TRAIN) if numbers else ():
        seen = exposed(requests)
        found.add(seen, {name: _number(requests, seen, column) for column, name in enumerate(numbers)})
    try:
        values = found.values()
    except InputError:
        values = {}
    best = (0.5, "", 1.0)
    for name, value in values.items():
        # Sorting by the number's negative mirrors every request's AUC.
        for direction, reached in ((1.0, value), (-1.0, 1.0 - value)):
            if reached > best[0]:
                best = (reached, name, direction)
    return best[1:]


def _number(requests: Requests, seen: Exposed, column: int) -> NDArray[np.float64]:
    return np.asarray(requests.item.numbers[seen.which, column], dtype=np.float64)
