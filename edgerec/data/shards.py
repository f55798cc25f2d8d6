"""Shards in memory: the samples of some users.

A user's behaviours are encoded and stored once, in order of time. A request refers to the range of behaviours that the
device knew at the time of the request. So a behaviour in a hundred ranges is stored once, and batches are made by
indexing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.data.shard_files import SplitCounts, split_counts
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind
from edgerec.features.encoded import FIELDS, Encoded


@dataclass(frozen=True)
class Behaviours:
    """Behaviours of one kind, in order of user, store, time and ordinal.

    Attributes:
        time: (n,) int64, milliseconds since 1970.
        row: (n,) int32, the item's row of the catalogue.
        action: the encoded action features (n rows).
        item: the encoded item features (n rows).
    """

    time: NDArray[np.int64]
    row: NDArray[np.int32]
    action: Encoded
    item: Encoded

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True)
class Requests:
    """Requests of a split, in order of time, user and request_id.

    Attributes:
        request_id: (r,) int64.
        time: (r,) int64, milliseconds since 1970.
        user: (r,) int64, the user ID.
        page: (r,) int64, the ID of the user's page that shows the candidates. Requests of one page share labels.
        exposures: (r, 2) int64, the range of known exposures: the row of the first one and the row after the last one.
        exposures_start: (r,) int64, the row at which the recurrence starts from zeros, at or before the first one.
        page_views: (r, 2) int64, the same for page-views.
        page_views_start: (r,) int64, the same for page-views.
        offsets: (r + 1,) int64, the index of the first candidate of each request, then the number of all candidates.
        row: (candidates,) int32, the candidates' rows of the catalogue.
        item: the candidates' encoded features at the time of the request.
        relations: the candidates' encoded relations.
        context: (r rows) the encoded context of each request.
        label: (candidates,) uint8: 1 clicked, 0 exposed without click, `NOT_EXPOSED`.
    """

    request_id: NDArray[np.int64]
    time: NDArray[np.int64]
    user: NDArray[np.int64]
    page: NDArray[np.int64]
    exposures: NDArray[np.int64]
    exposures_start: NDArray[np.int64]
    page_views: NDArray[np.int64]
    page_views_start: NDArray[np.int64]
    offsets: NDArray[np.int64]
    row: NDArray[np.int32]
    item: Encoded
    relations: Encoded
    context: Encoded
    label: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.request_id)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of candidates of each request, shape (r,)."""
        return np.diff(self.offsets)

    def known(self, kind: BehaviourKind) -> NDArray[np.int64]:
        """Return the range of known behaviours of one kind, as in `exposures`. Shape (r, 2)."""
        known: NDArray[np.int64] = getattr(self, kind.plural)
        return known

    def start(self, kind: BehaviourKind) -> NDArray[np.int64]:
        """Return the row at which the recurrence over one kind of behaviour starts, as in `exposures_start`."""
        start: NDArray[np.int64] = getattr(self, f"{kind.plural}_start")
        return start

    def counts(self) -> SplitCounts:
        return split_counts(self.user, self.page, self.label)


@dataclass(frozen=True)
class Shard:
    """The requests of a split, and the behaviours that they refer to.

    Attributes:
        exposures: item exposures (IE).
        page_views: item page-views (IPV).
        requests: the requests of the split.
    """

    exposures: Behaviours
    page_views: Behaviours
    requests: Requests

    def behaviours(self, kind: BehaviourKind) -> Behaviours:
        """Return the behaviours of one kind."""
        found: Behaviours = getattr(self, kind.plural)
        return found


def join_shards(shards: Sequence[Shard]) -> Shard:
    """Join shards into one shard with all their requests, in the order of the shards."""
    if len(shards) == 1:
        return shards[0]
    requests = [shard.requests for shard in shards]
    candidates = starts([len(part.label) for part in requests])
    ranges: dict[str, Any] = {}
    for kind in BEHAVIOUR_KINDS:
        behaviours = starts([len(shard.behaviours(kind)) for shard in shards])
        for name in (kind.plural, f"{kind.plural}_start"):
            ranges[name] = _join([getattr(part, name) for part in requests], shifts=behaviours)
    offsets = _join([part.offsets[:-1] for part in requests], shifts=candidates)
    plain: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in requests])
        for name in ("request_id", "time", "user", "page", "row", "label")
    }
    encoded: dict[str, Any] = {
        name: _join_encoded([getattr(part, name) for part in requests]) for name in ("item", "relations", "context")
    }
    return Shard(
        exposures=_join_behaviours([shard.exposures for shard in shards]),
        page_views=_join_behaviours([shard.page_views for shard in shards]),
        requests=Requests(**plain, **ranges, offsets=np.append(offsets, candidates[-1]), **encoded),
    )


def starts(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the start index of each of n parts, then the total length. Shape (n + 1,)."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _join(parts: Sequence[NDArray[np.int64]], *, shifts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([part + shift for part, shift in zip(parts, shifts, strict=False)])


def _join_behaviours(parts: Sequence[Behaviours]) -> Behaviours:
    return Behaviours(
        time=np.concatenate([part.time for part in parts]),
        row=np.concatenate([part.row for part in parts]),
        action=_join_encoded([part.action for part in parts]),
        item=_join_encoded([part.item for part in parts]),
    )


def _join_encoded(parts: Sequence[Encoded]) -> Encoded:
    return Encoded(**{field: np.concatenate([getattr(part, field) for part in parts]) for field in FIELDS})
