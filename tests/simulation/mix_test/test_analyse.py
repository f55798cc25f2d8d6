"""The statistics of a test of policies, on tables whose answers are planted."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from edgerec.core.errors import ConfigurationError, InputError
from edgerec.simulation.mix_test.analyse import analyse_policies
from edgerec.simulation.mix_test.equal_share import PilotPoint, exchange_rates
from tests.simulation.mix_test.tables import BOUNDS, START_MS, Planted, planted_tables

POLICIES = {
    "fixed": Planted(),
    "greedy": Planted(ad_rate=0.12),
    "price": Planted(ad_rate=0.15, curse=1.3, price=0.2),
    "more": Planted(ads=0.15, ad_rate=0.12),
}
PILOTS = [
    PilotPoint("greedy", {"ad": 0.08}, 0.10),
    PilotPoint("greedy", {"ad": 0.12}, 0.11),
    PilotPoint("price", {"ad": 0.10}, 0.20),
]


def analysed(tables: tuple[pl.DataFrame, pl.DataFrame], **more: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "policies": list(POLICIES),
        "bounds": BOUNDS,
        "goals": {"ad": 0.1},
        "pilots": PILOTS,
        "start_ms": START_MS,
    }
    return analyse_policies(*tables, **{**settings, **more})


@pytest.fixture(scope="module")
def tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    return planted_tables(POLICIES, users=150)


@pytest.fixture(scope="module")
def found(tables: tuple[pl.DataFrame, pl.DataFrame]) -> dict[str, Any]:
    return analysed(tables)


def change(document: dict[str, Any], policy: str, against: str, metric: str) -> dict[str, Any]:
    (entry,) = [each for each in document["comparisons"] if (each["policy"], each["against"]) == (policy, against)]
    return dict(entry["change"][metric])


def test_sums_of_a_policy_are_those_of_its_cards(
    found: dict[str, Any], tables: tuple[pl.DataFrame, pl.DataFrame]
) -> None:
    cards = tables[1].filter(bucket="price")
    own = found["policies"]["price"]

    assert own["cards"] * own["users"] == pytest.approx(len(cards))
    assert own["value"] * own["users"] == pytest.approx((cards["probability"] * cards["worth"]).sum(), rel=1e-5)
    assert own["realised"] * own["users"] == pytest.approx((cards["clicked"] * cards["worth"]).sum(), rel=1e-5)
    assert own["exits_per_card"] == pytest.approx(cards["left"].mean())
    assert own["shares"]["ad"]["share"] == pytest.approx((cards["kind"] == "ad").mean())
    assert own["shares"]["ad"]["goal"] == 0.1
    assert own["shares"]["video"]["goal"] is None


def test_the_planted_uplift_is_in_the_interval_and_equal_cards_cancel(found: dict[str, Any]) -> None:
    # Ads are the same cards with the same users' tastes, so the difference is exactly that of their click rates.
    share = found["policies"]["price"]["shares"]["ad"]["share"]
    rest = 0.1 * ((1 - 0.2 - share) + 0.2 * 0.4)
    planted = (share * 3 * 0.15 + rest) / (share * 3 * 0.12 + rest) - 1
    against_greedy = change(found, "price", "greedy", "value")

    assert against_greedy["ci95"][0] < planted < against_greedy["ci95"][1]
    assert against_greedy["ci95"][1] - against_greedy["ci95"][0] < 0.03
    assert change(found, "price", "greedy", "cards") == {"mean": 0.0, "ci95": None, "p": None}
    assert change(found, "greedy", "fixed", "exits_per_card")["mean"] == 0.0


def test_a_larger_share_is_paid_for_at_the_rate_of_exchange(found: dict[str, Any]) -> None:
    more, greedy = (found["policies"][name] for name in ("more", "greedy"))
    surplus = more["shares"]["ad"]["share"] - 0.1

    assert found["rates"] == {"ad": pytest.approx(0.25)}
    assert more["value_at_share"] == pytest.approx(more["value"] - 0.25 * surplus * more["cards"])
    assert change(found, "more", "greedy", "value")["mean"] > 0.05
    assert abs(change(found, "more", "greedy", "value_at_share")["mean"]) < 0.02
    assert greedy["value_at_share"] != greedy["value"]


def test_rates_of_several_kinds_are_slopes_within_groups() -> None:
    points = [
        PilotPoint(group, {"ad": ad, "video": video}, level + 0.25 * ad - 0.05 * video)
        for group, level in (("a", 1.0), ("b", 3.0))
        for ad, video in ((0.08, 0.2), (0.10, 0.25), (0.12, 0.2))
    ]

    assert exchange_rates(points, ["ad", "video"]) == pytest.approx({"ad": 0.25, "video": -0.05})
    assert exchange_rates([], ["ad"]) == {}


def test_pilot_runs_with_equal_shares_say_no_rate() -> None:
    same = [PilotPoint("greedy", {"ad": 0.1}, 0.1), PilotPoint("greedy", {"ad": 0.101}, 0.2)]

    assert exchange_rates(same, ["ad"]) == {}


def test_without_a_rate_the_value_is_not_corrected_and_the_rate_is_null(
    tables: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    document = analysed(tables, pilots=[PilotPoint("greedy", {"ad": 0.1}, 0.1)])

    assert document["rates"] == {"ad": None}
    assert document["policies"]["more"]["value_at_share"] == document["policies"]["more"]["value"]


def test_the_optimists_curse_is_measured_and_a_second_calibration_removes_it(found: dict[str, Any]) -> None:
    price, greedy = found["predicted"]["price"], found["predicted"]["greedy"]

    assert greedy["all"]["ratio"] == pytest.approx(1.0)
    assert price["ad"]["ratio"] == pytest.approx(1.3, abs=0.02)
    for kind in ("all", "product", "ad"):
        low, high = price[kind]["refitted_ci95"]
        # Clicks are random, so the second calibration is not exact: 150 users have about 1,400 clicks.
        assert abs(price[kind]["refitted"] - 1) < 0.15
        assert low < high
    assert abs(price["all"]["refitted"] - 1) < 0.3 * abs(price["all"]["ratio"] - 1)


def test_cards_without_a_prediction_are_left_out(tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    users, exposures = tables
    few = exposures.with_columns(pl.when(pl.col("position") <= 3).then(None).otherwise("predicted").alias("predicted"))
    none = exposures.with_columns(pl.lit(None, pl.Float32).alias("predicted"))

    some, nothing = (analysed((users, each))["predicted"]["price"]["all"] for each in (few, none))
    assert some["cards"] == exposures.filter(bucket="price").filter(pl.col("position") > 3).height
    assert nothing == {
        **dict.fromkeys(("predicted", "true", "ratio", "ci95", "refitted", "refitted_ci95")),
        "cards": 0,
    }


def test_shares_over_days_cards_lengths_and_places_count_each_card_once(found: dict[str, Any]) -> None:
    cards = round(found["policies"]["fixed"]["cards"] * found["policies"]["fixed"]["users"])
    lengths, places = found["lengths"]["fixed"], found["places"]["fixed"]

    for table in ("days", "cards", "lengths"):
        assert sum(row["cards"] for row in found[table]["fixed"]) == cards
    assert sum(row["sessions"] for row in lengths) == pytest.approx(150 * found["policies"]["fixed"]["sessions"])
    # No ad stands at the first three places, so short sessions have too few of them.
    assert [row["of"]["ad"] for row in places[:3]] == [0, 0, 0]
    assert lengths[0]["to"] == 5
    assert lengths[0]["shares"]["ad"] < 0.06
    assert lengths[0]["errors"]["ad"] > lengths[-2]["errors"]["ad"]
    assert lengths[0]["errors"]["video"] is None


def test_prices_are_means_over_shown_cards(found: dict[str, Any]) -> None:
    ranges = found["card_prices"]["price"]

    assert found["card_prices"]["fixed"] == []
    assert ranges[0]["prices"]["ad"] == pytest.approx(0.2 * (1 - 5.5 / 200), abs=1e-3)
    assert ranges[-1]["prices"]["ad"] == pytest.approx(0.1)
    assert [row["prices"]["video"] for row in found["day_prices"]["price"]] == pytest.approx([-0.01] * 14)


def test_only_policies_that_are_set_by_prices_have_some() -> None:
    held = {"greedy": Planted(price=0.2), "price": Planted(price=0.2)}
    document = analysed(planted_tables(held, users=5), policies=list(held))

    for prices in (document["card_prices"], document["day_prices"]):
        assert prices["greedy"] == []
        assert prices["price"]


@pytest.mark.parametrize(
    ("change_tables", "settings", "error", "expected"),
    [
        (lambda u, e: (u, e.drop("left")), {}, InputError, "missing: left"),
        (lambda u, e: (u, e.with_columns(pl.lit(None).alias("worth"))), {}, InputError, "worth should have no null"),
        (lambda u, e: (u.filter(~((u["bucket"] == "more") & (u["user_id"] == 5))), e), {}, InputError, "same users"),
        (lambda u, e: (u, e), {"policies": ["fixed"]}, ConfigurationError, "at least two"),
        (lambda u, e: (u, e), {"goals": {"banner": 0.1}}, ConfigurationError, "'banner'"),
    ],
)
def test_wrong_tables_are_one_clear_error(
    tables: tuple[pl.DataFrame, pl.DataFrame],
    change_tables: Any,
    settings: dict[str, Any],
    error: type[Exception],
    expected: str,
) -> None:
    with pytest.raises(error, match=expected):
        analysed(change_tables(*tables), **settings)
