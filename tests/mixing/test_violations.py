"""Each rule that a plan breaks is found, and nothing is found where the rule just holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Cards, Plan, Problem
from edgerec.mixing.violations import violations

P, A = 0, 1


def _found(
    ad: dict[str, Any], kinds: list[int], seen: list[int], *, by: list[int] | None = None, **plan: Any
) -> list[str]:
    rules = MixRules.model_validate({"page": 4, "kinds": {"product": {}, "ad": ad}})
    advertisers = np.array(by or [0] * (len(kinds) + len(seen)), np.int64)
    problem = Problem(
        Cards(np.array(kinds, np.int64), advertisers[len(seen) :]),
        Cards(np.array(seen, np.int64), advertisers[: len(seen)]),
        len(kinds),
    )
    settings: dict[str, Any] = {"order": np.arange(len(kinds)), "planned": len(kinds), "value": 0.0, **plan}
    caps = settings.pop("caps", None)
    return violations(problem, rules, Plan(**settings), caps=caps)


@pytest.mark.parametrize(
    ("ad", "broken", "kept", "seen", "line"),
    [
        ({"gap": 3}, [A, P, A], [A, P, P, A], [], "stands at places 1 and 3; the gap is 3"),
        ({"gap": 3}, [P, A], [P, P, A], [A], "stands at places 1 and 3; the gap is 3"),
        ({"first": 3}, [P, A], [P, P, A], [], "stands at place 2, before 3"),
        ({"at_most": 1}, [A, P, A, P], [A, P, P, P, A], [], "page 1 has 2 cards; at_most is 1"),
        ({"at_most": 1}, [A, P], [P, P, A], [A, P], "page 1 has 2 cards; at_most is 1"),
        ({"at_least": 1}, [P, P, P, P], [P, P, P], [], "page 1 has 0 cards; at_least is 1"),
    ],
)
def test_each_rule(ad: dict[str, Any], broken: list[int], kept: list[int], seen: list[int], line: str) -> None:
    assert _found(ad, broken, seen) == [f"ad: {line}"]
    assert _found(ad, kept, seen) == []
    assert _found(ad, broken, seen, relaxed=("all",)) == [] == _found(ad, broken, seen, relaxed=tuple(ad))


def test_advertisers_that_stand_too_near() -> None:
    ad = {"advertiser_gap": 3}
    assert _found(ad, [A, A, A], [], by=[1, 2, 1]) == ["ad: advertiser 1 stands at places 1 and 3"]
    assert _found(ad, [A, A, A], [A], by=[3, 1, 2, 3]) == []
    assert _found(ad, [A, A], [], by=[0, 0]) == [], "0 is no advertiser"
    assert _found(ad, [A, A, A], [], by=[1, 2, 1], relaxed=("advertiser_gap",)) == []


def test_seen_cards_may_do_anything() -> None:
    ad = {"gap": 3, "first": 3, "at_most": 1, "advertiser_gap": 4}
    assert _found(ad, [P, P], [A, A], by=[1, 1, 0, 0]) == []


def test_an_order_that_loses_a_card_or_changes_a_source() -> None:
    assert _found({}, [P, A], [], order=np.array([0, 0])) == ["the order does not have each candidate once"]
    assert _found({}, [P, P, A], [], order=np.array([1, 0, 2])) == ["product: the cards changed their order"]
    assert _found({}, [P, P, A], [], order=np.array([2, 0, 1])) == []
    assert _found({}, [P, P, A], [], order=np.array([1, 0, 2]), relaxed=("order",)) == []
    assert _found({}, [P, A], [], planned=1) == ["1 places are planned instead of 2"]


def test_caps() -> None:
    assert _found({}, [A, A, P, P], [], caps={(0, A): (0, 1)}) == ["ad: page 1 has 2 cards; the cap is 1"]
    assert _found({}, [A, P, P, P], [], caps={(0, A): (2, 2)}) == ["ad: page 1 has 1 cards; the cap is at least 2"]
    assert _found({}, [A, A, P, P], [], caps={(0, A): (0, 1)}, relaxed=("shares",)) == []
    assert _found({"at_least": 2}, [A, A, P, P], [], caps={(0, A): (0, 1)}) == [], "the rule wins"
