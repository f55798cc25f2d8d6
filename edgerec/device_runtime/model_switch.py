"""The change to another model version while a client runs.

The encodings of the new version are made in memory from the raw history, in small steps, while the present version goes
on. Behaviours that are recorded meanwhile get into both. When all of them are encoded, the next page is asked for with
the new version. When this page is here and the new version has scored it, the switch is committed: in one transaction,
the store gets the new encodings (`BehaviourStore.adopt`).

The work with the cloud calls all methods, in one thread. So re-ranks never wait for a step. Only `add` and `take` need
the client's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgerec.core.errors import (
    AnswerError,
    EdgeRecError,
    RefusedError,
    SessionError,
    SpecificationError,
    TransportError,
    UnservedVersionError,
    first_line,
)
from edgerec.device_runtime.backoff import Backoff
from edgerec.device_runtime.callbacks import logged
from edgerec.device_runtime.circuit import RequestKind
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.offered_page import OfferedPage
from edgerec.device_runtime.prepared_items import PreparedItems
from edgerec.device_runtime.rebuilt_encodings import RebuiltEncodings
from edgerec.device_runtime.scoring import kinds_read
from edgerec.device_runtime.serving import ModelServing
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.rows import Behaviour
from edgerec.paging.items import ItemBatch
from edgerec.paging.page import Page, PageRequest
from edgerec.paging.transport import Transport

STEP = 16
"""Number of behaviours that one step encodes. Pages and log rows wait for a step."""
ITEMS_AT_ONCE = 100
CATCH_UP = 3
"""How often the switch fetches the items of behaviours that were recorded while the page was on its way."""


@dataclass(frozen=True)
class NewPage:
    """The first page of the new version.

    Attributes:
        page: the page.
        prepared: what the new version reads of its items.
        unseen: the unseen items of the list, as the new version reads them; None if it cannot read them.
    """

    page: Page
    prepared: PreparedItems
    unseen: OfferedPage | None


class ModelSwitch:
    """Prepares a model version, and asks for its first page.

    Args:
        model: the device models of the new version.
        store: the user's behaviours.
        transport: the cloud.
        config: the configuration of the client.
        items: the waiting times of requests for items.
        on_end: is called once without the lock, with None when the client has switched, or with the reason why not.
            What it raises is only logged.

    Attributes:
        model: the device models of the new version.
        left_out: number of behaviours that the new version cannot read.
    """

    def __init__(
        self,
        model: DeviceModel,
        store: BehaviourStore,
        transport: Transport,
        config: ClientConfig,
        items: RequestKind,
        on_end: Callable[[str | None], None],
    ) -> None:
        self.model, self._store, self._transport = model, store, transport
        self.on_end = logged(on_end, "`on_end`")
        self._given_up: str | None = None
        self._memory = RebuiltEncodings(store, model.version_id, model.limits, kinds_read(model))
        store.keep_for(model.limits)
        self._serving: ModelServing | None = None
        self._recorded: list[tuple[int, Behaviour]] = []
        self._new: list[tuple[int, Behaviour]] = []
        self._items, self._pages = items, Backoff(config.retry_first_ms, config.retry_most_ms)
        self._one_at_a_time = False
        self._asked = False
        self.left_out = 0

    def add(self, ordinal: int, behaviour: Behaviour) -> None:
        """Take a behaviour that was just recorded. The lock is held."""
        self._recorded.append((ordinal, behaviour))

    def take(self) -> None:
        """Take over the behaviours that `add` got. The lock is held."""
        self._new += self._recorded
        self._recorded = []

    @property
    def serving(self) -> ModelServing:
        """Model Serving of the new version.

        Raises:
            SessionError: the history was not read yet.
        """
        if self._serving is None:
            raise SessionError(f"model version {self.model.version_id} is not prepared yet: call `step` until it is")
        return self._serving

    def give_up(self, reason: str) -> None:
        """Do not switch to this version. The next step or page ends it. If the switch is over, nothing happens."""
        self._given_up = reason

    def _check_wanted(self) -> None:
        if self._given_up is not None:
            raise SessionError(self._given_up)

    def due(self, now: int) -> int | None:
        """Return the time of the next step in milliseconds since 1970; None if all is prepared."""
        if self._given_up is not None or self._serving is None or self._recorded or self._new or self._serving.has_work:
            return now
        return self._items.due(now) if self._serving.unknown_items(1) else None

    def may_ask(self, now: int) -> bool:
        """Return whether the next page can be asked for with the new version.

        The history is encoded then. A few behaviours may be left: a page is often asked for because an item was seen
        just now. `catch_up` encodes them.

        After a failure, one page is asked for with the present version first. So a fault of the new version alone does
        not leave the user without pages.
        """
        if self._given_up is not None or self._serving is None or self._asked or not self._pages.ready(now):
            return False
        return self._serving.waiting + len(self._new) + len(self._recorded) <= STEP

    def asked_otherwise(self) -> None:
        """Note that a page was asked for with the present version."""
        self._asked = False

    def step(self, now: int) -> list[str]:
        """Do a bounded part of the work. Return what failed and is tried again.

        Raises:
            EdgeRecError: the new version cannot be prepared, or it was given up.
        """
        self._check_wanted()
        if self._serving is None:
            if not self._memory.read_some():
                self._serving = ModelServing(self.model, self._memory)
            return []
        self._add_new()
        faults = self._fetch_items(now) if self._items.ready(now) else []
        self._encode(STEP)
        return faults

    def ask(self, request: PageRequest, unseen: OfferedPage | None, now: int) -> NewPage:
        """Ask for a page with the new version.

        Args:
            request: the request of the present version. `held` are the items of `unseen`.
            unseen: the unseen items of the list; None if the page replaces the list.
            now: the time in milliseconds since 1970.

        Raises:
            TransportError: the cloud does not answer. The next page can be asked for with the present version.
            EdgeRecError: the new version cannot read the page.
        """
        self._asked = True
        try:
            renewed = None if unseen is None else self._renewed(unseen)
            held = () if renewed is None else request.held
            page = self._transport.page(replace(request, version_id=self.model.version_id, held=held))
        except TransportError:
            self._pages.failed(now)
            raise
        return NewPage(page, self.serving.items.prepare(page.items), renewed)

    def catch_up(self, take: Callable[[], None], now: int) -> None:
        """Encode what was recorded while the page was on its way. `take` calls the method `take` with the lock held."""
        for _ in range(CATCH_UP):
            take()
            self._add_new()
            faults = self._fetch_items(now)
            self._encode(None)
            if faults:
                return
            if not self._recorded and self.serving.blocked() is None:
                return

    def prove(self, new: NewPage, now: int) -> None:
        """Score the candidates of the first page once. A model that cannot do it does not become the present one.

        Raises:
            AnswerError: items of behaviours are not here yet, so nothing can be scored. Try again later.
            EdgeRecError: the model cannot score them.
        """
        blocked = self.serving.blocked()
        if blocked is not None:
            self._pages.failed(now)
            raise AnswerError(f"the new model version is not ready: {blocked}")
        unseen = None if new.unseen is None else new.unseen.prepared
        items = new.prepared if unseen is None else unseen.append(new.prepared)
        rows = range(min(len(items), self.model.ranker.limit))
        if rows:
            context = {name: new.page.context.get(name) for name in self.model.candidates.context_columns}
            time = max(now, self._store.last_time + 1)
            self.serving.score(items.take(rows), context=context, time=time)

    def commit(self) -> ModelServing:
        """Put the new encodings into the store, and return Model Serving of the new version. The lock is held.

        Raises:
            StoreError: the store cannot be written. Then the present version goes on.
            SessionError: the new version was given up.
        """
        self._check_wanted()
        self.take()
        self._add_new()
        self._store.adopt(self.model.version_id, self.model.limits, self._memory.rebuilt())
        self.serving.keep_in(self._store)
        return self.serving

    def _add_new(self) -> None:
        for ordinal, behaviour in self._new:
            self.serving.add(ordinal, behaviour, None)
        self._new = []

    def _encode(self, most: int | None) -> None:
        count = 0
        while count != most:
            count += 1
            try:
                if not self.serving.encode_next():
                    return
            except SpecificationError:
                # `ModelServing` leaves this behaviour out, as it does after the switch.
                self.left_out += 1

    def _fetch_items(self, now: int) -> list[str]:
        """Fetch items of the new version. If the cloud refuses some, fetch one at a time, and leave out the refused.

        Raises:
            UnservedVersionError: the cloud does not serve the new version.
        """
        unknown = self.serving.unknown_items(1 if self._one_at_a_time else ITEMS_AT_ONCE)
        if not unknown:
            self._one_at_a_time = False
            return []
        try:
            self.serving.supply(self._fetched(unknown))
        except UnservedVersionError:
            raise
        except RefusedError:
            if len(unknown) == 1:
                self.left_out += self.serving.leave_out(unknown[0])
            self._one_at_a_time = True
            self._items.answered()
            return []
        except EdgeRecError as error:
            self._items.failed(now, error)
            return [f"items of the new model version cannot be fetched: {first_line(error)}"]
        self._items.succeeded()
        return []

    def _fetched(self, item_ids: list[int]) -> ItemBatch:
        batch = self._transport.items(self.model.version_id, item_ids)
        if batch.item_id.tolist() != item_ids:
            raise AnswerError("the cloud sent other items than the device asked for")
        return batch

    def _renewed(self, unseen: OfferedPage) -> OfferedPage | None:
        """Return the unseen items as the new version reads them; None if it cannot read them.

        Raises:
            TransportError: the cloud does not answer.
        """
        again: OfferedPage | None = None
        for first in range(0, len(unseen.item_ids), ITEMS_AT_ONCE):
            part = unseen.take(range(first, min(first + ITEMS_AT_ONCE, len(unseen.item_ids))))
            try:
                batch = self.serving.items.offered_again(self._fetched(list(part.item_ids)), part.columns)
                if batch is None:
                    return None
                prepared = self.serving.items.prepare(batch)
            except (RefusedError, SpecificationError):
                return None
            # A behaviour with one of these items reads columns, too, which the present version may not have asked for.
            part = replace(part, columns={**part.columns, **batch.columns}, prepared=prepared, fault=None)
            again = part if again is None else part.after(again)
        return again
