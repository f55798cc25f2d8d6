"""The free mode: the client shows its own order, from pages of the server's recall.

The logs say when the user opened a page, how many items the user saw, how long, and at which positions the user
clicked. The items are those of the client's order. So this mode shows what would be on the screen, and how often the
device would order it. Its clicks are no labels, because the user did not see these items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from edgerec.bench.replay.logged_pages import LoggedPages
from edgerec.bench.replay.spans import Spans
from edgerec.bench.replay.timed import time_behaviour
from edgerec.bench.replay.timeline import LoggedRequest, Timeline
from edgerec.core.errors import ParityError
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.pending_work import Done
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import EXPOSURE
from edgerec.paging.transport import Transport


@dataclass
class FreePlayer:
    """Plays the timeline of one store through a client that decides the order and the re-ranks.

    Attributes:
        orders: number of times that the list was ordered, by the cloud or by the device.
        pages: number of pages that the cloud sent.
        skipped: number of logged exposures for which the client had no item to show.
    """

    timeline: Timeline
    store: BehaviourStore
    cloud: Transport
    model: DeviceModel | None
    spans: Spans
    config: ClientConfig = field(default_factory=ClientConfig)
    orders: int = 0
    pages: int = 0
    skipped: int = 0

    def play(self) -> Iterator[None]:
        """Play all steps, and yield after each page that the user opened.

        Raises:
            ParityError: the server did not answer.
        """
        now = 0
        client = Client(
            self.store,
            self.cloud,
            self.model,
            config=self.config,
            clock=lambda: now,
        )
        logged, shown = LoggedPages(), 0
        opened: dict[int, int] = {}
        for step in self.timeline.steps:
            now = step.time
            if isinstance(step, LoggedRequest):
                latest = logged.latest
                if latest is not None and latest.opening.page_id == step.page_id:
                    continue
                logged.open(step)
                client.context.clear()
                client.context.update(step.context)
                client.refresh()
                self._count(client.run_pending())
                shown = 0
                yield
            elif step.kind is EXPOSURE:
                page, order = logged.page_of(step), client.order()
                if page is None or shown >= len(order):
                    self.skipped += 1
                    continue
                item_id = order[shown]
                shown += 1
                if page.clicked(step.item_id):
                    client.clicked(item_id)
                    opened[step.item_id] = item_id
                self._count(time_behaviour(client, partial(client.exposed, item_id, step.action), self.spans))
            else:
                left = opened.pop(step.item_id, step.item_id)
                self._count(time_behaviour(client, partial(client.left_page, left, step.action), self.spans))
        client.close()

    def _count(self, done: Done) -> None:
        if done.errors:
            raise ParityError(f"replay: {done.errors[0]}")
        self.pages += done.pages
        self.orders += len(done.requests)
