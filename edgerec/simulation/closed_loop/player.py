"""Plays the sessions of one simulated user on one device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

from edgerec.core.errors import TransportError
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.pending_work import PAGE, Done
from edgerec.simulation.closed_loop.clock import Clock
from edgerec.simulation.closed_loop.patches import PatchRecord
from edgerec.simulation.closed_loop.records import Place, RequestIds, Shown, Totals
from edgerec.simulation.closed_loop.timed_cloud import Seconds
from edgerec.simulation.closed_loop.user import SimulatedUser
from edgerec.simulation.feed import DOWNLOAD_MS

GAP_MS = 20
"""Milliseconds between two items of the feed. A device that is not slower re-ranks without being noticed."""
WAIT_MS = sum(DOWNLOAD_MS) // 2
"""Milliseconds that a user waits for the first page of a session."""
Result = TypeVar("Result")


@dataclass(kw_only=True)
class Player:
    """Plays sessions of one user through one client.

    Args:
        user: the user.
        client: the client.
        seconds: collects what the parts took.
        ranks: whether the client has a model.
        device_ms, in_view: see `Bucket`.
        clock: the clock of the user and of the client.
        requests: the IDs that the client gives to requests.
        watched: number of places of each order whose truth is recorded.
        among: number of items of which it is recorded.
        patches: counts what the user's patches do; None without patches.

    Attributes:
        totals: what the user did since they were last replaced.
        shown: the exposures.
        places: the places whose truth was recorded.
    """

    user: SimulatedUser
    client: Client
    seconds: Seconds
    ranks: bool
    device_ms: int
    in_view: int
    clock: Clock
    requests: RequestIds
    watched: int = 0
    among: int = 0
    patches: PatchRecord | None = None
    totals: Totals = field(default_factory=Totals)
    shown: list[Shown] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    _ordered: tuple[int, int] | None = None
    """The latest request, and the position of its first place."""
    _ready: int | None = None
    """When the device will have done what is pending; None if nothing is."""

    def play_session(self, begin: int, away_ms: int | None) -> int:
        """Play one session that begins at `begin`. Return when it ended.

        Args:
            begin: the time in milliseconds since 1970.
            away_ms: the time since the last session ended; None for the first session.
        """
        user, config = self.user, self.user.world.config
        self.clock.now, self._ready = begin, None
        started = perf_counter()
        inside = self.seconds.device + self.seconds.cloud
        user.begin_session(away_ms)
        self.totals.sessions += 1
        for position in range(self._most):
            if position % config.cloud.page == 0:
                self._search(position // config.cloud.page)
            if position == 0:
                self._device(self.client.refresh)
                self._run()
                self.clock.now += WAIT_MS
            item_id = self._next(position)
            if item_id is None or self._look(item_id, position):
                break
        self._run()
        self.seconds.user += perf_counter() - started - (self.seconds.device + self.seconds.cloud - inside)
        return self.clock.now

    @property
    def _most(self) -> int:
        """Number of cards of a whole feed."""
        config = self.user.world.config
        return config.pages * config.cloud.page

    def close(self) -> None:
        """Deliver what is left, let the device train the user's patch, and close the client."""
        self._device(self.client.close)
        if self.patches is not None:
            self.patches.look()

    def _search(self, page: int) -> None:
        """Let the user open pages of items by search, before a page of the feed."""
        for number in range(self.user.searches(page)):
            row, wait, view = self.user.search(page, number, self.clock.now)
            self.clock.now += wait + view.duration_ms
            item_id = int(self.user.world.catalogue.item_id[row])
            self._device(lambda: self.client.left_page(item_id, view.values))  # noqa: B023
            self.totals.searches += 1
            self._pend()
            self._catch_up()

    def _next(self, position: int) -> int | None:
        """Return the item at a position of the feed, which comes into view now. None if the feed has no more."""
        self._catch_up()
        order = self._device(self.client.order)
        if position >= len(order):
            # The user reached the end before the next page was there.
            self._run()
            self.clock.now += WAIT_MS
            order = self._device(self.client.order)
            if position >= len(order):
                return None
        self._watch(order, position)
        last = order[min(position + self.in_view, len(order)) - 1]
        self._device(lambda: self.client.shown(last))
        return order[position]

    def _watch(self, order: list[int], position: int) -> None:
        """Record the truth of a place that comes into view, if it may be an explored one."""
        if not self.watched:
            return
        if self._ordered is None or self._ordered[0] != self.requests.last:
            self._ordered = (self.requests.last, position)
        request_id, first = self._ordered
        if position - first < self.watched:
            item_ids = order[position : position + self.watched + self.among]
            rows = [self.user.world.row_of[item_id] for item_id in item_ids]
            truth = self.user.probabilities(rows, self.clock.now)
            self.places.append(Place(request_id, position - first + 1, item_ids, truth.tolist()))

    def _look(self, item_id: int, position: int) -> bool:
        """Let the user look at an item. Return whether the user leaves."""
        user, client, row = self.user, self.client, self.user.world.row_of[item_id]
        time, predicted, prices = self.clock.now, None, None
        if user.world.config.mix is not None:
            predicted = self._device(client.predictions).get(item_id)
            prices = list(self._device(client.mix_prices).values()) or None
        seen = user.look(row, self.clock.now)
        self.clock.now += seen.duration_ms
        self.totals.pv += 1
        self.totals.deletes += seen.deleted
        if seen.clicked:
            self.totals.clicks += 1
            self._device(lambda: client.clicked(item_id))
        self._device(lambda: client.exposed(item_id, seen.values))
        self._pend()
        if seen.clicked:
            view = user.open_page(row, seen)
            self.clock.now += view.duration_ms
            self.totals.purchases += view.paid > 0
            self.totals.gmv += view.paid
            self._device(lambda: client.left_page(item_id, view.values))
            self._pend()
        self.clock.now += GAP_MS
        left = user.leaves(position)
        kind, worth = user.card(row) or (None, None)
        self.shown.append(
            Shown(
                user.session,
                position + 1,
                seen.clicked,
                seen.probability,
                kind,
                worth,
                # After the last card of the feed, there is nothing to leave.
                left and position + 1 < self._most,
                time,
                predicted,
                prices,
            )
        )
        return left

    def _pend(self) -> None:
        """Note that the device has something to do from now on."""
        if self._ready is None:
            self._ready = self.clock.now + self.device_ms

    def _catch_up(self) -> None:
        """Do what the device has done by now."""
        if self._ready is not None and self.clock.now >= self._ready:
            self._run()

    def _run(self) -> None:
        self._ready = None
        done: Done = self._device(self.client.run_pending)
        if done.errors:
            raise TransportError(f"closed loop: user {self.user.user_id}: {done.errors[0]}")
        if done.trained and self.patches is not None:
            self.patches.look()
        self.totals.pages += done.pages
        if self.ranks:
            self.totals.orders += sum(reason != PAGE for reason in done.requests)

    def _device(self, call: Callable[[], Result]) -> Result:
        """Call the client, and time it without what the cloud takes inside."""
        start, cloud = perf_counter(), self.seconds.cloud
        try:
            return call()
        finally:
            self.seconds.device += perf_counter() - start - (self.seconds.cloud - cloud)
