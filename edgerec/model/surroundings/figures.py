"""AUC, log loss and calibration error of groups of cards, with intervals over users."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 10
RESAMPLES = 200
METRICS = ("auc", "logloss", "calibration_error")


@dataclass(frozen=True)
class Prepared:
    """A group of cards, prepared so that a metric for other weights of the users takes little time.

    Attributes:
        user: (n,) the user of each card, in ascending order of logits.
        label: (n,) 0 or 1.
        runs: (r,) where a run of equal logits begins.
        loss: (n,) the log loss.
        error: (n,) predicted probability minus label.
        bins: (n,) bins of about equal size, by predicted probability.
    """

    user: Ints
    label: Floats
    runs: Ints
    loss: Floats
    error: Floats
    bins: Ints

    def metrics(self, weights: Floats | None = None) -> dict[str, float]:
        """Return the metrics by name. A card counts as often as its user's number in `weights` (users,); default: once.

        The metrics are `auc` (a tie counts one half; NaN without both labels), `logloss`, and `calibration_error`: the
        mean absolute difference of predicted and observed click rate over `BINS` bins, weighted by their size.
        """
        weight = np.ones(len(self.user)) if weights is None else weights[self.user]
        total, clicked = weight.sum(), weight * self.label
        if not total:
            return dict.fromkeys(METRICS, float("nan"))
        positive, all_of = (np.add.reduceat(part, self.runs) for part in (clicked, weight))
        negative = all_of - positive
        pairs = positive.sum() * negative.sum()
        above = (positive * (np.cumsum(negative) - negative / 2)).sum()
        gap = np.bincount(self.bins, weights=weight * self.error, minlength=BINS)
        return {
            "auc": float(above / pairs) if pairs else float("nan"),
            "logloss": float((weight * self.loss).sum() / total),
            "calibration_error": float(np.abs(gap).sum() / total),
        }


def prepare(user: Ints, label: Floats, logit: Floats) -> Prepared:
    """Return the cards with these users, labels and logits, all (n,), n at least 1."""
    order = np.argsort(logit, kind="stable")
    user, label, logit = user[order], label[order], logit[order]
    runs = np.flatnonzero(np.concatenate([[True], logit[1:] != logit[:-1]]))
    probability = 1 / (1 + np.exp(-np.clip(logit, -50, 50)))
    return Prepared(
        user=user,
        label=label,
        runs=runs,
        loss=np.logaddexp(0.0, logit) - label * logit,
        error=probability - label,
        bins=np.arange(len(logit)) * BINS // len(logit),
    )


def resampled(
    users: int, figures: Callable[[Floats | None], Mapping[str, float]], *, seed: int, resamples: int = RESAMPLES
) -> dict[str, tuple[float, float, float]]:
    """Return each figure with its 95 % interval over users, by the percentile bootstrap: (value, low, high).

    The same seed draws the same users, so differences of two rankers are paired.

    Args:
        users: number of users.
        figures: a function of the weights of the users, (users,), or None for each user once.
        seed: seed of the resampling.
        resamples: number of resamples.
    """
    rng = np.random.default_rng(seed)
    value = figures(None)
    drawn = [
        figures(np.bincount(rng.integers(0, users, users), minlength=users).astype(np.float64))
        for _ in range(resamples)
    ]
    found = {}
    for name, one in value.items():
        numbers = np.array([figure[name] for figure in drawn])
        numbers = numbers[np.isfinite(numbers)]
        low, high = np.percentile(numbers, [2.5, 97.5]) if len(numbers) else (one, one)
        found[name] = (one, float(low), float(high))
    return found


def mean_metrics(seeds: Sequence[Prepared], weights: Floats | None) -> dict[str, float]:
    """Return the mean of each metric over the seeds of one model."""
    rows = [each.metrics(weights) for each in seeds]
    return {name: float(np.mean([row[name] for row in rows])) for name in METRICS}
