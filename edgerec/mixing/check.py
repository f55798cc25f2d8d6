"""Whether rules can hold at all: with as many cards of each kind as there are places, each of another advertiser."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgerec.core.errors import ConfigurationError
from edgerec.mixing.rules import MOST_PLACES, KindRules, MixRules
from edgerec.mixing.slate import Cards, Problem
from edgerec.mixing.solve import solve
from edgerec.mixing.values import PointValues


def check_can_hold(rules: MixRules, *, where: str) -> list[str]:
    """Check that the rules allow a full list, and return what a user should know about the shares.

    Raises:
        ConfigurationError: no list of a page (two pages, if they are short) follows all rules, even with enough cards.
    """
    for places in dict.fromkeys((rules.page, min(2 * rules.page, MOST_PLACES))):
        problem = _plenty(rules, places)
        cards = len(problem.cards)
        values = PointValues(np.ones(cards), np.ones(cards), np.zeros(cards), np.ones(1), len(rules.names))
        given_up = solve(problem, rules, values).relaxed
        if given_up:
            # One rule, if giving up one is enough.
            alone = [name for name in given_up if _enough(problem, rules, values, name)][:1]
            without = f"without {_named(rules, alone or given_up)} they can"
            raise ConfigurationError(
                f"rules: {where}: they contradict each other: even with enough cards of each kind, no list of {places} "
                f"places follows all of them; {without} (docs/mixing.md)"
            )
    return [
        *(line for kind in range(len(rules.names)) for line in _share(rules, kind)),
        *(
            f"kinds.{name}: advertiser_gap ({kind.advertiser_gap}) has no effect without advertiser_column: add it"
            for name, kind in rules.kinds.items()
            if kind.advertiser_gap > 1 and rules.advertiser_column is None
        ),
    ]


def _named(rules: MixRules, given_up: Iterable[str]) -> str:
    """Return each rule with the kinds that have it, such as `gap` (kinds.ad, kinds.video)."""
    parts = []
    for name in given_up:  # A rule that no kind has cannot be in the way.
        default = KindRules.model_fields[name].default if name in KindRules.model_fields else None
        having = [f"kinds.{kind}" for kind, rule in rules.kinds.items() if getattr(rule, name, None) != default]
        if having or name == "order":
            parts.append(f"`{name}`" + (f" ({', '.join(having)})" if having else ""))
    return " and ".join(parts)


def _enough(problem: Problem, rules: MixRules, values: PointValues, name: str) -> bool:
    """Return whether giving up one rule is enough."""
    return solve(problem, rules.model_copy(update={"relax": (name,)}), values).relaxed == (name,)


def _plenty(rules: MixRules, places: int) -> Problem:
    kinds = np.repeat(np.arange(len(rules.names)), places)
    return Problem(Cards(kinds, 1 + np.arange(len(kinds))), places=places)


def _share(rules: MixRules, kind: int) -> list[str]:
    """Return a line for each bound of a kind's share that its other rules do not let it reach."""
    name, rule = rules.names[kind], rules.kinds[rules.names[kind]]
    most = min(rule.at_most / rules.page, 1.0, 1 / rule.gap)
    least = rule.at_least / rules.page
    lines = []
    if rule.share[0] > most + 1e-9:
        lines.append(
            f"kinds.{name}: the smallest share ({rule.share[0]:g}) cannot be reached: gap and at_most allow {most:g}"
        )
    if rule.share[1] < least - 1e-9:
        lines.append(f"kinds.{name}: the largest share ({rule.share[1]:g}) cannot hold: at_least needs {least:g}")
    return lines
