"""Explored places: what was shown, how probable it was, whether it was clicked, and what could have been shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.cloud.log_rows import EXPLORED_AMONG, POSITIONS, PROPENSITIES, SCORES
from edgerec.core.errors import LogsError
from edgerec.data.schema import CLICKED, ITEM_ID, REQUEST_ID, USER_ID
from edgerec.off_policy.candidate_orders import CandidateLists, Floats, Integers


@dataclass(frozen=True)
class Places:
    """Explored places that the user saw. The candidates of a place are those that no place before shows.

    The log could have shown only the best of them by the logged scores, so only these are kept, best one first. A place
    with fewer of them than the longest has NaN as scores after them.

    Attributes:
        request_id: (n,)
        user: (n,)
        place: (n,), from 1.
        item: (n, m), IDs of the best candidates.
        score: (n, m), their logged scores.
        count: (n,), how many the log could have shown, from 1 to m.
        shown: (n,), rank of the candidate that was shown, from 0 to below `count`.
        propensity: (n,), the probability with which the log shows it.
        clicked: (n,), 1.0 or 0.0.
    """

    request_id: Integers
    user: Integers
    place: Integers
    item: Integers
    score: Floats
    count: Integers
    shown: Integers
    propensity: Floats
    clicked: Floats

    def __len__(self) -> int:
        return len(self.place)

    @property
    def possible(self) -> NDArray[np.bool_]:
        """Which of the best candidates the log could have shown (n, m)."""
        return np.arange(self.item.shape[1]) < self.count[:, None]


@dataclass(frozen=True)
class ExploredPlaces:
    """The places of explored requests, and what is needed to find the choice of any policy at them.

    Attributes:
        places: the places.
        lists: the candidates of the explored requests.
        request: (n,), the index of each place's request.
        before: (n, places - 1), positions of the candidates at the places before, and -1.
        rank: (candidates,), rank of each candidate by the logged scores.
    """

    places: Places
    lists: CandidateLists
    request: Integers
    before: Integers
    rank: Integers

    def choices(self, scores: Floats) -> Integers:
        """Return what a policy shows that takes the best remaining candidate by `scores`. Shape (n,).

        Args:
            scores: (candidates,), the policy's scores. NaN: it never shows the candidate.

        Returns:
            The rank of its choice among the remaining candidates, by the logged scores; -1 if it has no choice. If the
            rank is not below `places.count`, the log could not have shown the choice.
        """
        most = self.before.shape[1] + 1
        first = self.lists.first(self.lists.orders(scores), most)[self.request]
        free = (first >= 0) & ~(first[:, :, None] == self.before[:, None, :]).any(axis=2)
        choice = np.take_along_axis(first, free.argmax(axis=1)[:, None], axis=1)[:, 0]
        has_choice = free.any(axis=1) & ~np.isnan(self.lists.take(scores, self.request, np.maximum(choice, 0)))
        return np.where(has_choice, self._rank_of(np.maximum(choice, 0)), -1)

    def _rank_of(self, position: Integers) -> Integers:
        """Return the rank of the candidates at `position` (n,) among those that no place before shows."""
        return _remaining_rank(self.lists, self.rank, self.request, self.before, position)


def explored_places(explored: pl.DataFrame, seen: NDArray[np.bool_]) -> ExploredPlaces:
    """Return the places of explored requests that the user saw.

    Args:
        explored: the requests that have propensities, from `read_orders`.
        seen: (requests, places), from `seen_places`.

    Raises:
        LogsError: no place was seen, or a shown candidate is not among the best ones.
    """
    lists = CandidateLists.of(explored[ITEM_ID])
    score, label = (explored[name].explode().to_numpy().astype(np.float64) for name in (SCORES, CLICKED))
    order = lists.orders(score)
    rank = lists.ranks(order)
    shown = lists.first(explored[POSITIONS].explode().to_numpy(), seen.shape[1])
    propensities = explored[PROPENSITIES]
    propensity = CandidateLists.of(propensities).first(propensities.explode().to_numpy(), seen.shape[1])
    labelled = ~np.isnan(lists.take(label, np.arange(len(shown)), np.maximum(shown, 0)))
    request, place = np.nonzero(np.logical_and.accumulate(seen & labelled, axis=1))
    if not len(request):
        raise LogsError(
            f"logs: {len(explored):,} requests have {PROPENSITIES}, but the user saw none of their explored places: "
            "collect more logs"
        )
    earlier = np.arange(seen.shape[1] - 1) < place[:, None]
    before = np.where(earlier, shown[request, :-1], -1)
    at = shown[request, place]
    shown_rank = _remaining_rank(lists, rank, request, before, at)
    among = explored[EXPLORED_AMONG].fill_null(int(shown_rank.max()) + 1).to_numpy()[request]
    count = np.minimum(among, lists.lengths[request] - place)
    _check_shown(explored, request, place, shown_rank, count)
    best = _remaining_best(lists.first(order, int(count.max()) + seen.shape[1] - 1)[request], before, int(count.max()))
    inside = np.arange(best.shape[1]) < count[:, None]
    item = explored[ITEM_ID].explode().to_numpy()
    known = np.where(inside, best, 0)
    return ExploredPlaces(
        places=Places(
            request_id=explored[REQUEST_ID].to_numpy()[request],
            user=explored[USER_ID].to_numpy()[request],
            place=place + 1,
            item=lists.take(item, request, known),
            score=np.where(inside, lists.take(score, request, known), np.nan),
            count=count,
            shown=shown_rank,
            propensity=propensity[request, place],
            clicked=lists.take(label, request, at),
        ),
        lists=lists,
        request=request,
        before=before,
        rank=rank,
    )


def _remaining_rank(
    lists: CandidateLists, rank: Integers, request: Integers, before: Integers, position: Integers
) -> Integers:
    """Return the rank of candidates (n,) among those that no place before shows."""
    own = lists.take(rank, request, position)
    earlier = np.where(before >= 0, lists.take(rank, request, np.maximum(before, 0)), np.iinfo(np.int64).max)
    ranks: Integers = own - (earlier < own[:, None]).sum(axis=1)
    return ranks


def _remaining_best(order: Integers, before: Integers, count: int) -> Integers:
    """Return the first `count` positions of each row of `order` (n, w) that are not in `before`. Shape (n, count)."""
    taken = (order[:, :, None] == before[:, None, :]).any(axis=2) | (order < 0)
    kept = np.argsort(taken, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(order, kept, axis=1)


def _check_shown(explored: pl.DataFrame, request: Integers, place: Integers, shown: Integers, count: Integers) -> None:
    wrong = np.flatnonzero(shown >= count)
    if len(wrong):
        row = wrong[0]
        raise LogsError(
            f"logs: request {explored[REQUEST_ID][int(request[row])]}: place {place[row] + 1} should show one of the "
            f"{count[row]} best remaining candidates by {SCORES}; it shows number {shown[row] + 1} ({len(wrong)} "
            f'places): correct the columns (docs/formats.md, "The answer of a device")'
        )
