"""The top of the report of a test of policies: the verdict in one sentence, and what was done in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.core.text import counted, printable
from edgerec.reports.mix_test.words import BEST, MAIN, WITH_A_CAP, change_of, main_kind
from edgerec.reports.simulated import CAUTION, Lead
from edgerec.reports.uplift import read_uplift

_TITLE = "Test of mixing policies in a simulated world"
BEGIN = f"## {_TITLE}"
"""First line of the Markdown."""
NEAR = 0.005
"""A realised share that is farther from the goal is named in the text."""


def lead(document: Mapping[str, Any]) -> Lead:
    """Return the top of the report of the document of `edgerec abtest --mix`."""
    return Lead(_TITLE, headline(document), facts(document), (CAUTION,))


def headline(document: Mapping[str, Any]) -> str:
    """Return what the price is worth against greedy with a cap, or else the first comparison, as one sentence."""
    policies, control = list(document["policies"]), document["control"]
    policy = MAIN if MAIN in policies and control != MAIN else policies[-1]
    against = WITH_A_CAP if WITH_A_CAP in policies and policy != WITH_A_CAP else control
    found = read_uplift(change_of(document, policy, against, document["primary"]))
    name = "greedy with a cap for each page" if against == WITH_A_CAP else printable(against)
    sentence = f"In this simulated world, at equal shares, the policy “{printable(policy)}” "
    sentence += f"{found.sentence('the value of the feed')} against {name}"
    if policy == MAIN and change_of(document, policy, BEST, document["primary"]) is not None:
        gap = read_uplift(change_of(document, policy, BEST, document["primary"]))
        if gap.mean is not None:
            side = "below" if gap.mean < 0 else "above"
            sentence += (
                f", and is {100 * abs(gap.mean):.1f} % {side} the constant price at this share, known in advance"
            )
    return f"{sentence}."


def facts(document: Mapping[str, Any]) -> list[str]:
    """Return what was done and what came out, as sentences."""
    policies, users = document["policies"], document["users"]
    kind = printable(main_kind(document))
    found = [
        f"Each of {counted(users, 'user', 'users')} saw the feed {len(policies)} times, once under each policy, with "
        "the same random numbers. Value is what clicks are worth: the true click probability of each card times the "
        "worth of its kind."
    ]
    goal = document["goals"].get(main_kind(document))
    if goal is not None:
        shares = {name: own["shares"][main_kind(document)]["share"] or 0.0 for name, own in policies.items()}
        off = {name: share for name, share in shares.items() if abs(share - goal) > NEAR}
        found.append(
            f"A policy that shows more cards of a scarce kind earns more at once, so all were first set to the same "
            f"share: {100 * goal:.1f} % of all cards are of the kind “{kind}”. "
            + (
                f"Users then saw from {100 * min(shares.values()):.2f} to {100 * max(shares.values()):.2f} %."
                if not off
                else "This did not hold for "
                + ", ".join(f"“{printable(name)}” ({100 * share:.2f} %)" for name, share in off.items())
                + ", so read its value with care."
            )
        )
    found += _behaviour(document)
    found += _curse(document)
    return found


def _behaviour(document: Mapping[str, Any]) -> list[str]:
    policies = document["policies"]
    if MAIN not in policies or WITH_A_CAP not in policies:
        return []
    parts = []
    for metric, words in (
        ("clicks", "clicks"),
        ("cards_per_session", "cards in a session"),
        ("exits_per_card", "exits"),
    ):
        change = read_uplift(change_of(document, MAIN, WITH_A_CAP, metric))
        if change.mean is not None:
            unclear = change.ci95 is not None and not change.is_clear
            parts.append(f"{words} {100 * change.mean:+.1f} %" + (" (not clear)" if unclear else ""))
    return [f"Under “{MAIN}”, against “{WITH_A_CAP}”: {', '.join(parts)}."] if parts else []


def _curse(document: Mapping[str, Any]) -> list[str]:
    own = (document["predicted"].get(MAIN) or {}).get("all")
    if not own or own["ratio"] is None:
        return []
    text = f"For the cards that “{MAIN}” showed, the device predicted {_more(own['ratio'])} value "
    text += "than they had"
    if own["refitted"] is not None:
        text += f"; after a second calibration, {_more(own['refitted'])}"
    return [f"{text}."]


def _more(ratio: float) -> str:
    return f"{100 * abs(ratio - 1):.1f} % {'more' if ratio >= 1 else 'less'}"
