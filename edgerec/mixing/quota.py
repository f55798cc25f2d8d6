"""How many cards of each kind a user has seen, by period, and the limits of a page that follow from shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from edgerec.mixing.limits import Caps
from edgerec.mixing.rules import MixRules, Period
from edgerec.mixing.slate import Ints

SESSION_MS = 30 * 60_000
"""A session ends when a user has seen no card for this long, in milliseconds."""
DAY_MS = 86_400_000
_SLACK = 1e-9
"""Products of shares and places are rounded down. This keeps 0.1 * 20 from becoming 1."""


@dataclass(frozen=True)
class Shown:
    """The cards that a user has seen in the running period of one kind.

    Attributes:
        cards: number of cards of all kinds.
        own: number of cards of this kind.
        day: the day of the latest card, counted from 1970 in UTC.
        last: the time of the latest card in milliseconds since 1970; None before the first one.
    """

    cards: int = 0
    own: int = 0
    day: int = 0
    last: int | None = None

    @property
    def share(self) -> float:
        """The share of this kind; 0 without cards."""
        return self.own / self.cards if self.cards else 0.0

    def is_over(self, over: Period, time: int) -> bool:
        """Return whether the period has ended by `time`, in milliseconds since 1970.

        A session ends after `SESSION_MS` without a card, a day with the day in UTC. The period `user` never ends.
        """
        if self.last is None or over == "user":
            return False
        return time - self.last > SESSION_MS if over == "session" else time // DAY_MS != self.day

    def after(self, over: Period, time: int, *, own: bool) -> Shown:
        """Return the counts after the user has seen one more card. It begins a new period if the present one is over.

        Args:
            over: the period of the kind.
            time: when the user saw the card.
            own: whether the card is of this kind.
        """
        before = Shown() if self.is_over(over, time) else self
        return Shown(before.cards + 1, before.own + own, time // DAY_MS, time)


def share_caps(rules: MixRules, seen: Ints, places: int, *, targets: Mapping[str, float] | None = None) -> Caps:
    """Return how many cards of each kind may stand on each page of a plan, so that the shares hold over all pages.

    For page p, counted from 0, the largest number is ``floor(share * page * (p + 1))`` minus the cards of the kind on
    the pages before. So a page may use what earlier pages have left over. The smallest number is the same with the
    smallest share. If a plan has a further page, it gets what remains when the page before uses its largest number.

    The kind with the largest share may fill the page, because numbers that are rounded down might never sum to a page.

    Args:
        rules: the rules.
        seen: (n,) the kinds of all cards of the list that the user has seen, from the top.
        places: number of places of the plan.
        targets: by kind, the share to aim at instead of the largest one.
    """
    size, begin = rules.page, len(seen)
    first = begin // size
    caps, main = {}, _main(rules)
    for index, (name, kind) in enumerate(rules.kinds.items()):
        low, high = kind.share
        high = (targets or {}).get(name, high)
        low = min(low, high)
        stand = int(np.count_nonzero(seen[: first * size] == index))
        for page in range(first, (begin + max(places, 1) - 1) // size + 1):
            end = size * (page + 1)
            most = max(floor(high * end + _SLACK) - stand, 0)
            least = max(floor(low * end + _SLACK) - stand, 0)
            caps[page, index] = (min(least, most, size), size if index == main else most)
            stand += most
    return caps


def fixed_shares(rules: MixRules, *, targets: Mapping[str, float] | None = None) -> list[float]:
    """Return by kind the share of places for the policy `fixed`.

    It is the target, else the middle of the smallest and the largest share. The kind with the largest share gets the
    places that are left.

    Args:
        rules: the rules.
        targets: by kind, the share of the places.
    """
    shares = [(targets or {}).get(name, sum(kind.share) / 2) for name, kind in rules.kinds.items()]
    main = _main(rules)
    shares[main] = max(1.0 - (sum(shares) - shares[main]), 0.0)
    return shares


def _main(rules: MixRules) -> int:
    """Return the kind with the largest share: it gets the places that the others leave."""
    highest = [kind.share[1] for kind in rules.kinds.values()]
    return highest.index(max(highest))


def most_cards(rules: MixRules, places: int, *, targets: Mapping[str, float] | None = None) -> list[int]:
    """Return by kind how many cards the rules allow on so many places, wherever a page begins.

    Args:
        rules: the rules.
        places: number of places.
        targets: by kind, the share to aim at, if it is larger than the largest one of the rules.
    """
    pages = (places - 1) // rules.page + 2
    found = []
    for name, kind in rules.kinds.items():
        share = max(kind.share[1], (targets or {}).get(name, 0.0))
        by_share = ceil(share * places - _SLACK)
        found.append(min(by_share, 1 + (places - 1) // kind.gap, kind.at_most * pages, places))
    return found
