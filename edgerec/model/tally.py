"""The metrics of an evaluation, summed up batch by batch. Memory grows with the number of users, not of requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import InputError
from edgerec.core.statistics import bootstrap_weighted_mean
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind
from edgerec.model.baselines import NO_PAIR
from edgerec.model.metrics import Floats, ndcg_sum, request_aucs

CUTS = (5, 10)
LENGTHS = (0, 1, 10, 25, 50, 100)
"""Requests are grouped by the number of behaviours that they read. These are the lower limits of the groups."""
ACTIVITY = (1, 2, 5, 10, 20, 50)
"""Users are grouped by their number of requests that GAUC counts. These are the lower limits of the groups."""
POSITIONS = (1, 2, 3, 5, 10, 20, 50)
"""Exposures are grouped by position in the served list, counted from 1. These are the lower limits of the groups."""
CALIBRATION_BINS = 10
LARGEST_LOGIT = 20.0
_RESOLUTION = 1 << 16
"""Number of bins of the histogram of logits. A bin is 0.0006 wide, so the logits in one bin are almost equal."""


@dataclass(frozen=True)
class Scored:
    """The exposed candidates of some complete requests, with their scores.

    Attributes:
        group: (n,) the request of each candidate. Requests are in any order.
        label: (n,) 0 or 1. The candidates of one request are in served order.
        logit: (n,).
        position: (n,) the position in the served list, counted from 0.
        user: (n,) the user of the request.
        exposures: (n,) number of exposures that the request reads.
        page_views: (n,) number of page-views that the request reads.
    """

    group: NDArray[np.int64]
    label: NDArray[np.uint8]
    logit: Floats
    position: NDArray[np.int64]
    user: NDArray[np.int64]
    exposures: NDArray[np.int64]
    page_views: NDArray[np.int64]

    def known(self, kind: BehaviourKind) -> NDArray[np.int64]:
        """Return (n,) number of behaviours of `kind` that the request knows."""
        known: NDArray[np.int64] = getattr(self, kind.plural)
        return known


@dataclass(frozen=True)
class UserSums:
    """Sums over the requests of each user. GAUC is computed from them.

    Attributes:
        user: (u,) ascending.
        above: (u,) sum of impressions times AUC over the user's requests.
        impressions: (u,) sum of impressions.
        requests: (u,) number of requests with a clicked and an unclicked exposure.
    """

    user: NDArray[np.int64]
    above: Floats
    impressions: Floats
    requests: Floats

    @property
    def gauc(self) -> float:
        """GAUC, ``sum(impressions AUC) / sum(impressions)`` (eq. 12)."""
        return float(self.above.sum() / self.impressions.sum())


class Tally:
    """Accumulates scored requests and computes the metrics of an evaluation."""

    def __init__(self) -> None:
        self._users: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        self._entropy = np.zeros(2)
        self._ndcg = {cut: np.zeros(2) for cut in CUTS}
        self._histogram = np.zeros((2, _RESOLUTION), np.int64)
        self._groups = {kind: np.zeros((len(LENGTHS), 3)) for kind in BEHAVIOUR_KINDS}
        self._positions = np.zeros((len(POSITIONS), 3))

    def add(self, scored: Scored) -> None:
        """Add complete requests."""
        group, label, logit = scored.group, scored.label, scored.logit
        if not len(group):
            return
        self._entropy += [(np.logaddexp(0.0, logit) - label * logit).sum(), len(label)]
        for cut, sums in self._ndcg.items():
            sums += ndcg_sum(group, label, logit, at=cut)
        index = ((np.clip(logit, -LARGEST_LOGIT, LARGEST_LOGIT) / LARGEST_LOGIT + 1) * 0.5 * (_RESOLUTION - 1)).round()
        np.add.at(self._histogram, (label.astype(np.int64), index.astype(np.int64)), 1)
        probability = 1 / (1 + np.exp(-np.clip(logit, -50, 50)))
        position = np.searchsorted(POSITIONS, scored.position + 1, side="right") - 1
        np.add.at(self._positions, position, np.stack([np.ones(len(label)), label, probability], axis=1))

        # Select the requests with both labels, in ascending order, as `request_aucs` does.
        aucs, impressions = request_aucs(group, label, logit)
        requests, first = np.unique(group, return_index=True)
        clicks = np.bincount(np.searchsorted(requests, group), weights=label, minlength=len(requests))
        sizes = np.bincount(np.searchsorted(requests, group), minlength=len(requests))
        first = first[(clicks > 0) & (clicks < sizes)]
        sums = np.stack([aucs * impressions, impressions, np.ones(len(aucs))], axis=1)
        self._users.append((scored.user[first], sums))
        if len(self._users) > 64:
            self._users = [self._by_user()]
        for kind, groups in self._groups.items():
            np.add.at(groups, np.searchsorted(LENGTHS, scored.known(kind)[first], side="right") - 1, sums)

    def _by_user(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the users (u,) in ascending order, and their sums (u, 3)."""
        if not self._users:
            return np.empty(0, np.int64), np.zeros((0, 3))
        users, which = np.unique(np.concatenate([user for user, _ in self._users]), return_inverse=True)
        sums = np.zeros((len(users), 3))
        np.add.at(sums, which, np.concatenate([rows for _, rows in self._users]))
        return users, sums

    def user_sums(self) -> UserSums:
        """Return the sums of each user from which GAUC is computed.

        Raises:
            InputError: no request has a clicked and an unclicked exposure.
        """
        users, sums = self._by_user()
        if not len(users):
            raise InputError(NO_PAIR)
        return UserSums(users, *sums.T)

    def figures(self, *, seed: int) -> dict[str, Any]:
        """Return the metrics by name.

        The names are `gauc`, `gauc_ci95`, `gauc_requests`, `users`, `auc`, `ndcg@5`, `ndcg@10`, `logloss` and
        `calibration_error`.

        Args:
            seed: seed of the bootstrap. It resamples users, because requests of one user are similar to each other.

        Raises:
            InputError: no request has a clicked and an unclicked exposure.
        """
        sums = self.user_sums()
        interval = bootstrap_weighted_mean(sums.above / sums.impressions, sums.impressions, seed=seed)
        return {
            "gauc": sums.gauc,
            "gauc_ci95": list(interval),
            "gauc_requests": int(sums.requests.sum()),
            "users": len(sums.user),
            "auc": self._auc(),
            **{f"ndcg@{cut}": float(above / below) for cut, (above, below) in self._ndcg.items()},
            "logloss": float(self._entropy[0] / self._entropy[1]),
            "calibration_error": self._calibration_error(),
        }

    def details(self) -> dict[str, Any]:
        """Return `calibration` and `breakdown`.

        For `calibration`, exposures are sorted by predicted click rate and divided into ten groups. `breakdown` has
        GAUC by activity of the users and by number of behaviours, and click rates by position.

        Raises:
            InputError: no request has a clicked and an unclicked exposure.
        """
        sums = self.user_sums()
        active = np.zeros((len(ACTIVITY), 3))
        of_user = np.stack([sums.above, sums.impressions, sums.requests], axis=1)
        np.add.at(active, np.searchsorted(ACTIVITY, sums.requests, side="right") - 1, of_user)
        gaucs = {"requests_of_user": (ACTIVITY, active)}
        gaucs |= {f"known_{kind.plural}": (LENGTHS, rows) for kind, rows in self._groups.items()}
        return {
            "calibration": self._calibration(),
            "breakdown": {
                **{name: _gauc_rows(ends, rows) for name, (ends, rows) in gaucs.items()},
                "place": [
                    {"from": low, "exposures": int(n), "click_rate": clicks / n, "predicted": predicted / n}
                    for low, (n, clicks, predicted) in zip(POSITIONS, self._positions.tolist(), strict=True)
                    if n
                ],
            },
        }

    def _auc(self) -> float | None:
        unclicked, clicked = self._histogram
        if not unclicked.any() or not clicked.any():
            return None
        below = np.cumsum(unclicked) - unclicked
        return float((clicked * (below + unclicked / 2)).sum() / (clicked.sum() * unclicked.sum()))

    def _calibration(self) -> list[dict[str, float]]:
        total = self._histogram.sum(axis=0)
        logit = (np.arange(_RESOLUTION) / (_RESOLUTION - 1) * 2 - 1) * LARGEST_LOGIT
        probability = 1 / (1 + np.exp(-logit))
        # The middle rank of a histogram bin decides its calibration bin. So each calibration bin has about a tenth of
        # the exposures, unless many logits are equal.
        rank = (np.cumsum(total) - total / 2) / total.sum()
        bins = np.minimum((rank * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
        counts, clicks, predicted = (
            np.bincount(bins, weights=weights, minlength=CALIBRATION_BINS)
            for weights in (total, self._histogram[1], total * probability)
        )
        return [
            {"exposures": int(n), "click_rate": c / n, "predicted": p / n}
            for n, c, p in zip(counts.tolist(), clicks.tolist(), predicted.tolist(), strict=True)
            if n
        ]

    def _calibration_error(self) -> float:
        """Return the mean absolute difference between predicted and observed click rate.

        The mean is over the calibration bins, weighted by their number of exposures.
        """
        bins = self._calibration()
        total = sum(each["exposures"] for each in bins)
        return sum(each["exposures"] * abs(each["predicted"] - each["click_rate"]) for each in bins) / total


def _gauc_rows(ends: tuple[int, ...], sums: NDArray[np.float64]) -> list[Mapping[str, Any]]:
    return [
        {"from": low, "requests": int(requests), "gauc": above / impressions}
        for low, (above, impressions, requests) in zip(ends, sums.tolist(), strict=True)
        if requests
    ]
