"""Relations equal a loop over all behaviours of each request."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.errors import SpecificationError
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from edgerec.features.relations.compute import Relations
from edgerec.features.relations.facts import Facts, key_of
from edgerec.features.relations.known import FOREVER_MS, PastBehaviours, longest_age
from edgerec.features.relations.rule import RelationRule
from edgerec.features.vocabulary import MISSING_ID

SAMES = (None, "shop", "brand")
RULES = [
    RelationRule(
        behaviours=plural, same=same, within_s=within_s, latest=latest, compute=compute, column=column, over=over
    )
    for plural in ("exposures", "page_views")
    for same in SAMES
    for within_s, latest in ((None, None), (3.0, None), (None, 2), (5.0, 3))
    for compute, column, over in (
        ("count", None, "last"),
        ("seconds_since", None, "last"),
        ("steps_since", None, "last"),
        *(("share", None, "last") for _ in range(same is not None)),
        *(("value", "price", over) for over in ("last", "mean", "min", "max")),
        ("difference", "price", "mean"),
        ("ratio", "place", "last"),
    )
]  # fmt: skip
KEYS, NUMBERS = ("shop", "brand"), ("price", "place")


def brute_force(rule: RelationRule, keys: list[int], numbers: list[float], past: list[tuple], time: int) -> float:
    """Compute one relation of one candidate. `past` has keys, numbers and time of each known behaviour."""
    chosen = [(index, *behaviour) for index, behaviour in enumerate(past)]
    if rule.latest is not None:
        chosen = chosen[-rule.latest :]
    if rule.within_s is not None:
        chosen = [one for one in chosen if (time - one[3]) / 1000 <= rule.within_s]
    every = len(chosen)
    if rule.same is not None:
        column = KEYS.index(rule.same)
        chosen = [one for one in chosen if one[1][column] == keys[column] != MISSING_ID]
    if rule.compute == "count":
        return len(chosen)
    if rule.compute == "share":
        return len(chosen) / every if every else math.nan
    if rule.compute == "seconds_since":
        return (time - chosen[-1][3]) / 1000 if chosen else math.nan
    if rule.compute == "steps_since":
        return len(past) - 1 - chosen[-1][0] if chosen else math.nan
    column = NUMBERS.index(rule.column or "")
    values = [one[2][column] for one in chosen if not math.isnan(one[2][column])]
    if not values:
        return math.nan
    theirs = {"last": values[-1], "mean": sum(values) / len(values), "min": min(values), "max": max(values)}[rule.over]
    own = numbers[column]
    if rule.compute == "value":
        return theirs
    if rule.compute == "difference":
        return own - theirs
    return own / theirs if theirs else math.nan


key = st.sampled_from([1, 2, 3, key_of("red"), MISSING_ID])
number = st.sampled_from([-2.0, 0.0, 0.5, 3.0, math.nan])
rows = st.tuples(st.tuples(key, key), st.tuples(number, number))


def facts(rows: list[tuple]) -> Facts:
    keys = np.array([row[0] for row in rows], np.int64).reshape(len(rows), 2)
    return Facts(keys, np.array([row[1] for row in rows], float).reshape(len(rows), 2))


def joined(parts: list[Facts]) -> Facts:
    return Facts(np.concatenate([part.keys for part in parts]), np.concatenate([part.numbers for part in parts]))


def past_behaviours(parts: list[Facts], times: list[np.ndarray]) -> PastBehaviours:
    """Return the behaviours of some users, of whom each has a request that knows all of them."""
    ends = np.cumsum([len(part) for part in parts])
    return PastBehaviours(joined(parts), np.concatenate(times), np.concatenate([[0], ends[:-1]]), ends)


@settings(max_examples=12)
@given(st.data())
def test_relations_equal_a_loop_over_behaviours(data: st.DataObject) -> None:
    lists = data.draw(st.lists(st.lists(rows, min_size=1, max_size=4), min_size=1, max_size=3))
    asked = np.array([data.draw(st.integers(24_000, 30_000)) for _ in lists])
    pasts, known = {}, {}
    for kind in (EXPOSURE, PAGE_VIEW):
        known[kind] = []
        for _ in lists:
            behaviours = data.draw(st.lists(rows, max_size=8))
            steps = data.draw(st.lists(st.integers(0, 3000), min_size=len(behaviours), max_size=len(behaviours)))
            known[kind].append([(*row, int(at)) for row, at in zip(behaviours, np.cumsum(steps), strict=True)])
        pasts[kind] = past_behaviours(
            [facts([one[:2] for one in each]) for each in known[kind]],
            [np.array([at for _, _, at in each], np.int64) for each in known[kind]],
        )
    request = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    values = Relations(RULES).compute(facts([row for one in lists for row in one]), request, pasts, asked)
    for rule, numbers in zip(RULES, values, strict=True):
        for index, one in enumerate(lists):
            expected = [brute_force(rule, *row, known[rule.kind][index], int(asked[index])) for row in one]
            np.testing.assert_allclose(
                numbers[request == index], np.array(expected, float), rtol=1e-12, err_msg=str(rule)
            )


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_one_request_has_the_same_bits_as_many(missing: float) -> None:
    rng = np.random.default_rng(0)
    lengths = [30, 7, 0]
    parts = [Facts(rng.integers(0, 4, (count, 2)), rng.normal(size=(count, 2))) for count in lengths]
    for part in parts:
        part.keys[rng.random(part.keys.shape) < missing] = MISSING_ID
        part.numbers[rng.random(part.numbers.shape) < missing] = np.nan
    times = [np.sort(rng.integers(0, 50_000, count)) for count in lengths]
    asked = np.array([50_000, 60_000, 70_000])
    candidates = [Facts(rng.integers(0, 5, (10, 2)), rng.normal(size=(10, 2))) for _ in lengths]
    candidates[0].keys[3:5] = MISSING_ID
    kinds = (EXPOSURE, PAGE_VIEW)
    many = dict.fromkeys(kinds, past_behaviours(parts, times))
    together = Relations(RULES).compute(joined(candidates), np.repeat(np.arange(3), 10), many, asked)
    for row in range(3):
        one = past_behaviours([parts[row]], [times[row]])
        request = np.zeros(10, np.int64)
        alone = Relations(RULES).compute(candidates[row], request, dict.fromkeys(kinds, one), asked[row : row + 1])
        assert together[:, request + 10 * row + np.arange(10)].tobytes() == alone.tobytes()


@pytest.mark.parametrize("seconds", [0.001, 0.1, 0.3, 1.0, 2.675, 3600.0, 86400.3, 1e14, 1e17, 1e300])
def test_a_window_has_the_behaviours_whose_age_in_seconds_is_not_larger(seconds: float) -> None:
    age = longest_age(seconds)
    assert age / 1000 <= seconds
    assert age == FOREVER_MS or (age + 1) / 1000 > seconds


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"compute": "value"}, "needs `column`"),
        ({"compute": "count", "column": "price"}, "reads no `column`"),
        ({"compute": "count", "over": "mean"}, "`over` has no meaning"),
        ({"compute": "share"}, "needs `same`"),
        ({"compute": "count", "within_s": 0}, "above 0"),
        ({"compute": "count", "latest": 0}, "at least 1"),
    ],
)
def test_a_faulty_rule_is_refused(rule: dict[str, object], message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        RelationRule(behaviours="exposures", **rule)  # type: ignore[arg-type]
