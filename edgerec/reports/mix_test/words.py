"""The words of the report: what each policy and each metric is, and how kinds of cards are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

POLICIES = {
    "fixed": "Each kind has fixed places in the list, whatever its cards are worth. Many feeds do this.",
    "greedy": "Fills the page place by place with the card worth most there. Each page has a cap for each kind.",
    "page": "Finds the best order of the whole page at once, with the same caps.",
    "price": "Showing a card costs the price of its kind. The price rises if users see too many of the kind, and falls "
    "if they see too few. So scarce cards are spent where they are worth most, on any page. EdgeRec's default.",
    "hindsight": "The same with constant prices, which were set by share alone on the users of the test. No real "
    "system knows them in advance. They are no proven bound: the policy “price” can be better.",
}
"""What each policy does."""
WITH_A_CAP = "greedy"
"""The policy with which a product manager compares."""
BEST = "hindsight"
"""The policy that knows the constant price at this share in advance. It is no proven bound: `MAIN` can be better."""
MAIN = "price"
"""The policy that the test is about."""

METRICS = {
    "value_at_share": "value at equal share",
    "value": "value",
    "realised": "value of clicks",
    "clicks": "clicks",
    "value_per_card": "value of a card",
    "click_rate": "click rate",
    "cards": "cards",
    "cards_per_session": "cards a session",
    "exits_per_card": "exits a card",
}
"""The name of each metric in tables."""
MEANINGS = {
    "card": "a place of the feed that a user saw, with a product, an ad or another kind",
    "kind": "what a card is, for example a product, a video or an ad",
    "share": "cards of a kind divided by all cards that users saw",
    "value": "the true click probability of a card times what a click on its kind is worth, summed over cards",
    "value at equal share": "value, corrected for what is left of the difference in shares",
    "value of clicks": "clicks times their worth: the same as value, with the chance of single clicks",
    "exits": "sessions that the user left before the feed ended",
    "price": "what showing one card of a kind costs, in units of worth; a negative price pays for showing it",
    "95 %": "interval that contains the true change in 95 of 100 such tests",
    "p": "probability of a change at least as large as this one, if there were none",
}


def main_kind(document: Mapping[str, Any]) -> str:
    """Return the kind that the test is about: the first one with a goal, else the one with the smallest upper bound."""
    goals = document["goals"]
    if goals:
        return str(next(iter(goals)))
    own = document["policies"][document["control"]]["shares"]
    return str(min(own, key=lambda kind: own[kind]["bounds"][1]))


def described(policy: str) -> str:
    """Return what a policy does."""
    return POLICIES.get(policy, "A policy of its own.")


def change_of(document: Mapping[str, Any], policy: str, against: str, metric: str) -> Mapping[str, Any] | None:
    """Return the change of a metric from one policy to another, or None if it was not compared."""
    for entry in document["comparisons"]:
        if entry["policy"] == policy and entry["against"] == against:
            found: Mapping[str, Any] | None = entry["change"].get(metric)
            return found
    return None
