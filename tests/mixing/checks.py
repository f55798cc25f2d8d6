"""What a plan that gave up rules says of itself, checked against the rules."""

from __future__ import annotations

from dataclasses import replace

from edgerec.mixing.limits import SHARES, Caps
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Plan, Problem
from edgerec.mixing.violations import violations

FREE = {"at_least": 0, "advertiser_gap": 1, "at_most": 50, "first": 1, "gap": 1}
"""The value of each rule that forbids nothing."""


def faults(problem: Problem, rules: MixRules, plan: Plan, caps: Caps) -> list[str]:
    """Return what is wrong: rules that are broken and not reported, reported and not broken, or broken too early."""
    found = violations(problem, rules, plan, caps=caps)
    for name in plan.relaxed:
        others = tuple(other for other in plan.relaxed if other != name)
        if name != "all" and not violations(problem, rules, replace(plan, relaxed=others), caps=caps):
            found.append(f"{name} is reported, but not broken")
    if plan.kept:
        changed = ("order",) if {"order", "all"} & {*plan.relaxed} else ()
        top = replace(plan, planned=plan.kept, relaxed=changed)
        found += [f"kept: {line}" for line in violations(replace(problem, places=plan.kept), rules, top, caps=caps)]
    return found


def before_last(rules: MixRules, caps: Caps, relaxed: tuple[str, ...]) -> tuple[MixRules, Caps]:
    """Return the rules and caps without all that is given up before the last one of `relaxed`."""
    steps = ((SHARES,) if caps else ()) + tuple(rules.relax)
    names = steps[: steps.index(relaxed[-1])]
    free = {name: FREE[name] for name in names if name in FREE}
    kinds = {name: kind.model_copy(update=free) for name, kind in rules.kinds.items()}
    return rules.model_copy(update={"kinds": kinds}), {} if SHARES in names else caps
