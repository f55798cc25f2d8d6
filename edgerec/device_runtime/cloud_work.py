"""Pending work with the cloud: pages, items that are not here yet, other model versions, and old rows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from edgerec.core.errors import (
    AnswerError,
    BusyError,
    EdgeRecError,
    RefusedError,
    SessionError,
    TransportError,
    UnservedVersionError,
    first_line,
)
from edgerec.device_runtime.backoff import Backoff, asked_ms
from edgerec.device_runtime.circuit import Circuit
from edgerec.device_runtime.clock import ClientClock, due_time
from edgerec.device_runtime.cloud_done import CloudDone
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.feed import Feed
from edgerec.device_runtime.log_delivery import LogDelivery
from edgerec.device_runtime.model_switch import ModelSwitch, NewPage
from edgerec.device_runtime.offered_page import OfferedPage, offered
from edgerec.device_runtime.prepared_items import PreparedItems
from edgerec.device_runtime.serving import ModelServing
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.paging.items import ItemBatch
from edgerec.paging.page import Page, PageRequest
from edgerec.paging.transport import Transport

ITEMS_AT_ONCE = 100


@dataclass(frozen=True)
class _Arrived:
    """A page that arrived. `switched` says whether it is the first page of another model version."""

    page: Page
    prepared: PreparedItems | None
    fault: str | None
    unseen: OfferedPage | None = None
    switched: bool = False


class CloudWork:
    """Talks to the cloud. It holds the client's lock while it changes something, but not while it waits for an answer.

    Args:
        lock: the client's lock.
        store: the user's behaviours and log rows.
        transport: the cloud.
        serving: Model Serving; None in pass-through.
        feed: the present list.
        config: the configuration of the client.
        clock: the clock of the client.
        arrived: is called with the lock held when a page is in the feed, with the time of the page's first request.
        use: is called with the lock held when a switch to another model version ends: with Model Serving of the new
            version, or with None if the present one goes on.

    Attributes:
        circuit: the waiting times of all requests of this client.
        logs: the delivery of log rows.
        times_changed: is called with the lock held when times in the store were set back. The client sets it.
        drop_surplus: is called with the lock held before a page is asked for, with the number of items that the device
            holds; it may drop items that are not shown. The client sets it.
        switch: the model version that is being prepared; None if there is none.
        on_unserved: is called without the lock with the version that the cloud does not serve, each time it says so.
    """

    def __init__(
        self,
        lock: threading.Condition,
        store: BehaviourStore,
        transport: Transport,
        serving: ModelServing | None,
        feed: Feed,
        config: ClientConfig,
        clock: ClientClock,
        arrived: Callable[[int], None],
        use: Callable[[ModelServing | None], None],
    ) -> None:
        self._lock, self._store, self._transport, self._serving = lock, store, transport, serving
        self._feed, self._config, self._clock, self._arrived = feed, config, clock, arrived
        self._use = use
        self.circuit = Circuit(config.retry_first_ms, config.retry_most_ms)
        self._pages, self._items = self.circuit.kind(), self.circuit.kind()
        self.logs = LogDelivery(lock, store, transport, self.circuit.kind(), config, clock, self._set_back)
        self._unserved = Backoff(config.retry_first_ms, config.retry_most_ms)
        self._lacks = "does not serve"
        self.times_changed: Callable[[], None] = lambda: None
        self.drop_surplus: Callable[[int], None] = lambda places: None
        self.switch: ModelSwitch | None = None
        self.on_unserved: Callable[[str], None] | None = None
        self._failed_items = 0
        self._new_feed = False
        self._prune_due = clock() + config.prune_interval_ms

    @property
    def _version_id(self) -> str | None:
        return None if self._serving is None else self._serving.model.version_id

    def refresh(self) -> None:
        """Ask for a page that starts the feed anew."""
        self._new_feed = True
        self._pages.hurry()

    def due(self) -> int:
        """Return the time of the next work in milliseconds since 1970. The lock is held."""
        now = self._clock()
        times = [self._prune_time(now)]
        if self._wants_page():
            times.append(self._pages.due(now))
        if self._serving is not None and self._serving.unknown_items(1):
            times.append(max(self._items.due(now), self._unserved.due(now)))
        if self.switch is not None and (due := self.switch.due(now)) is not None:
            times.append(due)
        if (due := self.logs.due(now)) is not None:
            times.append(due)
        return min(times)

    def _prune_time(self, now: int) -> int:
        return due_time(self._prune_due, now, self._config.prune_interval_ms)

    def run(self, done: CloudDone) -> None:
        """Do what is due."""
        self.fetch_items(done)
        self._fetch_page(done)
        self._set_back()
        self.logs.send_if_due(done)
        now = self._clock()
        if now >= self._prune_time(now):
            self.prune(done)
        self._prepare_switch(done)

    def fetch_items(self, done: CloudDone) -> None:
        """Fetch the items of behaviours that have none. After a failure, fetch one item at a time, each in turn.

        If the cloud refuses an item, because it does not have it any more, the item's behaviours are left out.
        """
        serving, now = self._serving, self._clock()
        if serving is None or not self._items.ready(now) or not self._unserved.ready(now):
            return
        with self._lock:
            unknown = serving.unknown_items(ITEMS_AT_ONCE)
        if not unknown:
            return
        if self._failed_items:
            first = self._failed_items % len(unknown)
            unknown = unknown[first : first + 1]
        batch = None
        try:
            batch = self._transport.items(self._version_id, unknown)
            if batch.item_id.tolist() != unknown:
                raise AnswerError("the cloud sent other items than the device asked for")
            self._items.answered()
            with self._lock:
                serving.supply(batch)
        except UnservedVersionError as error:
            self._note_unserved(now, error, done)
            return
        except EdgeRecError as error:
            if isinstance(error, RefusedError) and len(unknown) == 1:
                with self._lock:
                    count = serving.leave_out(unknown[0])
                self._failed_items = 0
                self._items.succeeded()
                reason = first_line(error)
                done.errors.append(f"{count} behaviours are left out, because their item is refused: {reason}")
                return
            self._failed_items += 1
            self._items.failed(now, error if batch is None else AnswerError(str(error)))
            done.errors.append(f"items of behaviours cannot be fetched: {first_line(error)}")
            return
        self._failed_items = 0
        self._items.succeeded()
        done.items += len(batch)

    def _fetch_page(self, done: CloudDone) -> None:
        now = self._clock()
        with self._lock:
            if not self._wants_page() or not self._pages.ready(now):
                return
            new_feed, self._new_feed = self._new_feed, False
            self.drop_surplus(self._config.fetch)
            unseen = None if new_feed else self._feed.unseen()
        try:
            arrived = self._ask(unseen, now, done)
        except BaseException as error:
            with self._lock:
                self._pages.failed(now, error)
                self._new_feed = self._new_feed or new_feed
                if not isinstance(error, TransportError):
                    raise
                before = self._feed.order()
                self._feed.show_all()
                done.changed |= self._feed.order() != before
            done.errors.append(f"no page: {first_line(error)}")
            return
        with self._lock:
            self._pages.succeeded()
            time = self._store.request_time(self._clock())
            offer = offered(arrived.page, time, arrived.prepared, arrived.fault)
            complete = arrived.page.complete or not offer.item_ids
            if new_feed:
                self._show(self._feed.begin(offer, complete=complete), time, done)
            elif arrived.switched:
                # Also without new items. The unseen ones belong to the latest page, which the model can read.
                ended = self._feed.extend_anew(offer, complete=complete, unseen=arrived.unseen)
                self._show(ended, time, done)
            elif self._feed.new_rows(offer):
                self._show(self._feed.extend(offer, complete=complete), time, done)
            else:
                self._feed.show_all(complete=True)
        done.pages += 1
        done.changed = True

    def _show(self, ended: list[OfferedPage], time: int, done: CloudDone) -> None:
        """Rank a page that is in the feed, and end the pages that are not kept any more. The lock is held."""
        self._arrived(time)
        self._end(ended, done)

    def _ask(self, unseen: OfferedPage | None, now: int, done: CloudDone) -> _Arrived:
        """Ask for a page. If another model version is prepared, it is the first page of this version.

        Raises:
            TransportError: the cloud does not answer.
        """
        held = () if unseen is None else tuple(unseen.item_ids)
        count = max(self._config.fetch - len(held), self._config.page)
        request = PageRequest(self._store.user_id, self._store.store_id, self._version_id, count, held, now)
        switch = self.switch
        if switch is not None and switch.may_ask(now):
            try:
                return self._switched(switch, switch.ask(request, unseen, now), now)
            except Exception as error:  # Whatever fails, the present version goes on.
                fault = error
            if isinstance(fault, UnservedVersionError) or not isinstance(fault, TransportError):
                self._end_switch(switch, first_line(fault))
            elif isinstance(fault, (AnswerError, RefusedError)) or _is_overloaded(fault):
                done.errors.append(f"no page for the new model version: {first_line(fault)}")
            else:
                raise fault  # The cloud cannot be reached.
        if switch is not None:
            switch.asked_otherwise()
        if self._unserved.ready(now) or self._serving is None:
            try:
                page = self._transport.page(request)
                self._unserved.succeeded()
                return _Arrived(page, *self._prepare(page.items))
            except UnservedVersionError as error:
                if self._serving is None:
                    raise
                self._note_unserved(now, error, done)
            except BusyError as error:
                # The cloud's order needs no embeddings. So it may be there when the vectors of the version are not.
                if self._serving is None or not _is_overloaded(error):
                    raise
                self._note_unserved(now, error, done)
        # The cloud's order is better than none.
        page = self._transport.page(replace(request, version_id=None))
        return _Arrived(page, None, f"the cloud {self._lacks} the model version {self._version_id}")

    def _note_unserved(self, now: int, error: UnservedVersionError | BusyError, done: CloudDone) -> None:
        """Note that the cloud does not serve the present version now. Until the next try, pages come without it."""
        self._unserved.failed(now, asked_ms=asked_ms(error))
        done.errors.append(f"the cloud's order is shown: {first_line(error)}")
        if not isinstance(error, UnservedVersionError):
            self._lacks = "now sends no vectors of"
            return
        self._lacks = "does not serve"
        if self.on_unserved is not None and self._version_id is not None:
            self.on_unserved(self._version_id)

    def switch_to(self, switch: ModelSwitch | None) -> ModelSwitch | None:
        """Prepare this version from now on. Return the one that was being prepared. The lock is held."""
        before, self.switch = self.switch, switch
        return before

    def _prepare_switch(self, done: CloudDone) -> None:
        """Do a step of the preparation of another model version."""
        with self._lock:
            switch, now = self.switch, self._clock()
            if switch is None or (due := switch.due(now)) is None or due > now:
                return
            switch.take()
        try:
            done.errors += switch.step(now)
        except Exception as error:  # Whatever fails, the present version goes on.
            self._end_switch(switch, first_line(error))

    def _switched(self, switch: ModelSwitch, new: NewPage, now: int) -> _Arrived:
        """Switch to the version that sent this page.

        Raises:
            EdgeRecError: the new version cannot be used.
        """

        def take() -> None:
            with self._lock:
                switch.take()

        switch.catch_up(take, now)
        switch.prove(new, now)
        with self._lock:
            if self.switch is not switch:
                raise SessionError("another model version is prepared now")
            self._serving = switch.commit()
            self.switch = None
            self._failed_items = 0
            self._items.succeeded()
            self._unserved.succeeded()
            self._use(self._serving)
        switch.on_end(None)
        return _Arrived(new.page, new.prepared, None, unseen=new.unseen, switched=True)

    def _end_switch(self, switch: ModelSwitch, reason: str) -> None:
        """Give up a version that was being prepared. The present one goes on."""
        with self._lock:
            if self.switch is not switch:
                return  # it was replaced, and its `on_end` was called
            self.switch = None
            self._store.keep_for(None)
            self._use(None)
        switch.on_end(reason)

    def _set_back(self) -> None:
        """Set times in the store back if they are after the time of the cloud."""
        if not self._clock.is_set_back():
            return
        with self._lock:
            now = self._clock.cloud_time()
            if now is None or not self._store.set_back(now):
                return
            if self._serving is not None:
                self._serving.reload()
            self.times_changed()
        if self.switch is not None:  # It has read the times of before.
            self._end_switch(self.switch, "the times in the store were set back")

    def prune(self, done: CloudDone) -> None:
        """Apply the store's retention."""
        self._prune_due = self._clock() + self._config.prune_interval_ms
        try:
            self._store.prune(self._clock(), by_age=self._clock.is_trusted)
        except EdgeRecError as error:
            done.errors.append(f"old rows cannot be deleted: {first_line(error)}")

    def end_pages(self, done: CloudDone) -> None:
        """End all pages, so that their requests get labels and can be sent. The feed is empty afterwards."""
        with self._lock:
            self._end(self._feed.drop_pages(), done)

    def _end(self, pages: list[OfferedPage], done: CloudDone) -> None:
        for page in pages:
            try:
                self._store.end_page(page.page_id)
            except EdgeRecError as error:
                done.errors.append(f"a page cannot be ended: {first_line(error)}")
            self.logs.note_rows()

    def _wants_page(self) -> bool:
        feed = self._feed
        return self._new_feed or (
            feed.latest is not None and not feed.complete and feed.remaining <= self._config.prefetch
        )

    def _prepare(self, items: ItemBatch) -> tuple[PreparedItems | None, str | None]:
        """Return what the model reads of the items of a page, or None, and why the model cannot read them, or None."""
        if self._serving is None:
            return None, None
        try:
            return self._serving.items.prepare(items), None
        except EdgeRecError as error:
            return None, f"the model cannot read the page: {first_line(error)}"


def _is_overloaded(error: BaseException) -> bool:
    """Return whether the cloud cannot give this answer now (503). The device has not asked too often."""
    return isinstance(error, BusyError) and not error.limited
