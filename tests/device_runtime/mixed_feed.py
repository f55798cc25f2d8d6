"""A feed with several kinds of cards: the small bundle with rules, a cloud that sends kinds, and an application."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np

from edgerec import DeviceModel
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.config import ActionColumns, ClientConfig
from edgerec.device_runtime.exploration import random_number
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.mixing.cards import CardReader, cards_of
from edgerec.mixing.config import MixConfig
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.rules import MixRules
from edgerec.mixing.settings import MixSettings
from edgerec.mixing.slate import Cards
from tests.device_runtime.local_cloud import LocalCloud
from tests.device_runtime.replayed import Clock

KINDS = ("product", "product", "product", "video", "ad")
"""The kinds of five items one after the other."""
ITEMS: dict[int, dict[str, Any]] = {
    item: {
        "shop": item % 7,
        "level": item % 3 + 1,
        "card_kind": KINDS[item % 5],
        "advertiser": item % 4 if KINDS[item % 5] == "ad" else None,
    }
    for item in range(1000, 1400)
}
START = 1_700_000_000_000
EARLY = MixPrior(version_id="v", examination=[0.9**place for place in range(20)], prices={"ad": 0.5})
"""Earlier places are seen more often, so that cards of more value come first."""


def rules_of(**more: Any) -> MixRules:
    """Return rules of a page of 10: at most 20 % ads, from place 3 on, with three other cards between."""
    kinds = {
        "product": {},
        "video": {"worth": 0.4, "share": (0, 0.4), "gap": 2},
        "ad": {"worth": 3, "share": (0, 0.2), "gap": 4, "first": 3, "advertiser_gap": 8, "at_most": 2},
    }
    return MixRules.model_validate({"page": 10, "advertiser_column": "advertiser", "kinds": kinds, **more})


def mixed_model(model: DeviceModel, rules: MixRules | None = None, prior: MixPrior | None = None) -> DeviceModel:
    """Return the model with rules, as a bundle with rules has it."""
    return replace(model, mixing=MixSettings(rules=rules or rules_of(), prior=prior))


@dataclass
class MixedApp:
    """An application with one user and a mixed feed."""

    model: DeviceModel
    store: BehaviourStore
    tables: Mapping[str, Any]
    items: Mapping[int, Mapping[str, Any]] = field(default_factory=lambda: ITEMS)
    columns: tuple[str, ...] = ("card_kind", "advertiser")
    clock: Clock = field(default_factory=lambda: Clock(START))
    pages: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.cloud = LocalCloud(self.model.spec, self.model.version_id, self.tables, self.items, columns=self.columns)
        self.cloud.complete = False

    @property
    def rules(self) -> MixRules:
        assert self.model.mixing is not None
        return self.model.mixing.rules

    def start(self, *, draw: Callable[[], float] = random_number, mix: MixConfig | None = None, **more: Any) -> Client:
        settings = {"page": 20, "fetch": 20, "prefetch": 5, "debounce_ms": 0, "send_interval_ms": 10**12, **more}
        columns = ActionColumns(delete_reason="reason", purchase="bought")
        config = ClientConfig(mix=mix or MixConfig(), columns=columns, **settings)
        return Client(self.store, self.cloud, self.model, config=config, clock=self.clock, draw=draw)

    def offer(self, items: Sequence[int]) -> None:
        """Let the cloud return a page of these items next."""
        self.cloud.lists.append((next(self.pages), items, {"score": [float(np.sin(item)) for item in items]}))

    def see(self, client: Client, item: int, duration_s: float = 2.0) -> None:
        """Let the user see an item, for a second."""
        self.clock.now += 1000
        client.shown(item)
        client.exposed(item, {"duration_s": duration_s})

    def cards(self, items: Sequence[int]) -> Cards:
        """Return items as cards."""
        reader = CardReader(self.rules)
        return cards_of(reader.read(self.items[item]["card_kind"], self.items[item]["advertiser"]) for item in items)

    def requests(self, client: Client) -> list[dict[str, Any]]:
        """Close the client and return the rows of requests that it delivered."""
        client.close()
        return self.cloud.sent("requests")


def opened(app: MixedApp, items: Sequence[int] = range(1000, 1010), **more: Any) -> Client:
    """Return a client with its first page."""
    client = app.start(**more)
    app.offer(items)
    client.refresh()
    client.run_pending()
    return client


def ads(app: MixedApp, items: Sequence[int]) -> list[int]:
    """Return the places of ads in a list, from 1."""
    return [place for place, item in enumerate(items, 1) if app.items[item]["card_kind"] == "ad"]
