"""Check a plan against the rules. It shares nothing with the solvers but the rules themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from edgerec.mixing.limits import SHARES, Caps
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Plan, Problem


class Violation(NamedTuple):
    """A rule that a plan breaks."""

    rule: str
    line: str


def violations(problem: Problem, rules: MixRules, plan: Plan, *, caps: Caps | None = None) -> list[str]:
    """Return what a plan breaks, one line each. Rules in `plan.relaxed` may be broken, and seen cards may do anything.

    Args:
        problem: the problem.
        rules: the rules.
        plan: the plan.
        caps: the caps, as for `solve`. One that contradicts a rule is not checked.
    """
    order = plan.order.tolist()
    if sorted(order) != list(range(len(problem.cards))):
        return ["the order does not have each candidate once"]
    if plan.planned != min(problem.places, len(order)):
        return [f"{plan.planned} places are planned instead of {min(problem.places, len(order))}"]
    if "all" in plan.relaxed:
        return []
    return [
        found.line
        for found in broken(problem, rules, order, plan.planned, caps=caps or {})
        if found.rule not in plan.relaxed
    ]


def broken(problem: Problem, rules: MixRules, order: list[int], planned: int, *, caps: Caps) -> Iterator[Violation]:
    """Yield each rule that the first `planned` places of an order break, once for each time.

    Args:
        problem: the problem.
        rules: the rules.
        order: each candidate once.
        planned: number of places that count.
        caps: see `violations`.
    """
    shown = list(zip(problem.seen.kinds.tolist(), problem.seen.advertisers.tolist(), strict=True))
    begin = len(shown)
    for card in order[:planned]:
        shown.append((int(problem.cards.kinds[card]), int(problem.cards.advertisers[card])))
    for kind, (name, rule) in enumerate(rules.kinds.items()):
        places = [place for place, card in enumerate(shown) if card[0] == kind]
        own = [card for card in order if problem.cards.kinds[card] == kind]
        if own != sorted(own):
            yield Violation("order", f"{name}: the cards changed their order")
        for place in places:
            if place < begin:
                continue
            if place + 1 < rule.first:
                yield Violation("first", f"{name}: stands at place {place + 1}, before {rule.first}")
            for other in places:
                if other >= place:
                    break
                pair = f"places {other + 1} and {place + 1}"
                if place - other < rule.gap:
                    yield Violation("gap", f"{name}: stands at {pair}; the gap is {rule.gap}")
                advertiser = shown[place][1]
                if place - other < rule.advertiser_gap and advertiser != 0 and advertiser == shown[other][1]:
                    yield Violation("advertiser_gap", f"{name}: advertiser {advertiser} stands at {pair}")
        yield from _on_pages(rules, kind, places, (begin, len(shown)), caps)


def _on_pages(
    rules: MixRules, kind: int, places: list[int], planned: tuple[int, int], caps: Caps
) -> Iterator[Violation]:
    name, rule = rules.names[kind], rules.kinds[rules.names[kind]]
    for page in range(planned[0] // rules.page, (planned[1] - 1) // rules.page + 1):
        top, end = page * rules.page, (page + 1) * rules.page
        count = sum(top <= place < end for place in places)
        new = any(top <= place < end and place >= planned[0] for place in places)
        has = f"{name}: page {page + 1} has {count} cards"
        if new and count > rule.at_most:
            yield Violation("at_most", f"{has}; at_most is {rule.at_most}")
        complete = end <= planned[1]
        if complete and count < rule.at_least:
            yield Violation("at_least", f"{has}; at_least is {rule.at_least}")
        if (page, kind) not in caps:
            continue
        low, high = caps[page, kind]
        if new and count > max(high, rule.at_least):
            yield Violation(SHARES, f"{has}; the cap is {high}")
        if complete and count < min(low, high, rule.at_most):
            yield Violation(SHARES, f"{has}; the cap is at least {low}")
