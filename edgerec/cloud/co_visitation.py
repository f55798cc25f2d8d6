"""The default recall: items that were viewed together with the user's latest ones, and popular items.

Item-to-item co-visitation (Linden, Smith, York: Amazon.com Recommendations, 2003): two page-views of one user within
`WINDOW_MS`, at most `WINDOW_VIEWS` apart, count as one joint visit of their items. For a user whose latest page-views
are the items s_1, s_2, ... (latest first), an item b has the score

    sum over k of  visits(s_k, b) / sqrt(views(s_k) * views(b)) / k   +   POPULARITY * popularity(b) / max popularity

Popularity is the number of page-views, halved every `HALF_LIFE_MS`. A page-view whose time is in the future counts as
one of now, so that a device with a wrong clock cannot outweigh all others. Items that the user has seen come last,
whatever their score is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.cloud.largest import largest
from edgerec.cloud.pair_counts import PairCounts
from edgerec.data.catalogue import ItemIndex
from edgerec.data.schema import ITEM_ID, KIND, TIME, USER_ID
from edgerec.features.behaviours import PAGE_VIEW

WINDOW_VIEWS, WINDOW_MS = 10, 24 * 3600 * 1000
HALF_LIFE_MS = 24 * 3600 * 1000
POPULARITY = 0.5
SEEDS = 10
"""Number of latest page-views whose neighbours are candidates."""
NEIGHBOURS = 500
"""Maximum number of neighbours of an item that are read: those with the most joint visits."""
ORDERED = 5000
"""Number of the most popular items that are kept in order. The order is made again after enough page-views."""
SEEN = 500
"""Number of a user's latest behaviours whose items count as seen."""
_REBASE = 500.0
"""Number of half-lives after which the weights of popularity are scaled, so that they do not overflow."""

_SEEN, _HELD = 1, 2
"""Marks of items that come last, and of items that are not returned."""

Rows = NDArray[np.int64]
_NONE = np.empty(0, np.int64)


