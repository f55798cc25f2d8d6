"""The estimators on places whose click probabilities are known: bias, and coverage of intervals."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from edgerec.off_policy.click_model import click_probabilities
from edgerec.off_policy.estimators import effective_sample_size, ratio_of_sums, snips, t95
from edgerec.off_policy.evaluation import policy_rows
from tests.off_policy.logged_places import BEST, EPSILON, make_world

REPETITIONS, USERS = 250, 60


@cache
def true_rates() -> dict[str, float]:
    """Return the true click rates of the policies over very many users."""
    world = make_world(np.random.default_rng(99), users=40_000)
    rates = {target.name: float((target.probability * world.truth).sum(axis=1).mean()) for target in world.targets}
    log = EPSILON * rates["random"] + (1 - EPSILON) * rates["greedy"]
    return {"logged": log, **rates}


@pytest.fixture(scope="module")
def repetitions() -> list[dict[str, dict]]:
    """Return the rows by policy of many small logs. Each also has the plain mean over the places that agree."""
    found = []
    for number in range(REPETITIONS):
        world = make_world(np.random.default_rng(number), users=USERS)
        rows = {row["name"]: row for row in policy_rows(world.places, world.targets, world.truth)}
        for target in world.targets:
            agree = target.of_shown(world.places)
            rows[target.name]["plain"] = float((world.places.clicked * agree).sum() / agree.sum())
        found.append(rows)
    return found


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr"])
def test_estimators_are_unbiased_and_their_intervals_cover_the_truth(
    estimator: str, repetitions: list[dict[str, dict]]
) -> None:
    for name, truth in true_rates().items():
        means = np.array([rows[name][estimator]["mean"] for rows in repetitions])
        error = means.std(ddof=1) / np.sqrt(REPETITIONS)
        assert abs(means.mean() - truth) < 4 * error + 0.001, (name, means.mean(), truth)
        inside = [low <= truth <= high for low, high in (rows[name][estimator]["ci95"] for rows in repetitions)]
        assert 0.91 <= np.mean(inside) <= 0.985, (name, np.mean(inside))


def test_the_doubly_robust_estimate_also_covers_the_rate_of_the_same_places(repetitions: list[dict[str, dict]]) -> None:
    assert np.mean([rows["other"]["truth"]["inside"] for rows in repetitions]) > 0.91
    assert {rows["other"]["truth"]["places"] == rows["other"]["places"] for rows in repetitions} == {True}


def test_plain_means_of_the_log_are_biased(repetitions: list[dict[str, dict]]) -> None:
    truth = true_rates()["other"]
    for biased in (
        [rows["other"]["plain"] for rows in repetitions],
        [rows["logged"]["dr"]["mean"] for rows in repetitions],
    ):
        error = np.std(biased, ddof=1) / np.sqrt(REPETITIONS)
        assert abs(np.mean(biased) - truth) > 10 * error


def test_the_difference_to_the_log_is_estimated_on_the_same_places(repetitions: list[dict[str, dict]]) -> None:
    rates = true_rates()
    for rows in repetitions[:5]:
        for row in rows.values():
            assert row["difference"]["mean"] == pytest.approx(row["dr"]["mean"] - row["logged"])
    low, high = zip(*(rows["other"]["difference"]["ci95"] for rows in repetitions), strict=True)
    wanted = rates["other"] - rates["logged"]
    assert 0.91 <= np.mean((np.array(low) <= wanted) & (wanted <= np.array(high))) <= 0.985


def test_wrong_propensities_are_seen() -> None:
    """The checks above can fail: with one propensity for all places, the estimate is far from the truth."""
    world = make_world(np.random.default_rng(5), users=4000)
    wrong = replace(world.places, propensity=np.full(len(world.places), 0.5))
    truth = true_rates()["other"]
    for places, right in ((world.places, True), (wrong, False)):
        (row,) = [row for row in policy_rows(places, world.targets, None) if row["name"] == "other"]
        low, high = row["snips"]["ci95"]
        assert (low - 0.01 <= truth <= high + 0.01) == right
        assert row["truth"] is None


def test_intervals_agree_with_a_bootstrap_of_users() -> None:
    rng = np.random.default_rng(1)
    world = make_world(rng, users=150)
    places, (_, other, _) = world.places, world.targets
    weights = other.of_shown(places) / places.propensity
    estimate = snips(weights, places.clicked, places.user)
    assert estimate is not None
    sums = np.stack([np.bincount(places.user, each) for each in (weights * places.clicked, weights)])
    drawn = sums[:, rng.integers(0, 150, (4000, 150))].sum(axis=2)
    low, high = np.percentile(drawn[0] / drawn[1], [2.5, 97.5])
    assert estimate.high - estimate.low == pytest.approx(high - low, rel=0.1)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.15 * (high - low))
    # Places of a user are not independent: an interval that ignores users is too narrow.
    of_users, of_places = (
        ratio_of_sums(places.clicked, np.ones(len(places)), clusters)
        for clusters in (places.user, np.arange(len(places)))
    )
    assert of_places.high - of_places.low < 0.9 * (of_users.high - of_users.low)


def test_the_direct_model_makes_the_estimate_more_exact(repetitions: list[dict[str, dict]]) -> None:
    widths = {name: np.mean([np.diff(rows["other"][name]["ci95"]) for rows in repetitions]) for name in ("ips", "dr")}
    assert widths["dr"] < 0.9 * widths["ips"]


def test_the_direct_model_of_a_user_does_not_see_the_user() -> None:
    world = make_world(np.random.default_rng(2), users=30)
    before = click_probabilities(world.places)
    changed = np.where(world.places.user == 7, 1 - world.places.clicked, world.places.clicked)
    after = click_probabilities(replace(world.places, clicked=changed))
    same = (before == after).all(axis=1)
    assert same[world.places.user % 2 == 1].all()
    assert not same[world.places.user % 2 == 0].any()


def test_the_direct_model_is_calibrated_and_finite() -> None:
    world = make_world(np.random.default_rng(3), users=3000)
    places = world.places
    estimated = click_probabilities(places)[np.arange(len(places)), places.shown]
    assert estimated.mean() == pytest.approx(places.clicked.mean(), abs=0.005)
    upper = places.score[np.arange(len(places)), places.shown] > 1
    assert estimated[upper].mean() == pytest.approx(places.clicked[upper].mean(), abs=0.03)
    for score in (np.zeros_like(places.score), 1e6 * places.score, np.where(places.clicked[:, None] > 0, 1.0, -1.0)):
        odd = replace(places, score=score + np.zeros((1, BEST)))
        assert np.isfinite(click_probabilities(odd)).all()


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(3, 3.1824), (5, 2.5706), (10, 2.2281), (60, 2.0003), (1e9, 1.95996)]
)
def test_quantiles_of_students_t(freedom: float, quantile: float) -> None:
    assert t95(freedom) == pytest.approx(quantile, rel=0.01 if freedom < 5 else 0.001)


def test_effective_sample_size() -> None:
    assert effective_sample_size(np.array([2.0, 2.0, 0.0])) == 2
    assert effective_sample_size(np.zeros(3)) == 0
