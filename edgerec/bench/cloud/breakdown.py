"""Where the time of a page goes: the parts of its answer in this process, without HTTP."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.bench.cloud.workload import Workload
from edgerec.cloud.co_visitation import CoVisitation
from edgerec.cloud.messages import PageBody
from edgerec.cloud.service import FeedService
from edgerec.cloud.start import open_service
from edgerec.paging.codec import encode_page

PAGES, REPEATS = 200, 7
PARSE, RECALL, ROWS, VALUES, ENCODE = (
    "parse the request",
    "recall",
    "embedding rows",
    "values of the catalogue and of the page",
    "encode the page",
)
_NOW = 1_700_000_000_000


class _TimedRecall:
    """The default recall. It notes how long the last request took, in seconds."""

    def __init__(self, item_ids: NDArray[np.int64]) -> None:
        self._recall = CoVisitation(item_ids)
        self.seconds = 0.0

    def candidates(
        self, user_id: int, count: int, exclude: Collection[int], time: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        found: tuple[NDArray[np.int64], NDArray[np.float64]]
        self.seconds, found = _timed(lambda: self._recall.candidates(user_id, count, exclude, time))
        return found

    def learn(self, events: pl.DataFrame) -> None:
        self._recall.learn(events)


def page_parts(workload: Workload, *, count: int, pages: int = PAGES) -> dict[str, float]:
    """Return the mean time of each part of a page in microseconds, in the order in which they run.

    Each page is made several times, and the shortest time of each part counts: other processes only make it longer.

    Args:
        workload: what is served.
        count: number of items of a page.
        pages: number of pages.
    """
    recalls: list[_TimedRecall] = []

    def recall(item_ids: NDArray[np.int64]) -> _TimedRecall:
        recalls.append(_TimedRecall(item_ids))
        return recalls[0]

    service = open_service(workload.catalogue, [workload.bundle], recall=recall)
    rng, users = random.Random(1), workload.users.tolist()
    total: dict[str, float] = {}
    for _ in range(pages):
        body = PageBody(
            user_id=rng.choice(users), store_id=1, version_id=workload.version_id, count=count, time=_NOW
        ).model_dump_json()
        runs = [_once(service, recalls[0], body.encode()) for _ in range(REPEATS)]
        for name in runs[0]:
            total[name] = total.get(name, 0.0) + min(run[name] for run in runs)
    total[VALUES] -= total[RECALL] + total[ROWS]
    return {name: round(seconds / pages * 1e6, 1) for name, seconds in total.items()}


def _once(service: FeedService, recall: _TimedRecall, body: bytes) -> dict[str, float]:
    """Make one page. Return the seconds of each part. Those of `VALUES` contain recall and embedding rows."""
    parsing, request = _timed(lambda: PageBody.model_validate_json(body).request())
    making, page = _timed(lambda: service.page(request))
    encoding, _ = _timed(lambda: encode_page(page))
    tables = service.versions.get(request.version_id).tables
    keys = {name: column.keys for name, column in page.items.embeddings.items()}
    rows = _timed(lambda: tables.get_many(keys))[0] if tables is not None else 0.0
    return {PARSE: parsing, RECALL: recall.seconds, VALUES: making, ROWS: rows, ENCODE: encoding}


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    made = work()
    return time.perf_counter() - start, made
