"""Time the parts of a re-rank and of a behaviour: the methods of a store and of device models."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from edgerec.bench.replay.spans import MS, Spans
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.pending_work import Done
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.rows import StoredRequest
from edgerec.paging.items import ItemBatch
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.page import Page, PageRequest
from edgerec.paging.transport import Transport

STORE_RECORD, STORE_ENCODING, STORE_REQUEST = "store: record", "store: encoding", "store: request"
CLOUD_PAGE, CLOUD_ITEMS, CLOUD_LOGS = "cloud: page", "cloud: items", "cloud: logs"
RECORD = "record"
"""From the call of the client until the behaviour is durable."""
BEHAVIOUR = "behaviour"
"""From the call of the client until the behaviour is encoded."""
RERANK = "re-rank"
"""From the trigger until the new order is there and the request is recorded."""
STEP, VECTORS, RANK = "model: step", "model: candidate vectors", "model: rank"


def time_store(store: BehaviourStore, spans: Spans) -> None:
    """Time the transactions of `store` from now on."""
    _time(store, "record", STORE_RECORD, spans)
    _time(store, "write_encoding", STORE_ENCODING, spans)
    plain = store.record_request

    def record_request(request: StoredRequest) -> None:
        start = time.perf_counter_ns()
        plain(request)
        duration = time.perf_counter_ns() - start
        spans.add(STORE_REQUEST, duration)
        spans.add(RERANK, duration + round((request.duration_ms or 0.0) * MS))

    setattr(store, "record_request", record_request)  # noqa: B010


def time_behaviour(client: Client, record: Callable[[], None], spans: Spans) -> Done:
    """Record a behaviour with `record`, let `client` do what is pending, and measure both."""
    start = time.perf_counter_ns()
    record()
    recorded = time.perf_counter_ns()
    done = client.run_pending()
    encoded = time.perf_counter_ns()
    spans.add(RECORD, recorded - start)
    # A behaviour that leads to a re-rank, or whose item the cloud has to send first, has other times in it.
    if done.encoded == 1 and not (done.items or done.sent or done.pages or done.requests):
        spans.add(BEHAVIOUR, encoded - start)
    return done


class TimedTransport:
    """A transport that times each call of another one."""

    def __init__(self, plain: Transport, spans: Spans) -> None:
        self._plain, self._spans = plain, spans

    def page(self, request: PageRequest) -> Page:
        with self._spans.measure(CLOUD_PAGE):
            return self._plain.page(request)

    def items(self, version_id: str | None, item_ids: Sequence[int]) -> ItemBatch:
        with self._spans.measure(CLOUD_ITEMS):
            return self._plain.items(version_id, item_ids)

    def send(self, batch: LogBatch) -> None:
        with self._spans.measure(CLOUD_LOGS):
            self._plain.send(batch)


def time_model(model: DeviceModel, spans: Spans) -> None:
    """Time the steps of `model`, its candidate vectors and its rankings from now on."""
    for stepper in model.steppers.values():
        _time(stepper, "step", STEP, spans)
    _time(model.candidates, "vectors", VECTORS, spans)
    _time(model.ranker, "score", RANK, spans)


def _time(owner: Any, method: str, name: str, spans: Spans) -> None:
    """Replace a method of one object by itself with a clock around it."""
    plain = getattr(owner, method)

    @wraps(plain)
    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter_ns()
        result = plain(*arguments, **named)
        spans.add(name, time.perf_counter_ns() - start)
        return result

    setattr(owner, method, timed)
