"""Logged lists as mixing reads them: kinds, labels, and the lists that a user saw from their beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.data.samples import Requests, Samples, Shard
from edgerec.model.mixing.kinds import KindReader
from edgerec.model.mixing.looking import LookedAt, looked_at


@dataclass(frozen=True)
class ShardLists:
    """The requests of one shard, with the kinds of their candidates.

    Attributes:
        shard: the shard.
        kinds: (candidates,) the kind of each candidate, as an index into the kinds of the rules.
        first: (pages,) the rows of the first request of each page.
        latest: (candidates,) whether no later request of the page has the candidate. An exposure is a label of every
            earlier request of its page. Counted where it is latest, it counts once, and with the newest behaviours.
    """

    shard: Shard
    kinds: NDArray[np.int64]
    first: NDArray[np.int64]
    latest: NDArray[np.bool_]

    def candidates(self, row: int) -> slice:
        """Return where the candidates of a request are."""
        offsets = self.shard.requests.offsets
        return slice(int(offsets[row]), int(offsets[row + 1]))


def shard_lists(samples: Samples, split: str, reader: KindReader) -> Iterator[ShardLists]:
    """Yield the requests of a split, shard by shard."""
    for shard in samples.shards(split):
        requests = shard.requests
        # Requests are in order of time, so the first row of a page is its first request, which has the whole list.
        _, first = np.unique(np.stack([requests.user, requests.page]), axis=1, return_index=True)
        yield ShardLists(shard, reader.of(requests.item), np.sort(first), _latest(requests))


def _latest(requests: Requests) -> NDArray[np.bool_]:
    lengths = requests.lengths
    keys = np.repeat(requests.user, lengths), np.repeat(requests.page, lengths), requests.row
    # Sorted by user, page and item; equal ones stay in order of time.
    order = np.lexsort(keys[::-1])
    last = np.ones(len(order), np.bool_)
    same = [each[order][1:] == each[order][:-1] for each in keys]
    last[:-1] = ~np.logical_and.reduce(same)
    latest = np.zeros(len(order), np.bool_)
    latest[order] = last
    return latest


def lists_looked_at(samples: Samples, split: str, reader: KindReader) -> list[LookedAt]:
    """Return the first list of each page of a split, if users saw it in the logged order."""
    found = []
    for lists in shard_lists(samples, split, reader):
        for row in lists.first.tolist():
            where = lists.candidates(row)
            one = looked_at(lists.kinds[where], lists.shard.requests.label[where])
            if one is not None:
                found.append(one)
    return found
