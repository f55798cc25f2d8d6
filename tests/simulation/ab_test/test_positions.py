from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from edgerec.simulation.ab_test.positions import STARTS, click_rates, clustered_rate


def exposures(*rows: tuple[str, int, int, bool]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["bucket", "user_id", "position", "clicked"], orient="row")


def test_bins_have_5_positions_then_10_and_the_last_one_is_open() -> None:
    positions = [1, 5, 6, 50, 51, 60, 61, 100, 101, 5000]
    bins = click_rates(exposures(*(("cloud", 1, position, False) for position in positions)), ["cloud"])["cloud"]
    assert [(each["from"], each["to"]) for each in bins[:2]] == [(1, 5), (6, 10)]
    assert [(each["from"], each["to"]) for each in bins[9:]] == [
        (46, 50),
        *((51, 60), (61, 70), (71, 80), (81, 90), (91, 100)),
        (101, None),
    ]
    assert [each["exposures"] for each in bins] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 0, 0, 1, 2]
    assert len(bins) == len(STARTS)


def test_all_buckets_have_the_bins_up_to_the_last_exposure() -> None:
    found = click_rates(exposures(("cloud", 1, 2, True), ("crban", 1, 12, False)), ["cloud", "crban", "empty"])
    assert [[each["exposures"] for each in found[name]] for name in found] == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert found["cloud"][0]["rate"] == 1
    assert found["crban"][2]["rate"] == 0
    assert found["empty"][0] == {"from": 1, "to": 5, "exposures": 0, "clicks": 0, "rate": None, "ci95": None}
    assert click_rates(exposures(), ["cloud"]) == {"cloud": []}


def test_the_interval_treats_exposures_of_one_user_as_dependent() -> None:
    clicks, shown = np.array([5.0, 0, 3, 0, 4, 1]), np.array([10.0, 8, 6, 12, 9, 7])
    rate, interval = clustered_rate(clicks, shown)
    assert rate == pytest.approx(0.25)
    rng, found = np.random.default_rng(1), []
    many_clicks, many_shown = np.tile(clicks, 50), np.tile(shown, 50)
    for _ in range(2000):
        drawn = rng.integers(0, 300, 300)
        found.append(many_clicks[drawn].sum() / many_shown[drawn].sum())
    _, many = clustered_rate(many_clicks, many_shown)
    assert interval is not None
    assert many is not None
    assert many == pytest.approx(np.quantile(found, [0.025, 0.975]), abs=0.07 * (many[1] - many[0]))
    independent = 1.96 * np.sqrt(0.25 * 0.75 / 52)
    assert interval[1] - 0.25 > 1.5 * independent


def test_an_interval_that_the_users_cannot_give_is_none() -> None:
    one, several = np.array([4.0]), np.array([4.0, 2.0])
    assert clustered_rate(one, one * 2) == (0.5, None)
    assert clustered_rate(several * 0, several) == (0.0, None)
    assert clustered_rate(several, several) == (1.0, None)
    assert clustered_rate(several[:0], several[:0]) == (None, None)
    assert clustered_rate(np.array([3.0, 0.0]), np.array([3.0, 3.0])) == (0.5, (0.0, 1.0))
