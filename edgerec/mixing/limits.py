"""The rules of one planning problem as numbers, after some rules were given up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgerec.mixing.rules import MixRules

Caps = Mapping[tuple[int, int], tuple[int, int]]
"""By (page from 0, kind index): the smallest and the largest number of cards of the kind on this page, its seen cards
included. They come from shares, so they are given up before any rule, and they never contradict a rule."""
SHARES = "shares"
"""The name of the caps among the rules that were given up."""


@dataclass(frozen=True)
class Piece:
    """The part of one page that a plan fills.

    Attributes:
        page: the number of the page, from 0.
        start, stop: places of the plan, from 0; `stop` is not part of it.
        already: by kind, the number of seen cards on the page.
        least, most: by kind, the numbers allowed on the whole page. `least` is 0 if the plan ends before the page does.
        free: whether these numbers forbid nothing.
    """

    page: int
    start: int
    stop: int
    already: tuple[int, ...]
    least: tuple[int, ...]
    most: tuple[int, ...]
    free: bool


@dataclass(frozen=True)
class Limits:
    """The rules that hold for one plan. Two equal ones allow the same plans.

    Attributes:
        gap, advertiser_gap: by kind, as in the rules.
        first: by kind, the first place of the plan, from 0, at which a card may stand.
        pieces: the pages.
        any_order: whether cards of one kind may change their order.
    """

    gap: tuple[int, ...]
    advertiser_gap: tuple[int, ...]
    first: tuple[int, ...]
    pieces: tuple[Piece, ...]
    any_order: bool = False

    def joined(self) -> Limits:
        """Return the same limits with one piece for all pages, if no page limits its numbers of cards."""
        if len(self.pieces) == 1 or not all(piece.free for piece in self.pieces):
            return self
        most = tuple(sum(mosts) for mosts in zip(*(piece.most for piece in self.pieces), strict=True))
        return replace(self, pieces=(replace(self.pieces[0], stop=self.pieces[-1].stop, most=most),))

    @property
    def needs_cards(self) -> bool:
        """Whether a page needs more cards of a kind than it has."""
        return any(low > have for piece in self.pieces for low, have in zip(piece.least, piece.already, strict=True))


def limits_of(
    rules: MixRules, seen: list[int], places: int, *, caps: Caps | None = None, given_up: tuple[str, ...] = ()
) -> Limits:
    """Return the limits of a plan of `places` places after cards of the kinds `seen`."""
    kinds = list(rules.kinds.values())
    return Limits(
        gap=tuple(1 if "gap" in given_up else kind.gap for kind in kinds),
        advertiser_gap=tuple(1 if "advertiser_gap" in given_up else kind.advertiser_gap for kind in kinds),
        first=tuple(0 if "first" in given_up else max(kind.first - 1 - len(seen), 0) for kind in kinds),
        pieces=_pieces(rules, seen, places, {} if caps is None or SHARES in given_up else caps, given_up),
        any_order="order" in given_up,
    )


def _pieces(rules: MixRules, seen: list[int], places: int, caps: Caps, given_up: tuple[str, ...]) -> tuple[Piece, ...]:
    pieces, size, begin = [], rules.page, len(seen)
    kinds = list(rules.kinds.values())
    least = [0 if "at_least" in given_up else kind.at_least for kind in kinds]
    most = [size if "at_most" in given_up else min(kind.at_most, size) for kind in kinds]
    for page in range(begin // size, (begin + places - 1) // size + 1):
        top, end = page * size, min((page + 1) * size, begin + places)
        on_page = seen[top : top + size]
        both = [
            _both(low, high, caps.get((page, kind))) for kind, (low, high) in enumerate(zip(least, most, strict=True))
        ]
        lows, highs = tuple(low if end == top + size else 0 for low, _ in both), tuple(high for _, high in both)
        pieces.append(
            Piece(
                page=page,
                start=max(top - begin, 0),
                stop=end - begin,
                already=tuple(on_page.count(kind) for kind in range(len(kinds))),
                least=lows,
                most=highs,
                free=not any(lows) and min(highs) == size,
            )
        )
    return tuple(pieces)


def _both(least: int, most: int, cap: tuple[int, int] | None) -> tuple[int, int]:
    """Return the numbers that both a rule and a cap allow. The rule wins where they contradict each other."""
    if cap is None:
        return least, most
    high = max(min(most, cap[1]), least)
    return min(max(least, cap[0]), high), high
