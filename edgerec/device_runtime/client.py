"""Client Native (section 2.2.1): what an application calls.

The calls that report behaviours record them and return. Everything else is pending work: encoding, re-ranks, pages, and
the delivery of logs. `run_pending` does it step by step, or worker threads do it after `start`.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from edgerec.core.errors import SpecificationError
from edgerec.device_runtime.callbacks import logged
from edgerec.device_runtime.client_lock import ClientLock
from edgerec.device_runtime.clock import ClientClock
from edgerec.device_runtime.cloud_work import CloudWork
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.device_work import DeviceWork
from edgerec.device_runtime.exploration import random_number
from edgerec.device_runtime.feed import Feed
from edgerec.device_runtime.mixing import FeedMixing
from edgerec.device_runtime.model_switch import ModelSwitch
from edgerec.device_runtime.open_pages import OpenPage, OpenPages
from edgerec.device_runtime.partial_values import PartialValues
from edgerec.device_runtime.pending_work import Done, PendingWork
from edgerec.device_runtime.personal.ranking import PersonalRanking
from edgerec.device_runtime.personal.training import PatchTraining
from edgerec.device_runtime.recording import Recorder, finite
from edgerec.device_runtime.reranking import Reranking
from edgerec.device_runtime.serving import ModelServing
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.triggers import Event
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from edgerec.features.spec import FeatureSpec
from edgerec.paging.transport import Transport
from edgerec.personalization.patch import Patch

FEED, SEARCH = "feed", "search"
MAX_REASON = 100
_NO_VALUES: Mapping[str, Any] = {}


def now_ms() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def new_request_id() -> int:
    """Return a random ID below 2^63."""
    return secrets.randbits(63)


class Client:
    """The client of one user: records behaviours, keeps the feed's order, and re-ranks it.

    Every method may be called from any thread.

    Args:
        store: the user's behaviours. The client does not close it.
        transport: the cloud.
        model: the device models; None for pass-through, which only records and logs.
        config: the configuration.
        clock: returns milliseconds since 1970, and is believed. A time before 1970, or from 2100 on, is ignored.
            Default: the clock of the device, which the time of the cloud corrects (`edgerec.device_runtime.clock`).
        on_order: is called with the new order when the order has changed. After `start`, a worker thread calls it.
        new_id: returns a new request ID.
        draw: returns a random number from 0 to below 1, for exploration (`ClientConfig.explore`).
        spec: in pass-through, the specification whose action columns are recorded. Default: any column is recorded.

    Attributes:
        context: values of the request by column (features of origin `request`). The application sets them.
    """

    def __init__(
        self,
        store: BehaviourStore,
        transport: Transport,
        model: DeviceModel | None,
        *,
        config: ClientConfig | None = None,
        clock: Callable[[], int] | None = None,
        on_order: Callable[[list[int]], None] | None = None,
        new_id: Callable[[], int] = new_request_id,
        draw: Callable[[], float] = random_number,
        spec: FeatureSpec | None = None,
    ) -> None:
        self._config = config = config or ClientConfig()
        cloud_time = getattr(transport, "cloud_time", None) if clock is None else None
        self._clock = clock = ClientClock(clock or now_ms, store, cloud_time)
        serving = None if model is None else ModelServing(model, store)
        self._store, self._transport, self._on_order = store, transport, on_order
        self._lock = ClientLock()
        self._reporting = threading.RLock()
        self._feed = Feed(page=config.page, kept_pages=config.kept_pages)
        self._partial, self._open = PartialValues(config.columns), OpenPages(config.page_timeout_ms)
        self._recorder = Recorder(store, serving, spec if model is None else model.spec, clock)
        self._mixing = FeedMixing(store, self._feed, config.mix, shadow=config.shadow)
        self._personal = PersonalRanking(store, enabled=config.personal)
        self._reranking = reranking = Reranking(
            store, serving, self._feed, self._mixing, self._personal, config, new_id, draw
        )
        self._training = PatchTraining(self._lock, store, self._personal, config, clock())
        self._device = DeviceWork(serving, reranking, self._recorder, self._open, config)
        self._work = PendingWork(self._lock, self._device, self._training, config, clock, self._changed)
        self._cloud = self._work.cloud = CloudWork(
            self._lock, store, transport, serving, self._feed, config, clock, self._work.rank_page, self._use
        )
        self._cloud.times_changed = self._recorder.read_times
        self._cloud.drop_surplus = self._mixing.drop_surplus
        self._version_id = None if model is None else model.version_id

    @property
    def context(self) -> dict[str, Any]:
        """Values of the request by column."""
        return self._device.context

    @property
    def version_id(self) -> str | None:
        """The model version that encodes and ranks; None in pass-through."""
        return self._version_id

    @property
    def dropped(self) -> dict[str, int]:
        """What was dropped from memory because of a bound: a number for each sort. Log rows are not among them."""
        with self._lock:
            found = (self._partial.dropped, self._open.dropped, self._device.dropped)
            return {one.what: one.count for one in found}

    @property
    def unknown_kinds(self) -> int:
        """Number of offered cards whose kind the rules of a mixed feed do not have."""
        with self._lock:
            return self._mixing.unknown

    def predictions(self) -> dict[int, float]:
        """Return the predicted click rate of each candidate of the latest plan of a mixed feed, by item ID.

        It is the rate if the user sees the card at its place. Without a plan, it is empty.
        """
        with self._lock:
            return dict(self._mixing.predictions)

    def mix_prices(self) -> dict[str, float]:
        """Return the present price of each kind of a mixed feed.

        It is empty without rules, before the first page, and if the policy of mixing is not `price`.
        """
        with self._lock:
            return self._mixing.prices(self._clock())

    @property
    def patch(self) -> Patch | None:
        """The patch that makes the model the user's own; None: the user has the shared model."""
        with self._lock:
            return self._personal.patch

    def reset_patch(self) -> None:
        """Forget the user's patch, and all that it was trained from. The shared model ranks from now on.

        Raises:
            StoreError: the store cannot be written.
        """
        with self._lock:
            self._training.reset()

    @property
    def store(self) -> BehaviourStore:
        """The user's behaviours."""
        return self._store

    def order(self) -> list[int]:
        """Return the IDs of the items to show: those that the user has seen, then the rest in the present order."""
        with self._lock:
            return self._feed.order()

    def refresh(self) -> None:
        """Ask for a new page, which replaces the whole list when it arrives."""
        with self._lock:
            self._cloud.refresh()
            self._training.note(self._clock())
            self._lock.notify_all()

    def shown(self, item_id: int) -> None:
        """Tell that an item came on the screen. It and all items before it stay where they are from now on."""
        with self._lock:
            self._feed.shown(item_id)
            self._training.note(self._clock())
            self._lock.notify_all()

    def exposed(
        self,
        item_id: int,
        values: Mapping[str, Any] = _NO_VALUES,
        *,
        page_id: int | None = None,
        served: Mapping[str, Any] | None = None,
        ordinal: int | None = None,
    ) -> None:
        """Record an exposure, which has ended. When this returns, it is safe against a killed process.

        Args:
            item_id: the item.
            values: values of the exposure by column. Those that are absent are taken from `scrolled` and `deleted`, or
                computed (`edgerec.features.behaviour_values`), or missing.
            page_id: the page that offered the item. Default: the one on which it was shown, else the latest one that
                offered it.
            served: served values, if they are not those of the page. Then the item is fetched from the cloud, and
                without `page_id` no page offered it.
            ordinal: the ordinal of the behaviour, if logs are replayed. Default: the next one.

        Raises:
            SpecificationError: a column is unknown, or a feature cannot read its value. Then nothing is recorded.
            StoreError: the store cannot be written.
        """
        with self._lock:
            place = None if served is not None and page_id is None else self._feed.find(item_id, page_id)
            partial, deleted = self._partial.of_exposure(item_id)
            at = self._recorder.time()
            complete = self._recorder.values(EXPOSURE, item_id, at, values, partial)
            seen = self._mixing.after_exposure(item_id, place, at)
            self._recorder.record(
                EXPOSURE, at, item_id, complete, place=place, served=served, ordinal=ordinal, mixing=seen
            )
            self._mixing.commit(item_id, place, seen)
            self._partial.forget_exposure(item_id)
            self._feed.exposed(item_id)
            reason = complete.get(self._config.columns.delete_reason)
            deleted = deleted or reason not in (None, "", "none")
            self._note(Event("exposed", item_id, complete, deleted=deleted))

    def scrolled(self, item_id: int, speed: float, duration_s: float) -> None:
        """Report a scroll gesture while an item is on the screen. `speed` is in screens per second.

        Raises:
            SpecificationError: a number is not finite.
        """
        with self._lock:
            self._training.note(self._clock())
            self._partial.scrolled(item_id, finite("speed", speed), finite("duration_s", duration_s))

    def deleted(self, item_id: int, reason: str | int | None) -> None:
        """Report that the user removed an item that is on the screen, and why. Then call `exposed`."""
        with self._lock:
            self._training.note(self._clock())
            self._partial.deleted(item_id, reason)
            self._feed.seen(item_id)

    def clicked(self, item_id: int, *, page_id: int | None = None) -> None:
        """Report that the user opened an item's page from the feed."""
        with self._lock:
            place, at = self._feed.find(item_id, page_id), self._recorder.time()
            if place is not None:
                self._store.record_click(place[0].page_id, item_id, at)
            self._feed.seen(item_id)
            self._open.open(item_id, OpenPage(place, at))
            self._note(Event("clicked", item_id, from_feed=place is not None))

    def acted(self, item_id: int, column: str, value: Any = 1) -> None:
        """Report an action on an item's page, which becomes a value of its page-view.

        Raises:
            SpecificationError: the specification reads no such column, or its feature cannot read the value.
        """
        with self._lock:
            self._training.note(self._clock())
            value = self._recorder.checked_value(PAGE_VIEW, column, value)
            self._partial.acted(item_id, column, value)

    def purchased(self, item_id: int) -> None:
        """Report that the user bought an item whose page is open."""
        with self._lock:
            self._partial.acted(item_id, self._config.columns.purchase, 1)

    def left_page(
        self,
        item_id: int,
        values: Mapping[str, Any] = _NO_VALUES,
        *,
        served: Mapping[str, Any] | None = None,
        ordinal: int | None = None,
    ) -> None:
        """Record a page-view, which has ended.

        Without `clicked` before it, the page was not opened from the feed, but by search. Arguments and errors are
        those of `exposed`; the values that are absent are taken from `acted` and `purchased`.
        """
        with self._lock:
            opened = self._open.of(item_id)
            place = None if opened is None else opened.place
            at = self._recorder.time()
            complete = self._recorder.values(PAGE_VIEW, item_id, at, values, self._partial.of_page_view(item_id))
            origin = SEARCH if opened is None else FEED
            self._recorder.record(
                PAGE_VIEW, at, item_id, complete, place=place, served=served, opened_from=origin, ordinal=ordinal
            )
            self._partial.forget_page_view(item_id)
            self._open.leave(item_id)
            self._note(Event("left_page", item_id, complete, from_feed=opened is not None))

    def request(self, reason: str) -> None:
        """Ask for a re-rank. `reason` is the request's trigger in the logs.

        Raises:
            SpecificationError: `reason` is not a string of 1 to 100 characters.
        """
        if not isinstance(reason, str) or not 1 <= len(reason) <= MAX_REASON:
            raise SpecificationError(
                f"`reason` should be a string of 1 to {MAX_REASON} characters; received {reason!r:.80}"
            )
        with self._lock:
            self._training.note(self._clock())
            self._device.ask(reason)
            self._lock.notify_all()

    def switch_to(self, model: DeviceModel, on_end: Callable[[str | None], None]) -> Callable[[str], None]:
        """Switch to another model version at the next page, after everything is prepared for it.

        The present version goes on until then. The encodings of the new version are made in memory, in the thread that
        talks to the cloud. The first page of the new version is the boundary: when it is here, the store gets the new
        encodings in one transaction. If anything fails before, the present version stays. A version that is being
        prepared already is given up.

        Args:
            model: the device models of the new version.
            on_end: is called once, without the client's lock: with None when the client has switched, or with the
                reason why it stays with the present version.

        Returns:
            A function that gives the switch up, with a reason. If the client has switched, it does nothing.
        """
        with self._lock:
            switch = ModelSwitch(model, self._store, self._transport, self._config, self._cloud.circuit.kind(), on_end)
            before = self._cloud.switch_to(switch)
            self._recorder.next_version = switch.add
            self._lock.notify_all()
        if before is not None:
            before.on_end("another model version is prepared now")
        return switch.give_up

    def when_unserved(self, call: Callable[[str], None]) -> None:
        """Let `call` know each time that the cloud says it does not serve the model version of this device.

        The feed then shows the cloud's order, until the cloud serves the version again or the client has switched to
        another one. `call` gets the version. A thread of the client calls it, so it should return at once. What it
        raises is only logged.
        """
        self._cloud.on_unserved = logged(call, "`when_unserved`")

    def run_pending(self) -> Done:
        """Do all work that is due, in the calling thread, and return what was done.

        Do not call it after `start`.
        """
        return self._work.run()

    def start(self) -> None:
        """Start worker threads: one encodes and re-ranks, one talks to the cloud, and with patches, one trains them.

        So a slow network never delays a re-rank, and neither does a training.
        """
        self._work.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the worker threads have done everything that is due now. Return whether they have."""
        return self._work.wait(timeout_s)

    def close(self, *, send: bool = True) -> None:
        """Stop the worker threads, end the pages, and deliver the log rows if the cloud answers.

        Rows that were not delivered stay in the store. The next client of the store delivers them.
        """
        self._work.close(send=send)

    def _use(self, serving: ModelServing | None) -> None:
        """Use another model from now on; None: stay with the present one. The lock is held."""
        self._recorder.next_version = None
        if serving is None:
            return
        self._version_id = serving.model.version_id
        self._recorder.use(serving, serving.model.spec)
        self._reranking.use(serving)
        self._training.use()
        self._device.use(serving)

    def _note(self, event: Event) -> None:
        """Let the triggers see an event, and wake the worker threads."""
        self._device.note(event)
        self._training.note(self._clock())
        self._cloud.logs.note_rows()
        self._lock.notify_all()

    def _changed(self) -> None:
        if self._on_order is not None:
            # One call at a time. Otherwise an older order could arrive after a newer one.
            with self._reporting:
                self._on_order(self.order())
