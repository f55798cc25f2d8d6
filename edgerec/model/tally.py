"""Figures of an evaluation, summed up batch by batch: what is kept grows with users, not with requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import InputError
from edgerec.core.statistics import bootstrap_weighted_mean
from edgerec.model.baselines import NO_PAIR
from edgerec.model.metrics import Floats, ndcg_sum, request_aucs

CUTS = (5, 10)
LENGTHS = (0, 1, 10, 25, 50, 100)
"""Lower ends of the groups of requests by how much is known of the user."""
ACTIVITY = (1, 2, 5, 10, 20, 50)
"""Lower ends of the groups of users by their requests that GAUC counts."""
PLACES = (1, 2, 3, 5, 10, 20, 50)
"""Lower ends of the groups of exposures by place in the list on offer, counted from 1."""
CALIBRATION_BINS = 10
LARGEST_LOGIT = 20.0
_RESOLUTION = 1 << 16
"""Cells of the histogram of logits: 0.0006 wide, so that what falls into one hardly differs."""


@dataclass(frozen=True)
class Scored:
    """The exposed candidates of some whole requests with their scores.

    Attributes:
        group: (n,) the request of each; requests are in no order.
        label: (n,) 0 or 1; of one request, in order of place.
        logit: (n,).
        place: (n,) in the list on offer, from 0.
        user: (n,) who asked.
        exposures: (n,) how many exposures were known of the user.
        page_views: (n,) likewise.
    """

    group: NDArray[np.int64]
    label: NDArray[np.uint8]
    logit: Floats
    place: NDArray[np.int64]
    user: NDArray[np.int64]
    exposures: NDArray[np.int64]
    page_views: NDArray[np.int64]


@dataclass(frozen=True)
class UserSums:
    """What GAUC is made of, by user, ascending.

    Attributes:
        user: (u,).
        above: (u,) sum of impressions times AUC over the user's requests.
        impressions: (u,) sum of impressions.
        requests: (u,) how many have a clicked and an unclicked exposure.
    """

    user: NDArray[np.int64]
    above: Floats
    impressions: Floats
    requests: Floats

    @property
    def gauc(self) -> float:
        """``sum(impressions AUC) / sum(impressions)`` (eq. 12)."""
        return float(self.above.sum() / self.impressions.sum())


class Tally:
    """Takes in scored requests and answers with figures."""

    def __init__(self) -> None:
        self._users: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        self._entropy = np.zeros(2)
        self._ndcg = {cut: np.zeros(2) for cut in CUTS}
        self._cells = np.zeros((2, _RESOLUTION), np.int64)
        self._groups: dict[str, NDArray[np.float64]] = {
            name: np.zeros((len(LENGTHS), 3)) for name in ("exposures", "page_views")
        }
        self._places = np.zeros((len(PLACES), 3))

    def add(self, scored: Scored) -> None:
        """Take in whole requests."""
        group, label, logit = scored.group, scored.label, scored.logit
        if not len(group):
            return
        self._entropy += [(np.logaddexp(0.0, logit) - label * logit).sum(), len(label)]
        for cut, sums in self._ndcg.items():
            sums += ndcg_sum(group, label, logit, at=cut)
        cell = ((np.clip(logit, -LARGEST_LOGIT, LARGEST_LOGIT) / LARGEST_LOGIT + 1) * 0.5 * (_RESOLUTION - 1)).round()
        np.add.at(self._cells, (label.astype(np.int64), cell.astype(np.int64)), 1)
        probability = 1 / (1 + np.exp(-np.clip(logit, -50, 50)))
        place = np.searchsorted(PLACES, scored.place + 1, side="right") - 1
        np.add.at(self._places, place, np.stack([np.ones(len(label)), label, probability], axis=1))

        # In ascending order of request, those with both labels: the order of `request_aucs`.
        aucs, impressions = request_aucs(group, label, logit)
        requests, first = np.unique(group, return_index=True)
        clicks = np.bincount(np.searchsorted(requests, group), weights=label, minlength=len(requests))
        sizes = np.bincount(np.searchsorted(requests, group), minlength=len(requests))
        first = first[(clicks > 0) & (clicks < sizes)]
        sums = np.stack([aucs * impressions, impressions, np.ones(len(aucs))], axis=1)
        self._users.append((scored.user[first], sums))
        if len(self._users) > 64:
            self._users = [self._by_user()]
        for name, known in (("exposures", scored.exposures[first]), ("page_views", scored.page_views[first])):
            np.add.at(self._groups[name], np.searchsorted(LENGTHS, known, side="right") - 1, sums)

    def _by_user(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Users (u,), ascending, and their sums (u, 3)."""
        if not self._users:
            return np.empty(0, np.int64), np.zeros((0, 3))
        users, which = np.unique(np.concatenate([user for user, _ in self._users]), return_inverse=True)
        sums = np.zeros((len(users), 3))
        np.add.at(sums, which, np.concatenate([rows for _, rows in self._users]))
        return users, sums

    def user_sums(self) -> UserSums:
        """What GAUC is made of.

        Raises:
            InputError: no request has a clicked and an unclicked exposure.
        """
        users, sums = self._by_user()
        if not len(users):
            raise InputError(NO_PAIR)
        return UserSums(users, *sums.T)

    def figures(self, *, seed: int) -> dict[str, Any]:
        """`gauc`, `gauc_ci95`, `gauc_requests`, `users`, `auc`, `ndcg@5`, `ndcg@10`, `logloss`, `calibration_error`.

        Args:
            seed: of the bootstrap, which draws users: requests of one user are much alike.

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
        """`calibration` (by tenths of exposures) and `breakdown` by activity of users, lengths, places.

        Raises:
            InputError: no request has a clicked and an unclicked exposure.
        """
        sums = self.user_sums()
        active = np.zeros((len(ACTIVITY), 3))
        of_user = np.stack([sums.above, sums.impressions, sums.requests], axis=1)
        np.add.at(active, np.searchsorted(ACTIVITY, sums.requests, side="right") - 1, of_user)
        gaucs = {"requests_of_user": (ACTIVITY, active)}
        gaucs |= {f"known_{name}": (LENGTHS, found) for name, found in self._groups.items()}
        return {
            "calibration": self._calibration(),
            "breakdown": {
                **{name: _gauc_rows(ends, found) for name, (ends, found) in gaucs.items()},
                "place": [
                    {"from": low, "exposures": int(n), "click_rate": clicks / n, "predicted": predicted / n}
                    for low, (n, clicks, predicted) in zip(PLACES, self._places.tolist(), strict=True)
                    if n
                ],
            },
        }

    def _auc(self) -> float | None:
        unclicked, clicked = self._cells
        if not unclicked.any() or not clicked.any():
            return None
        below = np.cumsum(unclicked) - unclicked
        return float((clicked * (below + unclicked / 2)).sum() / (clicked.sum() * unclicked.sum()))

    def _calibration(self) -> list[dict[str, float]]:
        total = self._cells.sum(axis=0)
        logit = (np.arange(_RESOLUTION) / (_RESOLUTION - 1) * 2 - 1) * LARGEST_LOGIT
        probability = 1 / (1 + np.exp(-logit))
        # By rank, the middle of each cell: every bin has a tenth of the exposures, but for ties.
        rank = (np.cumsum(total) - total / 2) / total.sum()
        bins = np.minimum((rank * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
        counts, clicks, predicted = (
            np.bincount(bins, weights=weights, minlength=CALIBRATION_BINS)
            for weights in (total, self._cells[1], total * probability)
        )
        return [
            {"exposures": int(n), "click_rate": c / n, "predicted": p / n}
            for n, c, p in zip(counts.tolist(), clicks.tolist(), predicted.tolist(), strict=True)
            if n
        ]

    def _calibration_error(self) -> float:
        """Mean distance of predicted and seen click rate over the bins, weighted by exposures."""
        bins = self._calibration()
        total = sum(each["exposures"] for each in bins)
        return sum(each["exposures"] * abs(each["predicted"] - each["click_rate"]) for each in bins) / total


def _gauc_rows(ends: tuple[int, ...], found: NDArray[np.float64]) -> list[Mapping[str, Any]]:
    return [
        {"from": low, "requests": int(requests), "gauc": above / impressions}
        for low, (above, impressions, requests) in zip(ends, found.tolist(), strict=True)
        if requests
    ]
