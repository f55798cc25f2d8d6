"""The places after a plan: a walk that takes the best allowed card place by place.

These places are planned again before most users see them, so a fast walk is enough. But the rules hold there, too,
because a user may scroll faster than the device plans. Only `at_least` is not certain: the walk hurries when a page
needs cards, but it does not look ahead at advertisers, or at what other kinds need.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgerec.mixing.limits import Caps
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Cards, Ints
from edgerec.mixing.values import Floats


def walk(
    rules: MixRules, cards: Cards, before: Cards, values: Floats, *, caps: Caps | None = None, slots: Ints | None = None
) -> list[int]:
    """Return candidate indices in the order of their places. It ends where the rules allow no card.

    Args:
        rules: the rules. Cards of one kind keep their order.
        cards: (n,) the candidates in base order.
        before: the cards of the list before the first place to fill, from the top.
        values: (n,) what each candidate is worth.
        caps: by (page, kind), the smallest and the largest number of cards on a page. The largest one holds.
        slots: (n,) the kind to which each place belongs; None: no place belongs to a kind.
    """
    kinds, kind_of = list(rules.kinds.values()), cards.kinds.tolist()
    shown, advertisers = before.kinds.tolist(), before.advertisers.tolist()
    own, worth = cards.advertisers.tolist(), values.tolist()
    sources = [[card for card in range(len(cards)) if kind_of[card] == kind] for kind in range(len(kinds))]
    taken, last = [0] * len(kinds), [-(10**9)] * len(kinds)
    for place, kind in enumerate(shown):
        last[kind] = place
    wanted = None if slots is None else slots.tolist()
    order: list[int] = []
    while True:
        place = len(shown)
        page, top = place // rules.page, place - place % rules.page
        counts = [0] * len(kinds)
        for kind in shown[top:]:
            counts[kind] += 1
        best, best_value, best_due = -1, 0.0, False
        missing = [
            max(rule.at_least - count, 0) if taken[kind] < len(sources[kind]) else 0
            for kind, (rule, count) in enumerate(zip(kinds, counts, strict=True))
        ]
        needed = sum(
            max(last[kind] + rule.gap - place, rule.first - 1 - place, 0) + 1 + (count - 1) * rule.gap
            for kind, (rule, count) in enumerate(zip(kinds, missing, strict=True))
            if count
        )
        hurry = needed >= top + rules.page - place
        for kind, rule in enumerate(kinds):
            most = rule.at_most if caps is None else min(rule.at_most, max(_cap(caps, page, kind), rule.at_least))
            if (
                taken[kind] == len(sources[kind])
                or place + 1 < rule.first
                or place - last[kind] < rule.gap
                or counts[kind] >= most
            ):
                continue
            card = sources[kind][taken[kind]]
            if own[card] and _is_near(shown, advertisers, kind, own[card], rule.advertiser_gap):
                continue
            value = worth[card] if wanted is None else float(wanted[len(order)] == kind)
            due = hurry and missing[kind] > 0
            if best < 0 or (due, value) > (best_due, best_value):
                best, best_value, best_due = kind, value, due
        if best < 0:
            return order
        card = sources[best][taken[best]]
        taken[best] += 1
        last[best] = place
        order.append(card)
        shown.append(best)
        advertisers.append(own[card])


def _cap(caps: Caps, page: int, kind: int) -> int:
    return caps.get((page, kind), (0, 10**9))[1]


def _is_near(shown: Sequence[int], advertisers: Sequence[int], kind: int, advertiser: int, gap: int) -> bool:
    """Return whether one of the last `gap` - 1 cards is of this kind and advertiser."""
    end = len(shown)
    return any(shown[place] == kind and advertisers[place] == advertiser for place in range(max(end - gap + 1, 0), end))
