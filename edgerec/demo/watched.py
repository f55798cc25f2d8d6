"""A behaviour store and a ranker that keep what the latest re-rank was, so that the page can show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.matches import Ids
from edgerec.device_runtime.ranker import Array, DeviceRanker, Scored
from edgerec.device_runtime.reranking import REORDERED
from edgerec.device_runtime.scoring import RankArguments
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.rows import StoredRequest
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW

MIXED = "mixed"


class WatchedRanker(DeviceRanker):
    """A ranker that keeps the arguments of its latest run.

    Attributes:
        latest: the arguments; None before the first run.
    """

    latest: RankArguments | None = None

    def score_cards(
        self,
        candidates: Array,
        exposures: Encodings | None = None,
        page_views: Encodings | None = None,
        *,
        ids: Ids | None = None,
    ) -> Scored:
        """Return the scores. See `DeviceRanker.score_cards`."""
        scored = super().score_cards(candidates, exposures, page_views, ids=ids)
        given = {EXPOSURE: exposures, PAGE_VIEW: page_views}
        self.latest = RankArguments(candidates, {kind: one for kind, one in given.items() if one is not None}, ids)
        return scored


@dataclass(frozen=True)
class Rerank:
    """A re-rank that gave a new order.

    Attributes:
        number: how many there were, this one included.
        request: the request as it is logged, with the order and the duration.
        arguments: what the ranker read.
    """

    number: int
    request: StoredRequest
    arguments: RankArguments

    @property
    def moved(self) -> int:
        """Number of candidates that have another position than before."""
        return sum(place != position for place, position in enumerate(self.request.positions or ()))


class WatchedStore(BehaviourStore):
    """A behaviour store that keeps the latest re-rank.

    Args:
        ranker: the ranker of the store's client; None without a model.
        arguments: those of `BehaviourStore`.

    Attributes:
        rerank: the latest re-rank that gave an order; None before the first one.
        durations: the duration of each of them in milliseconds, oldest first.
    """

    def __init__(self, *arguments: Any, ranker: WatchedRanker | None, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._ranker = ranker
        self.rerank: Rerank | None = None
        self.durations: list[float] = []

    def record_request(self, request: StoredRequest) -> None:
        """Record a request. See `BehaviourStore.record_request`."""
        super().record_request(request)
        arguments = None if self._ranker is None else self._ranker.latest
        if arguments is not None and request.duration_ms is not None and request.outcome.startswith((REORDERED, MIXED)):
            number = 1 if self.rerank is None else self.rerank.number + 1
            self.durations = [*self.durations[-999:], request.duration_ms]
            self.rerank = Rerank(number, request, arguments)
