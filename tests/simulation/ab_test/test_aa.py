from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from edgerec.core.errors import ConfigurationError, InputError
from edgerec.simulation.ab_test.aa import aa_p_values, aa_test
from edgerec.simulation.ab_test.aggregates import COLUMNS, array_aggregates, columns_of
from edgerec.simulation.ab_test.metrics import METRICS
from edgerec.simulation.ab_test.split import aggregates_uplift, split_uplifts
from edgerec.simulation.ab_test.tables import analysed_users
from tests.simulation.ab_test.tables import make_tables

NAMES = [metric.name for metric in METRICS]


@pytest.fixture(scope="module")
def control() -> pl.DataFrame:
    users, _ = make_tables(1600, design="split")
    return users.filter(pl.col("bucket") == "cloud")


def test_p_values_equal_those_of_the_split_design(control: pl.DataFrame) -> None:
    users = analysed_users(control, ["cloud"], design="split")
    p_values, rng = aa_p_values(users, splits=2, seed=5), np.random.default_rng(5)
    for split in range(2):
        one, other = (users[half] for half in np.array_split(rng.permutation(users.height), 2))
        for index, cuped in enumerate((True, False)):
            expected = [each.p for each in split_uplifts(one, other, cuped=cuped).values()]
            assert p_values[index, :, split] == pytest.approx(expected, rel=1e-9)


def test_the_false_positive_rate_is_5_percent(control: pl.DataFrame) -> None:
    found = aa_test(control, splits=25, seed=2)
    assert found["splits"] == 25
    for part in ("metrics", "without_cuped"):
        assert list(found[part]) == NAMES
        for summary in found[part].values():
            assert summary["ks_p"] > 0.001
            # Four standard deviations above 5 % of 25 splits.
            assert summary["below_5_percent"] < 0.23


@pytest.mark.slow
def test_the_false_positive_rate_of_many_splits_is_5_percent(control: pl.DataFrame) -> None:
    found = aa_test(control, splits=1000, seed=3)
    for part in ("metrics", "without_cuped"):
        for summary in found[part].values():
            assert summary["ks_p"] > 0.001
            assert 0.03 < summary["below_5_percent"] < 0.075


def test_a_wrong_unit_of_analysis_is_found(control: pl.DataFrame) -> None:
    """Rows that are not independent (here each user three times) make variances too small and p-values too small."""
    values = columns_of(analysed_users(control, ["cloud"], design="split"))
    rng, found = np.random.default_rng(1), []
    for _ in range(60):
        halves = np.array_split(rng.permutation(values.shape[1]), 2)
        one, other = (array_aggregates(np.tile(values[:, half], 3)) for half in halves)
        found.append(aggregates_uplift(one, other, METRICS[2], cuped=True).p)
    # 26 % are expected: the share of a normal distribution outside 1.96 divided by the root of 3.
    assert np.mean(np.array(found) < 0.05) > 0.1


def test_users_without_a_session_are_left_out(control: pl.DataFrame) -> None:
    absent = control.with_columns(
        pl.col("user_id") + 10**9, *(pl.lit(0).alias(name) for name in ("sessions", "pv", "clicks")), gmv=pl.lit(0.0)
    )
    assert aa_test(pl.concat([control, absent], how="vertical_relaxed"), splits=3) == aa_test(control, splits=3)


def test_a_figure_that_the_users_cannot_give_is_none(control: pl.DataFrame) -> None:
    nothing = {"ks_p": None, "below_5_percent": None}
    for few in (control[:0], control[:3]):
        assert aa_test(few, splits=2) == {
            "splits": 2,
            **{part: dict.fromkeys(NAMES, nothing) for part in ("metrics", "without_cuped")},
        }
    no_purchases = aa_test(control.with_columns(gmv=pl.lit(0.0), pre_gmv=pl.lit(0.0)), splits=2)["metrics"]
    assert no_purchases["gmv"] == nothing
    assert no_purchases["click"]["ks_p"] is not None


def test_wrong_users_and_settings_are_refused(control: pl.DataFrame) -> None:
    both, _ = make_tables(20, design="split")
    with pytest.raises(InputError, match="users of one bucket; received 2 buckets"):
        aa_test(both)
    with pytest.raises(InputError, match="splits should be a whole number of at least 1"):
        aa_test(control, splits=0)
    with pytest.raises(ConfigurationError, match="winsorise should be a quantile above 0 and at most 1"):
        aa_test(control, winsorise=0)
    with pytest.raises(InputError, match="missing: bucket, gmv"):
        aa_test(control.drop("bucket", "gmv"))


def test_the_columns_are_those_of_the_metrics() -> None:
    assert set(COLUMNS) == {"pv", "clicks", "gmv", "pre_pv", "pre_clicks", "pre_gmv"}