def now_ms() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class CoVisitation:
    """Co-visitation and popularity. Implements `edgerec.cloud.recall.Recall`.

    Batches of any size give the same counts. So a recall that learnt day after day equals one that learnt all at once.

    Args:
        item_ids: (items,) int64, the IDs of the catalogue, strictly ascending.
        clock: returns milliseconds since 1970.
    """

    def __init__(self, item_ids: NDArray[np.int64], clock: Callable[[], int] = now_ms) -> None:
        self._ids, self._index = item_ids, ItemIndex.of(item_ids)
        self._pairs, self._clock = PairCounts(len(item_ids), NEIGHBOURS), clock
        self._views = np.zeros(len(item_ids), np.int64)
        self._norms = np.zeros(len(item_ids))  # 1 / sqrt(views)
        self._popularity = np.zeros(len(item_ids))
        self._peak = 0.0
        self._reference: int | None = None
        self._latest: dict[int, tuple[Rows, Rows]] = {}
        self._seen: dict[int, Rows] = {}
        self._order: Rows = np.arange(min(len(item_ids), ORDERED))
        self._unordered = 0
        # Scratch memory of one request. It is zero between two requests.
        self._scores = np.zeros(len(item_ids))
        self._marks = np.zeros(len(item_ids), np.int32)

    def candidates(
        self, user_id: int, count: int, exclude: Collection[int], time: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the IDs (n,) of at most `count` items, best first, and their scores (n,)."""
        held = self._index.rows(np.fromiter(exclude, np.int64, len(exclude)))
        held = held[held >= 0]
        seen = self._seen.get(user_id, _NONE)
        most = count + len(held) + len(seen)
        popular = self._popular_first(most)[:most]
        neighbours = self._add_scores(user_id)
        found = self._different(np.concatenate([popular, *neighbours]))
        scores = self._scores.take(found) + POPULARITY / (self._peak or 1.0) * self._popularity.take(found)
        for others in neighbours:
            self._scores[others] = 0.0
        self._marks[seen] = _SEEN
        self._marks[held] = _HELD
        marks = self._marks.take(found)
        self._marks[seen] = self._marks[held] = 0
        order = self._best(found, scores, np.flatnonzero(marks == 0), count)
        if len(order) < count:
            order = np.concatenate([order, self._longest_ago(found, seen, marks)[: count - len(order)]])
        return self._ids[found[order]], scores[order]

    def learn(self, events: pl.DataFrame) -> None:
        """Count the page-views of `events`, and note what users have seen."""
        rows = self._index.rows(events[ITEM_ID].to_numpy()).astype(np.int64)
        users, times = events[USER_ID].to_numpy(), events[TIME].to_numpy()
        order = np.argsort(users, kind="stable")
        order = order[rows[order] >= 0]
        users, times, rows = users[order], times[order], rows[order]
        for user, part in _parts(users):
            self._seen[user] = np.concatenate([self._seen.get(user, _NONE), rows[part]])[-SEEN:]
        viewed = (events[KIND] == PAGE_VIEW.name).to_numpy()[order]
        self._learn_views(users[viewed], times[viewed], rows[viewed])

    def _learn_views(self, users: Rows, times: Rows, rows: Rows) -> None:
        if not len(users):
            return
        np.add.at(self._views, rows, 1)
        self._norms[rows] = 1 / np.sqrt(self._views[rows])
        np.add.at(self._popularity, rows, self._weights(times))
        self._peak = max(self._peak, float(self._popularity[rows].max()))
        self._unordered += len(rows)
        if self._unordered > len(self._ids) // 100:
            self._order_rows(ORDERED)
        histories = [self._with_earlier(user, rows[part], times[part]) for user, part in _parts(users)]
        items = np.concatenate([history[0] for history in histories])
        at = np.concatenate([history[1] for history in histories])
        owner = np.repeat(np.arange(len(histories)), [len(history[0]) for history in histories])
        new = np.concatenate([history[2] for history in histories])
        first, second = [], []
        for lag in range(1, WINDOW_VIEWS):
            joint = new[lag:] & (owner[lag:] == owner[:-lag]) & (items[lag:] != items[:-lag])
            joint &= np.abs(at[lag:] - at[:-lag]) <= WINDOW_MS
            one, other = items[lag:][joint], items[:-lag][joint]
            first += [one, other]
            second += [other, one]
        self._pairs.add(np.concatenate(first), np.concatenate(second))

    def _with_earlier(self, user: int, rows: Rows, times: Rows) -> tuple[Rows, Rows, NDArray[np.bool_]]:
        """Return the user's latest page-views and the new ones: items, times, and which of them are new."""
        before, before_times = self._latest.get(user, (_NONE, _NONE))
        items, at = np.concatenate([before, rows]), np.concatenate([before_times, times])
        keep = max(WINDOW_VIEWS - 1, SEEDS)
        self._latest[user] = items[-keep:], at[-keep:]
        return items, at, np.arange(len(items)) >= len(before)

    def _weights(self, times: Rows) -> NDArray[np.float64]:
        """Return the weights of page-views. They grow with the time, so that earlier ones need no change."""
        times = np.minimum(times, self._clock())
        latest = int(times.max())
        if self._reference is None:
            self._reference = latest
        age = (latest - self._reference) / HALF_LIFE_MS
        if age > _REBASE:
            self._popularity *= 0.5**age
            self._peak *= 0.5**age
            self._reference = latest
        weights: NDArray[np.float64] = np.exp2((times - self._reference) / HALF_LIFE_MS)
        return weights

    def _add_scores(self, user: int) -> list[Rows]:
        """Add to `_scores` what the user's latest page-views give to their neighbours. Return the neighbours."""
        found = []
        latest = self._latest.get(user, (_NONE, _NONE))[0][::-1][:SEEDS]
        for rank, row in enumerate(dict.fromkeys(latest.tolist()), start=1):
            weight = self._norms[row] / rank
            for others, counts in self._pairs.most(row):
                self._scores[others] += counts * self._norms.take(others) * weight
                found.append(others)
        return found

    def _different(self, rows: Rows) -> Rows:
        """Return each of `rows` (n,) once."""
        numbers = np.arange(1, len(rows) + 1, dtype=np.int32)
        # Of equal rows, the last one leaves its number.
        self._marks[rows] = numbers
        different: Rows = rows[self._marks.take(rows) == numbers]
        self._marks[rows] = 0
        return different

    @staticmethod
    def _best(found: Rows, scores: NDArray[np.float64], places: Rows, count: int) -> Rows:
        """Return the `count` of `places` with the highest scores, best first. Equal scores are in order of the row."""
        if len(places) > count:
            scored = scores.take(places)
            places = places[scored >= np.partition(scored, len(scored) - count)[-count]]
        return places[np.lexsort((found[places], -scores[places]))][:count]

    def _popular_first(self, count: int) -> Rows:
        """Return at least `count` rows, or all, the most popular first."""
        if count > len(self._order) < len(self._ids):
            self._order_rows(count)
        return self._order

    def _order_rows(self, count: int) -> None:
        rows = largest(self._popularity, max(count, ORDERED))
        self._order = rows[np.argsort(-self._popularity[rows], kind="stable")]
        self._unordered = 0

    @staticmethod
    def _longest_ago(found: Rows, seen: Rows, marks: NDArray[np.int32]) -> Rows:
        """Return the positions in `found` of items that the user has seen and does not hold, the longest ago first."""
        last_time = dict(zip(seen.tolist(), range(len(seen)), strict=True))
        again = np.flatnonzero(marks == _SEEN)
        return again[np.argsort([last_time[row] for row in found[again].tolist()], kind="stable")]


def _parts(users: Rows) -> Iterator[tuple[int, slice]]:
    """Yield each user of `users` (n,), which is sorted, and the slice of the user's entries."""
    if len(users):
        starts = np.flatnonzero(np.concatenate([[True], users[1:] != users[:-1]]))
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(users)], strict=True):
            yield int(users[start]), slice(start, end)
