"""Raw values of items as cards: their kinds and advertisers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Cards

Card = tuple[int, int]
"""Kind and advertiser of one card."""


class CardReader:
    """Reads cards under some rules.

    Args:
        rules: the rules.
    """

    def __init__(self, rules: MixRules) -> None:
        self._index = {name: index for index, name in enumerate(rules.names)}
        self._unknown = rules.unknown_index

    def knows(self, kind: Any) -> bool:
        """Return whether the rules have this kind."""
        return isinstance(kind, str) and kind in self._index

    def read(self, kind: Any, advertiser: Any) -> Card:
        """Return a card. One of an unknown or missing kind counts as `MixRules.unknown`.

        Args:
            kind: the value of `MixRules.kind_column`.
            advertiser: the value of `MixRules.advertiser_column`. Anything but a whole number is no advertiser.
        """
        number = self._index.get(kind, self._unknown) if isinstance(kind, str) else self._unknown
        whole = isinstance(advertiser, (int, np.integer)) and not isinstance(advertiser, bool)
        return number, int(advertiser) if whole and -(2**63) <= advertiser < 2**63 else 0


def cards_of(cards: Iterable[Card]) -> Cards:
    """Return cards as arrays."""
    table = np.array(list(cards), np.int64).reshape(-1, 2)
    return Cards(np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1]))
