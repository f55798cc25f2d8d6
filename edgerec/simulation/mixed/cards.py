"""The items of a mixed world as cards: their kinds and advertisers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.features.card_kind import CARD_KIND
from edgerec.features.spec import FeatureSpec, parse_spec, table1
from edgerec.simulation.mixed.config import AD, KINDS, PRODUCT, MixedConfig
from edgerec.simulation.world import Catalogue, Ints, zipf

ADVERTISER = "advertiser"
"""The column of the items that has the advertiser of an ad. `CARD_KIND` has the kind."""


@dataclass(frozen=True)
class Cards:
    """The cards of a catalogue, in its order.

    Attributes:
        catalogue: the items.
        kind: (items,), index into `KINDS`.
        advertiser: (items,), from 1; 0 for a card that is no ad.
        worth: the value of a click, by kind.
        of_kind: for each kind, the catalogue of which only cards of this kind are drawn; None for a kind without cards.
            Rows of the catalogue are the same.
    """

    catalogue: Catalogue
    kind: Ints
    advertiser: Ints
    worth: tuple[float, ...]
    of_kind: tuple[Catalogue | None, ...]

    @property
    def searched(self) -> Catalogue:
        """The catalogue of which a search draws: products. If there are none, all cards."""
        return self.of_kind[PRODUCT] or self.catalogue

    def card(self, item: int) -> tuple[str, float]:
        """Return the kind of an item, and the worth of a click on it."""
        kind = int(self.kind[item])
        return KINDS[kind], self.worth[kind]

    def table(self) -> pl.DataFrame:
        """Return the table of items, with the columns `card_kind` and `advertiser`."""
        cards = pl.DataFrame(
            {
                "item_id": self.catalogue.item_id,
                CARD_KIND: np.array(KINDS)[self.kind],
                ADVERTISER: self.advertiser.astype(np.int32),
            }
        )
        return self.catalogue.table().join(cards, on="item_id", how="left", maintain_order="left")


def make_cards(config: MixedConfig, catalogue: Catalogue, rng: np.random.Generator) -> Cards:
    """Draw kind and advertiser of each item. They do not depend on its other attributes."""
    count = len(catalogue)
    kind = rng.choice(len(KINDS), count, p=config.shares("items")).astype(np.int64)
    advertiser = 1 + rng.choice(config.advertisers, count, p=zipf(config.advertisers, 1.0)).astype(np.int64)
    return Cards(
        catalogue=catalogue,
        kind=kind,
        advertiser=np.where(kind == AD, advertiser, 0),
        worth=tuple(float(card.worth) for card in config.cards),
        of_kind=tuple(_only(catalogue, kind == number) for number in range(len(KINDS))),
    )


def _only(catalogue: Catalogue, chosen: NDArray[np.bool_]) -> Catalogue | None:
    """Return the catalogue with the same rows, of which only the `chosen` items (items,) are ever drawn."""
    if not chosen.any():
        return None
    mass = np.where(chosen, np.diff(catalogue.cumulative), 0)
    cumulative = np.concatenate([[0.0], np.cumsum(mass)])
    return replace(catalogue, cumulative=cumulative / cumulative[-1])


def mixed_spec() -> FeatureSpec:
    """Return the features of a mixed world: those of Table 1, and the kind of a card."""
    document = table1().model_dump(mode="json")
    document["name"] = "mixed"
    document["item"].append(
        {
            "name": "p8_card_kind",
            "source": CARD_KIND,
            "origin": "catalogue",
            "kind": "one_hot",
            "values": list(KINDS),
        }
    )
    return parse_spec(json.dumps(document), where="the features of a mixed world")
