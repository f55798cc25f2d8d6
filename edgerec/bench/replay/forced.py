"""The forced mode: the logged exposures in the logged order, and a re-rank at each logged request.

The client runs in shadow mode, so its order stays that of the logs. Its clock shows the logged times, and its own
triggers are off. Everything else is what an application does: the same calls, the same store, the same server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from edgerec.bench.replay.logged_pages import LoggedPage, LoggedPages
from edgerec.bench.replay.spans import Spans
from edgerec.bench.replay.timed import time_behaviour
from edgerec.bench.replay.timeline import LoggedBehaviour, LoggedRequest, Timeline
from edgerec.core.errors import ParityError, TransportError
from edgerec.data.schema import MAX_TIME_MS
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.pending_work import Done
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import EXPOSURE
from edgerec.paging.items import ItemBatch
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.page import Page, PageRequest
from edgerec.paging.transport import Transport

CONFIG = ClientConfig(triggers=(), shadow=True, kept_pages=1_000_000, send_interval_ms=MAX_TIME_MS)


class LoggedPageTransport:
    """A transport that answers with logged pages. Items, their embeddings and log rows go over `cloud`.

    Attributes:
        next: the request whose list is the next page.
    """

    def __init__(self, cloud: Transport) -> None:
        self._cloud = cloud
        self.next: LoggedRequest | None = None

    def page(self, request: PageRequest) -> Page:
        """Return the list of `next`, with the items of the cloud and the served values of the logs."""
        if self.next is None:
            raise TransportError("replay: no page is expected now")
        logged = self.next
        items = self.items(request.version_id, logged.item_ids)
        columns = {**items.columns, **logged.served}
        batch = ItemBatch(items.version_id, items.item_id, columns, items.embeddings)
        return Page(logged.page_id, logged.time, batch, tuple(logged.served), logged.context, complete=True)

    def items(self, version_id: str | None, item_ids: Sequence[int]) -> ItemBatch:
        return self._cloud.items(version_id, item_ids)

    def send(self, batch: LogBatch) -> None:
        self._cloud.send(batch)


class ForcedPlayer:
    """Plays the timeline of one store through a client of its own.

    Args:
        timeline: what the logs say.
        store: an empty store of the user.
        cloud: the transport to the server.
        model: the device models; None for pass-through.
        spans: collects durations.
    """

    def __init__(
        self, timeline: Timeline, store: BehaviourStore, cloud: Transport, model: DeviceModel | None, spans: Spans
    ) -> None:
        self._timeline, self._spans = timeline, spans
        self._transport = LoggedPageTransport(cloud)
        self._pages = LoggedPages()
        self._opened: dict[int, LoggedPage] = {}
        self._now = 0
        self._request_id = 0
        self._client = Client(
            store,
            self._transport,
            model,
            config=CONFIG,
            clock=lambda: self._now,
            new_id=lambda: self._request_id,
        )

    def play(self) -> Iterator[None]:
        """Play all steps, and yield after each request. At the end, the log rows are delivered.

        Raises:
            ParityError: the client has other candidates than the logs, or the delivery of rows failed.
        """
        for step in self._timeline.steps:
            self._now = step.time
            if isinstance(step, LoggedRequest):
                self._request(step)
                yield
            else:
                self._behaviour(step)
        self._client.close()

    def _request(self, request: LoggedRequest) -> None:
        self._request_id = request.request_id
        self._client.context.clear()
        self._client.context.update(request.context)
        page = self._pages.latest
        if page is None or page.opening.page_id != request.page_id or self._changed(page, request):
            self._pages.open(request)
            self._transport.next = request
            self._client.refresh()
        else:
            self._client.request(request.trigger)
        done = self._client.run_pending()
        self._check(done)
        if len(done.requests) != 1:
            raise ParityError(
                f"replay: request {request.request_id} should lead to one re-rank; it led to {len(done.requests)}"
            )

    def _changed(self, page: LoggedPage, request: LoggedRequest) -> bool:
        """Return whether the request lists other items or values than the client has at this moment."""
        opening = page.opening
        rest = [row for row, item_id in enumerate(opening.item_ids) if item_id not in page.exposed]
        if tuple(opening.item_ids[row] for row in rest) != request.item_ids:
            return True
        return any([values[row] for row in rest] != request.served[name] for name, values in opening.served.items())

    def _behaviour(self, behaviour: LoggedBehaviour) -> None:
        record = self._exposure(behaviour) if behaviour.kind is EXPOSURE else self._page_view(behaviour)
        self._check(time_behaviour(self._client, record, self._spans))

    def _exposure(self, exposure: LoggedBehaviour) -> Callable[[], None]:
        """Return the call that records an exposure. A click on the item is reported before."""
        record = partial(self._client.exposed, exposure.item_id, exposure.action, ordinal=exposure.ordinal)
        page = self._pages.page_of(exposure)
        if page is None:
            return partial(record, served=exposure.served)
        page_id = page.opening.page_id
        if page.clicked(exposure.item_id):
            self._client.clicked(exposure.item_id, page_id=page_id)
            self._opened[exposure.item_id] = page
        same = page.served(exposure.item_id) == exposure.served
        return partial(record, page_id=page_id, served=None if same else exposure.served)

    def _page_view(self, view: LoggedBehaviour) -> Callable[[], None]:
        """Return the call that records a page-view.

        The client takes the served values from the page on which the item was clicked. If the logs have others, the
        page was opened in another way.
        """
        page = self._opened.pop(view.item_id, None)
        same = page is not None and page.served(view.item_id) == view.served
        served = None if same else view.served
        return partial(self._client.left_page, view.item_id, view.action, served=served, ordinal=view.ordinal)

    def _check(self, done: Done) -> None:
        if done.errors:
            raise ParityError(f"replay: {done.errors[0]}")


def play_forced(
    timeline: Timeline, store: BehaviourStore, cloud: Transport, model: DeviceModel | None, spans: Spans
) -> Iterator[None]:
    """Play the timeline of one store through a client, and yield after each request. See `ForcedPlayer`."""
    yield from ForcedPlayer(timeline, store, cloud, model, spans).play()
