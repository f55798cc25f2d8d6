"""One bucket of one user: a real client with a store of its own, and what the page gets of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgerec.core.errors import EdgeRecError, InputError, SpecificationError, StoreError, first_line
from edgerec.core.statistics import percentiles
from edgerec.demo.cards import Cards
from edgerec.demo.events import PageEvent
from edgerec.demo.looked import behaviours_read, looked_at
from edgerec.demo.models import DemoModels
from edgerec.demo.watched import WatchedStore
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.config import ActionColumns, ClientConfig
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from edgerec.features.spec import FeatureSpec
from edgerec.paging.transport import Transport

CONFIG = ClientConfig(page=30, fetch=60, prefetch=8, debounce_ms=0, send_interval_ms=5_000)
"""Without a debounce time, the page shows each trigger at once. The user sees 30 cards of each page; the others are
candidates only, which a re-rank can bring in front."""
WAIT_S = 10.0
"""How long an answer waits for the client. Without a cloud, the present order is answered."""
MOST_ACTIONS = 12
REASONS = ("not_interested",)
ENDED = "the session has ended: reload the page"
"""What a page of an ended session is told."""


class UnknownSessionError(InputError):
    """The session has ended, or it never existed."""


class UntoldError(EdgeRecError):
    """The client did not take an event. Those before it were reported, and those after it were not.

    Attributes:
        told: the number of events before it.
        again: whether the event may be reported again, because the store could not be written.
    """

    def __init__(self, error: EdgeRecError, *, told: int) -> None:
        super().__init__(first_line(error))
        self.told, self.again = told, isinstance(error, StoreError)


class BucketFeed:
    """The feed of one bucket. Threads may share an instance.

    Args:
        path: the file of the behaviour store, which should not exist yet.
        user_id: the user.
        transport: the cloud.
        models: the models; None for a client that shows the order of the cloud.
        spec: the specification of the behaviours.
        cards: the catalogue as people read it.
    """

    def __init__(
        self,
        path: Path,
        *,
        user_id: int,
        transport: Transport,
        models: DemoModels | None,
        spec: FeatureSpec,
        cards: Cards,
    ) -> None:
        model, ranker = (None, None) if models is None else models.watched()
        self._models, self._cards = models, cards
        self._lock = threading.Lock()
        limits = None if model is None else model.limits
        self._columns = {kind: {feature.source for feature in spec.actions(kind)} for kind in (EXPOSURE, PAGE_VIEW)}
        self._actions = actions_of(spec)
        self._reason = _delete_reason(spec)
        self._offered: dict[int, bool] = {}
        """The items that the page has had, and whether the user has removed them."""
        self._closed = False
        with contextlib.ExitStack() as stack:  # Closes what is open already if a step fails.
            self._store = WatchedStore(path, user_id=user_id, limits=limits, ranker=ranker)
            stack.callback(self._store.close)
            self._client = Client(self._store, transport, model, config=CONFIG, spec=spec)
            stack.callback(self._client.close, send=False)
            self._client.start()
            self._client.refresh()
            self._client.wait(WAIT_S)
            self._opened = stack.pop_all()

    def state(self, *, anew: bool = False) -> dict[str, Any]:
        """Return the order and the latest re-rank.

        Args:
            anew: whether the page has no cards yet. Otherwise only cards that it lacks are sent.
        """
        with self._open():
            return self._state(anew=anew)

    def report(self, events: Sequence[PageEvent]) -> dict[str, Any]:
        """Report events to the client, wait until it has done what they ask for, and return the state.

        Raises:
            UnknownSessionError: the session has ended.
            InputError: an item was not offered to the page, or an action is unknown. Then no event is reported.
            UntoldError: the client did not take an event. Those before it were reported.
        """
        with self._open():
            for event in events:
                self._check(event)
            for told, event in enumerate(events):
                try:
                    self._tell(event)
                except (SpecificationError, StoreError) as error:
                    raise UntoldError(error, told=told) from error
            self._client.wait(WAIT_S)
            return self._state()

    def looked_at(self) -> dict[str, Any]:
        """Return the behaviours at which the model looked in the latest re-rank, and the number of this re-rank."""
        with self._open():
            rerank = self._store.rerank
            if self._models is None or rerank is None:
                return {"number": 0, "kinds": []}
            read = behaviours_read(self._store, rerank)
        kinds = looked_at(self._models, rerank, read, self._cards)
        return {"number": rerank.number, "kinds": kinds}

    def close(self) -> None:
        """Stop the client and close the store."""
        with self._lock:
            self._closed = True
            self._opened.close()

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise UnknownSessionError(ENDED)
            yield

    def _check(self, event: PageEvent) -> None:
        if event.item_id not in self._offered:
            raise InputError(f"the page was not offered item {event.item_id}")
        if event.what == "acted" and event.column not in {action["column"] for action in self._actions}:
            raise InputError(f"there is no action {event.column!r:.80}")

    def _tell(self, event: PageEvent) -> None:
        client, item_id = self._client, event.item_id
        if event.what == "shown":
            client.shown(item_id)
        elif event.what == "clicked":
            client.clicked(item_id)
        elif event.what == "acted" and event.column is not None:
            client.acted(item_id, event.column)
        elif event.what == "left":
            client.left_page(item_id, self._known({"page_duration_s": event.seconds}, PAGE_VIEW))
        else:
            if event.what == "deleted":
                client.deleted(item_id, self._reason)
                self._offered[item_id] = True
            client.exposed(item_id, self._exposure(event))

    def _exposure(self, event: PageEvent) -> dict[str, Any]:
        values: dict[str, Any] = {"exposure_duration_s": event.seconds, "scroll_count": event.scrolls}
        values |= {"scroll_speed": event.speed, "scroll_duration_s": event.scroll_seconds}
        return self._known(values, EXPOSURE)

    def _known(self, values: dict[str, Any], kind: Any) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name in self._columns[kind]}

    def _state(self, *, anew: bool = False) -> dict[str, Any]:
        order = [item_id for item_id in self._client.order() if not self._offered.get(item_id, False)]
        new = order if anew else [item_id for item_id in order if item_id not in self._offered]
        for item_id in new:
            self._offered.setdefault(item_id, False)
        return {
            "order": [str(item_id) for item_id in order],
            "cards": [self._cards.card(item_id) for item_id in new],
            "rerank": self._rerank(),
        }

    def _rerank(self) -> dict[str, Any] | None:
        rerank, durations = self._store.rerank, self._store.durations
        if rerank is None:
            return None
        found = percentiles(np.array(durations))
        return {
            "number": rerank.number,
            "trigger": rerank.request.trigger,
            "candidates": len(rerank.request.item_ids),
            "moved": rerank.moved,
            "ms": rerank.request.duration_ms,
            "p50": found["p50"],
            "p99": found["p99"],
        }


def actions_of(spec: FeatureSpec) -> list[dict[str, str]]:
    """Return the actions on an item's page that the model knows: those that a user does or does not do."""
    names = [feature.source for feature in spec.actions(PAGE_VIEW) if feature.kind == "binarize"]
    labels = {name: _label(name) for name in dict.fromkeys(names)}
    return [{"column": name, "label": label} for name, label in labels.items()][:MOST_ACTIONS]


LABELS = {
    "view_details": "Details",
    "read_comments": "Comments",
    "choose_sku": "Choose variant",
    "add_favorite": "Favourite",
    "add_cart": "Add to cart",
    "buy": "Buy",
    "customer_service": "Ask a question",
    "enter_shop": "Visit shop",
    "share": "Share",
    "view_similar": "Similar items",
}
"""The buttons of the actions of Table 1."""


def _label(column: str) -> str:
    return LABELS.get(column, column.replace("_", " ").capitalize())


def _delete_reason(spec: FeatureSpec) -> str | None:
    """Return the reason that the page gives for a removed card. A reason that the model does not know is missing."""
    column = ActionColumns().delete_reason
    for feature in spec.actions(EXPOSURE):
        if feature.source == column:
            return next((one for one in getattr(feature, "values", ()) if one in REASONS), None)
    return None
