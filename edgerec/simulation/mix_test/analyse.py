"""Analyse the tables of a test of policies: all statistics of its document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from edgerec.core.errors import ConfigurationError
from edgerec.simulation.mix_test.comparisons import PRIMARY, compare_policies
from edgerec.simulation.mix_test.document import MixAnalysis
from edgerec.simulation.mix_test.equal_share import PilotPoint, exchange_rates, value_at_share
from edgerec.simulation.mix_test.places import cards_by_place
from edgerec.simulation.mix_test.policies import PRICED
from edgerec.simulation.mix_test.predicted import predicted_against_true
from edgerec.simulation.mix_test.prices import prices_by_card, prices_by_day
from edgerec.simulation.mix_test.shares import realised_shares, shares_by_card, shares_by_day, shares_by_length
from edgerec.simulation.mix_test.sums import checked_exposures, column, user_sums

BASELINES = ("greedy", "hindsight")
"""Policies with which others are compared, beside the control."""


def analyse_policies(
    users: pl.DataFrame,
    exposures: pl.DataFrame,
    *,
    policies: Sequence[str],
    bounds: Mapping[str, tuple[float, float]],
    goals: Mapping[str, float],
    pilots: Sequence[PilotPoint],
    start_ms: int,
) -> dict[str, Any]:
    """Return the statistics of a test of policies: the keys of `MixAnalysis` in the document.

    Args:
        users: one row for each user and policy.
        exposures: one row for each card that a user saw (`sums.COLUMNS`).
        policies: names of the policies; the first one is the control.
        bounds: by kind, the smallest and largest share of the rules. Its order is the order of kinds.
        goals: by kind, the share that all policies were set to.
        pilots: the pilot runs, which give the rates of exchange.
        start_ms: the start of the first day, in milliseconds since 1970.

    Raises:
        ConfigurationError: there are fewer than two policies, or a goal is of an unknown kind.
        InputError: the tables are not valid, or do not belong together.
    """
    if len(set(policies)) < 2 or len(set(policies)) < len(policies):
        raise ConfigurationError(
            f"policies should be at least two different ones; received {', '.join(policies) or 'none'}"
        )
    unknown = [kind for kind in goals if kind not in bounds]
    if unknown:
        raise ConfigurationError(f"goals should be of {', '.join(bounds)}; received {unknown[0]!r:.80}")
    kinds = list(bounds)
    exposures = checked_exposures(exposures, policies)
    own = {policy: exposures.filter(pl.col("bucket") == policy) for policy in policies}
    # The other policies may hold prices, too, but do not use them.
    priced = {policy: table if policy in PRICED else table.head(0) for policy, table in own.items()}
    rates = exchange_rates(pilots, list(goals))
    sums = {
        policy: table.with_columns(pl.Series(PRIMARY, value_at_share(table, goals, rates)))
        for policy, table in user_sums(users, exposures, policies=policies, kinds=kinds).items()
    }
    control = policies[0]
    baselines = [control, *(name for name in BASELINES if name in policies and name != control)]
    return MixAnalysis.model_validate(
        {
            "control": control,
            "primary": PRIMARY,
            "kinds": kinds,
            "goals": dict(goals),
            "policies": {policy: _policy(table, bounds, goals) for policy, table in sums.items()},
            "comparisons": [
                {"policy": policy, "against": against, "change": compare_policies(sums[against], sums[policy])}
                for against in baselines
                for policy in policies
                if policy != against
            ],
            "rates": {kind: rates.get(kind) for kind in goals},
            "days": {name: shares_by_day(table, kinds, start_ms=start_ms) for name, table in own.items()},
            "cards": {name: shares_by_card(table, kinds) for name, table in own.items()},
            "lengths": {
                name: shares_by_length(table, kinds, {kind: goals.get(kind) for kind in kinds})
                for name, table in own.items()
            },
            "places": {name: cards_by_place(table, kinds) for name, table in own.items()},
            "day_prices": {name: prices_by_day(table, kinds, start_ms=start_ms) for name, table in priced.items()},
            "card_prices": {name: prices_by_card(table, kinds) for name, table in priced.items()},
            "predicted": {name: predicted_against_true(table, kinds) for name, table in own.items()},
        }
    ).to_document()


def _policy(
    table: pl.DataFrame, bounds: Mapping[str, tuple[float, float]], goals: Mapping[str, float]
) -> dict[str, Any]:
    sums = {name: float(column(table, name).sum()) for name in ("clicks", "cards", "sessions", "exits")}
    shares = realised_shares(table, list(bounds))
    means = ("sessions", "cards", "value", PRIMARY, "realised", "clicks")
    return {
        "users": len(table),
        **{name: float(column(table, name).mean()) for name in means},
        "click_rate": _ratio(sums["clicks"], sums["cards"]),
        "cards_per_session": _ratio(sums["cards"], sums["sessions"]),
        "exits": _ratio(sums["exits"], sums["sessions"]),
        "exits_per_card": _ratio(sums["exits"], sums["cards"]),
        "shares": {kind: {**shares[kind], "goal": goals.get(kind), "bounds": bounds[kind]} for kind in bounds},
    }


def _ratio(top: float, bottom: float) -> float | None:
    return top / bottom if bottom else None
