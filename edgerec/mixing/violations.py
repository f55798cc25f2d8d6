"""Check a plan against the rules. It shares nothing with the solvers but the rules themselves."""

from __future__ import annotations

from edgerec.mixing.limits import SHARES, Caps
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Plan, Problem


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
    shown = list(zip(problem.seen.kinds.tolist(), problem.seen.advertisers.tolist(), strict=True))
    begin = len(shown)
    for card in order[: plan.planned]:
        shown.append((int(problem.cards.kinds[card]), int(problem.cards.advertisers[card])))
    found: list[str] = []
    for kind, (name, rule) in enumerate(rules.kinds.items()):
        places = [place for place, card in enumerate(shown) if card[0] == kind]
        if "order" not in plan.relaxed:
            own = [card for card in order if problem.cards.kinds[card] == kind]
            if own != sorted(own):
                found.append(f"{name}: the cards changed their order")
        for place in places:
            if place < begin:
                continue
            if "first" not in plan.relaxed and place + 1 < rule.first:
                found.append(f"{name}: stands at place {place + 1}, before {rule.first}")
            for other in places:
                if other >= place:
                    break
                if "gap" not in plan.relaxed and place - other < rule.gap:
                    found.append(f"{name}: stands at places {other + 1} and {place + 1}; the gap is {rule.gap}")
                advertiser = shown[place][1]
                near = place - other < rule.advertiser_gap and advertiser != 0 and advertiser == shown[other][1]
                if near and "advertiser_gap" not in plan.relaxed:
                    found.append(f"{name}: advertiser {advertiser} stands at places {other + 1} and {place + 1}")
        found += _on_pages(rules, plan, kind, places, (begin, len(shown)), caps or {})
    return found


def _on_pages(
    rules: MixRules, plan: Plan, kind: int, places: list[int], planned: tuple[int, int], caps: Caps
) -> list[str]:
    name, rule, found = rules.names[kind], rules.kinds[rules.names[kind]], []
    for page in range(planned[0] // rules.page, (planned[1] - 1) // rules.page + 1):
        top, end = page * rules.page, (page + 1) * rules.page
        count = sum(top <= place < end for place in places)
        new = any(top <= place < end and place >= planned[0] for place in places)
        if "at_most" not in plan.relaxed and new and count > rule.at_most:
            found.append(f"{name}: page {page + 1} has {count} cards; at_most is {rule.at_most}")
        complete = end <= planned[1]
        if "at_least" not in plan.relaxed and complete and count < rule.at_least:
            found.append(f"{name}: page {page + 1} has {count} cards; at_least is {rule.at_least}")
        if SHARES in plan.relaxed or (page, kind) not in caps:
            continue
        low, high = caps[page, kind]
        if new and count > max(high, rule.at_least):
            found.append(f"{name}: page {page + 1} has {count} cards; the cap is {high}")
        if complete and count < min(low, high, rule.at_most):
            found.append(f"{name}: page {page + 1} has {count} cards; the cap is at least {low}")
    return found
