"""The policy `fixed`: each place of the list belongs to a kind, whatever the cards are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Ints
from edgerec.mixing.values import Floats, Prefixes


def kinds_of_places(rules: MixRules, places: int, *, targets: Mapping[str, float] | None = None) -> Ints:
    """Return the kind (places,) of each place of a list, from the top.

    Each kind gets its share of the places, as evenly as its gap and first place allow: the target, else the middle of
    its smallest and largest share. The kind with the largest share may fill all other places.

    Args:
        rules: the rules.
        places: number of places.
        targets: by kind, the share of the places.
    """
    kinds = list(rules.kinds.values())
    main = int(np.argmax([kind.share[1] for kind in kinds]))
    shares = np.array([(targets or {}).get(name, sum(kind.share) / 2) for name, kind in rules.kinds.items()])
    shares[main] = max(1 - (shares.sum() - shares[main]), 0.0)
    due, last, found = np.zeros(len(kinds)), [-rules.page] * len(kinds), []
    for place in range(places):
        due += shares
        allowed = [
            index == main or (place + 1 >= kind.first and place - last[index] >= kind.gap)
            for index, kind in enumerate(kinds)
        ]
        chosen = int(np.argmax(np.where(allowed, due, -np.inf)))
        due[chosen] -= 1
        last[chosen] = place
        found.append(chosen)
    return np.array(found, np.int64)


@dataclass(frozen=True)
class PlaceValues:
    """Values of a plan whose places belong to kinds: 1 for each card of the place's kind. Implements `PlanValues`.

    Attributes:
        kinds: (n,) the kind of each candidate.
        wanted: (places,) the kind of each place to fill.
        count: number of kinds.
    """

    kinds: Ints
    wanted: Ints
    count: int

    exact = True

    def table(self, places: int) -> Floats:
        """See `PlanValues.table`."""
        fits = (self.wanted[:places, None] == self.kinds).astype(np.float64)
        table: Floats = np.repeat(fits[:, :, None], self.count + 1, axis=2)
        return table

    def extend(self, place: int, prefixes: Prefixes, cards: Ints) -> Floats:
        """See `PlanValues.extend`."""
        values: Floats = (self.wanted[place] == self.kinds[cards]).astype(np.float64)
        return values
