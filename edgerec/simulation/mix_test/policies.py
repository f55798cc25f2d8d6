"""The policies of a test: how each one is set, and the bucket that plays it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgerec.core.errors import ConfigurationError
from edgerec.core.text import did_you_mean
from edgerec.mixing.config import MixConfig
from edgerec.mixing.rules import MixRules
from edgerec.simulation.closed_loop.bucket import Bucket
from edgerec.simulation.mix_test.share_search import Goal

HINDSIGHT = "hindsight"
POLICIES = ("fixed", "greedy", "page", "price", HINDSIGHT)
"""All policies. The first one of a test is its control."""
PRICED = ("price", HINDSIGHT)
"""The policies that are set by prices. The others are set by target shares."""
_PRICE_SCALE = 0.05
"""A price that is higher by this part of a kind's worth divides its share by about e: a first guess."""


@dataclass(frozen=True)
class Aims:
    """What all policies of a test should show.

    Attributes:
        rules: the rules of the bundle.
        goals: by kind, the share that all policies are set to.
        prices: by kind, the prices of the bundle.
    """

    rules: MixRules
    goals: Mapping[str, float]
    prices: Mapping[str, float]

    def search_goals(self, policy: str) -> dict[str, Goal]:
        """Return what the search for the settings of a policy wants, by kind.

        A kind with a goal should have exactly this share. For a policy with prices, other kinds should be within the
        bounds of the rules. For a policy with target shares, the caps of pages see to that.
        """
        found = {}
        for kind, rules in self.rules.kinds.items():
            goal, (low, high) = self.goals.get(kind), rules.share
            if policy in PRICED and (goal is not None or low > 0 or high < 1):
                ends = (low, high) if goal is None else (goal, goal)
                scale = rules.worth or 1.0
                found[kind] = Goal(*ends, least=-10 * scale, most=10 * scale, slope=-1 / (_PRICE_SCALE * scale))
            elif policy not in PRICED and goal is not None:
                found[kind] = Goal(goal, goal, least=0.0, most=1.0, slope=1 / max(goal, 0.01))
        return found

    def start(self, policy: str) -> dict[str, float]:
        """Return the settings of the first pilot run of a policy."""
        wanted = self.search_goals(policy)
        if policy in PRICED:
            return {kind: self.prices.get(kind, 0.0) for kind in wanted}
        return {kind: self.goals[kind] for kind in wanted}

    def bucket(self, policy: str, bundle: Path, settings: Mapping[str, float]) -> Bucket:
        """Return the bucket of a policy with these settings."""
        if policy == HINDSIGHT:
            mix = MixConfig(policy="price", rate=0.0, prices={**self.prices, **settings})
        elif policy == "price":
            mix = MixConfig(policy="price", prices={**self.prices, **settings})
        else:
            mix = MixConfig(policy=policy, targets=dict(settings))  # type: ignore[arg-type]
        # Caps are whole numbers of cards. If each user has a target a little above or below, the share is steady in it.
        return Bucket(
            policy, bundle, page=self.rules.page, mix=mix, mix_spread=0.0 if policy in PRICED else 1 / self.rules.page
        )


def check_policies(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of policies, checked.

    Raises:
        ConfigurationError: a name is unknown or given twice, or there are fewer than two.
    """
    for name in names:
        if name not in POLICIES:
            raise ConfigurationError(
                f"policies should be some of {', '.join(POLICIES)}; received {name!r:.80}{did_you_mean(name, POLICIES)}"
            )
    if len(set(names)) < len(names) or len(names) < 2:
        raise ConfigurationError(f"policies should be at least two different ones; received {', '.join(names)}")
    return tuple(names)


def checked_goals(rules: MixRules, given: Mapping[str, float]) -> dict[str, float]:
    """Return the share that all policies are set to, by kind.

    Args:
        rules: the rules.
        given: by kind. If it is empty: the kind with the smallest upper bound, at this bound.

    Raises:
        ConfigurationError: a kind is unknown, a share is outside the bounds of the rules, or no share is bounded.
    """
    for kind, share in given.items():
        if kind not in rules.kinds:
            raise ConfigurationError(f"share: kinds are {', '.join(rules.names)}; received {kind!r:.80}")
        low, high = rules.kinds[kind].share
        if not low <= share <= high or not 0 < share < 1:
            raise ConfigurationError(
                f"share: that of {kind} should be from {low:g} to {high:g}, as in the rules, and not 0 or 1; "
                f"received {share:g}"
            )
    if given:
        return dict(given)
    scarce = min(rules.names, key=lambda kind: rules.kinds[kind].share[1])
    bound = rules.kinds[scarce].share[1]
    if not 0 < bound < 1:
        raise ConfigurationError(
            "share: no kind of the rules has a largest share between 0 and 1, so policies cannot be compared at an "
            "equal one: give one with --share KIND=SHARE"
        )
    return {scarce: bound}
