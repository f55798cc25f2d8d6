"""The mixing step of a client: reads the cards of the feed, keeps counts and prices, and plans the order."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from time import perf_counter

import numpy as np

from edgerec.core.errors import SpecificationError
from edgerec.device_runtime.budget import Budget
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.feed import Feed
from edgerec.device_runtime.offered_page import OfferedPage
from edgerec.device_runtime.ranker import Scored
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.mixing.cards import Card, CardReader, cards_of
from edgerec.mixing.config import MixConfig
from edgerec.mixing.head import CardVectors
from edgerec.mixing.mixer import Mixed, Mixer
from edgerec.mixing.prices import KindState, after_card, prices_at
from edgerec.mixing.quota import most_cards
from edgerec.paging.mix_prices import read_prices

_LOG = logging.getLogger(__name__)


class FeedMixing:
    """Mixes the feed of one client under the rules of its model. The caller holds the client's lock.

    Args:
        store: where counts and prices are kept.
        feed: the present list.
        config: how to mix.
        shadow: whether the client only logs its orders, and shows none of them.

    Attributes:
        unknown: number of offered cards whose kind the rules do not have.
        predictions: the predicted click rate of each candidate of the latest plan, by item ID.
    """

    def __init__(self, store: BehaviourStore, feed: Feed, config: MixConfig, *, shadow: bool = False) -> None:
        self._feed, self._config, self._shadow = feed, config, shadow
        self._states: Mapping[str, KindState] = store.mixing()
        self._mixer: Mixer | None = None
        self._counted: set[tuple[int, int]] = set()
        """Cards that count already, by list and item. An old list's card may end its exposure in a new list."""
        self._planned: set[tuple[int, int]] = set()
        """Cards that a plan brought to the place at which they are shown, by list and item."""
        self._list = feed.lists
        self._known_times: set[int] = set()
        self.unknown = 0
        self.predictions: dict[int, float] = {}

    def use(self, model: DeviceModel | None) -> None:
        """Mix under the rules of this model from now on."""
        settings = None if model is None else model.mixing
        self._budget = Budget(self._config.budget_ms)
        self.predictions = {}
        self._mixer, self._feed.columns = None, ()
        if model is not None and settings is not None:
            self._mixer, self._feed.columns = Mixer(settings, self._config, head=model.head), settings.columns
            self._reader = CardReader(settings.rules)
            for kind in {*self._config.prices, *self._config.targets} - set(settings.rules.names):
                _LOG.warning("mixing: `prices` or `targets` have the kind %r, which the rules do not have", kind)

    @property
    def is_on(self) -> bool:
        """Whether orders are mixed."""
        return self._mixer is not None and self._config.policy != "off"

    def mix(
        self, page: OfferedPage, rows: Sequence[int], answer: Sequence[int], scored: Scored, time: int
    ) -> tuple[Mixed | None, str]:
        """Return the plan, or None, and why there is none.

        Args:
            page: the latest page.
            rows: (n,) the rows of the candidates on the page, in the present order.
            answer: (n,) positions of the candidates, best one first.
            scored: (n,) what the model returned of the candidates, in the present order.
            time: the time of the request in milliseconds since 1970.

        Raises:
            EdgeRecError: nothing can be planned.
        """
        mixer, refusal = self._mixer, self._budget.refusal()
        if mixer is None or refusal is not None:
            return None, refusal or "there are no rules"
        started = perf_counter()
        rules = mixer.settings.rules
        if rules.kind_column not in page.columns:
            raise SpecificationError(f"the page has no column {rules.kind_column!r}, which the rules read")
        self._count_unknown(page)
        best, vectors = np.asarray(answer, np.int64), scored.vectors
        mixed = mixer.mix(
            cards_of(self._card(page, rows[position]) for position in answer),
            cards_of(self._read(values) for values in self._feed.fixed_values()),
            scored.logits[best],
            vectors=None
            if vectors is None
            else CardVectors(vectors.own[best], vectors.before[best], vectors.after[best]),
            prices=self._prices_at(mixer, page, time),
            places=self._feed.remaining,
        )
        late = self._budget.lateness((perf_counter() - started) * 1000)
        if late is not None:
            return None, late
        self.predictions = dict(
            zip((page.item_ids[rows[position]] for position in answer), mixed.rates.tolist(), strict=True)
        )
        return mixed, ""

    def showed(self, page: OfferedPage, rows: Sequence[int], *, mixed: bool) -> None:
        """Note that these rows of the latest page are shown in a new order, and whether it is that of a plan."""
        self._begin_list()
        cards = {(self._feed.list_of(page), page.item_ids[row]) for row in rows}
        self._planned = self._planned | cards if mixed else self._planned - cards

    def drop_surplus(self, places: int) -> None:
        """Drop unseen cards that are not shown and of whose kind the rules allow fewer on the next `places` places.

        Otherwise cards of a kind that the cloud offers more often than the rules allow would fill the list in the end.
        The cloud may offer them again. A client in shadow mode drops nothing, and neither does one without the kinds.
        """
        mixer, page = self._mixer, self._feed.latest
        if mixer is None or not self.is_on or self._shadow or page is None:
            return
        if mixer.settings.rules.kind_column not in page.columns:
            return
        most = most_cards(mixer.settings.rules, places, targets=self._config.targets)
        counts, dropped = [0] * len(most), []
        for number, row in enumerate(self._feed.candidates(len(page.item_ids))):
            kind, _ = self._card(page, row)
            counts[kind] += 1
            if number >= self._feed.remaining and counts[kind] > most[kind]:
                dropped.append(row)
        self._feed.drop(dropped)

    def prices(self, time: int) -> dict[str, float]:
        """Return the present price of each kind; nothing without rules, or if the policy is not `price`."""
        mixer, page = self._mixer, self._feed.latest
        if mixer is None or page is None or self._config.policy != "price":
            return {}
        return self._prices_at(mixer, page, time)

    def after_exposure(
        self, item_id: int, place: tuple[OfferedPage, int] | None, time: int
    ) -> dict[str, KindState] | None:
        """Return the states of all kinds after the user has seen a card; None if it does not count.

        A card counts once in a list. One that no page offered does not count, and neither does one whose page has no
        kinds. Prices move only if they steer: with the policy `price`, and if a plan brought the card to its place.
        """
        mixer = self._mixer
        if mixer is None or place is None:
            return None
        page, row = place
        self._begin_list()
        rules, card = mixer.settings.rules, (self._feed.list_of(page), item_id)
        if card in self._counted or rules.kind_column not in page.columns:
            return None
        kind, _ = self._card(page, row)
        start = self._start(mixer, self._feed.latest or page)
        return after_card(
            rules,
            self._states,
            kind,
            time,
            start=start,
            rate=self._config.rate,
            targets=self._config.targets,
            moves=self._config.policy == "price" and not self._shadow and card in self._planned,
        )

    def commit(
        self, item_id: int, place: tuple[OfferedPage, int] | None, states: Mapping[str, KindState] | None
    ) -> None:
        """Keep the states of `after_exposure`. The store has them already."""
        if states is not None and place is not None:
            self._states = states
            self._counted.add((self._feed.list_of(place[0]), item_id))

    def _begin_list(self) -> None:
        """Forget the cards of lists that are gone, if there is a new list."""
        if self._list != self._feed.lists:
            self._list, kept = self._feed.lists, self._feed.kept_lists()
            self._counted = {card for card in self._counted if card[0] in kept}
            self._planned = {card for card in self._planned if card[0] in kept}

    def _prices_at(self, mixer: Mixer, page: OfferedPage, time: int) -> dict[str, float]:
        start, targets = self._start(mixer, page), self._config.targets
        return prices_at(mixer.settings.rules, self._states, time, start=start, targets=targets)

    def _start(self, mixer: Mixer, page: OfferedPage) -> dict[str, float]:
        """Return the price of each kind at the start of a period.

        The client's configuration comes first, then the latest page, then the bundle.
        """
        names = mixer.settings.rules.names
        own = {name: float(price) for name, price in self._config.prices.items() if name in names}
        return {**mixer.settings.start_prices, **read_prices(page.context, names), **own}

    def _card(self, page: OfferedPage, row: int) -> Card:
        return self._read({name: page.columns[name][row] for name in self._feed.columns if name in page.columns})

    def _read(self, values: Mapping[str, object]) -> Card:
        kind, *advertiser = self._feed.columns
        return self._reader.read(values.get(kind), values.get(advertiser[0]) if advertiser else None)

    def _count_unknown(self, page: OfferedPage) -> None:
        """Count cards of an unknown kind, once when their page has arrived.

        A later page takes over cards with the time at which they were offered. So a new time means new cards.
        """
        kinds, times = page.columns[self._feed.columns[0]], set(page.offered_at)
        new, self._known_times = times - self._known_times, times
        self.unknown += sum(
            not self._reader.knows(kind) for kind, at in zip(kinds, page.offered_at, strict=True) if at in new
        )
