"""The default world has all features of Table 1, clicks that can be predicted, and the figures that the docs state."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.encoder import GroupEncoder
from edgerec.features.kinds import Feature
from edgerec.features.spec import table1
from edgerec.model.metrics import request_aucs
from edgerec.simulation.config import SimulationConfig
from tests.simulation.conftest import World

SPEC = table1()
EB_NERD = np.array([10.7, 5.2, 3.2, 2.4, 1.6, 1.0])
"""Click rate in percent after 0, 1, 2, 3, 4, and 5 or more earlier exposures of the same article."""


@pytest.fixture(scope="module")
def tables(world: World) -> dict[str, pl.DataFrame]:
    names = ("events", "requests", "truth/requests", "truth/exposures")
    return {"items": world.items} | {name: world.read(name) for name in names}


def labels(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the label of each exposure, sorted by user and time. The first request of a page has all its labels."""
    first = tables["requests"].filter(pl.col("request_id") == pl.col("page_id"))
    return first.select("user_id", "item_id", "clicked").explode("item_id", "clicked").drop_nulls("clicked")


def test_the_default_world_is_large_enough_for_training(world: World, tables: dict[str, pl.DataFrame]) -> None:
    requests = tables["requests"]
    training = requests.filter(pl.col("time") < world.test_from)
    # A world with a quarter of the users must have a quarter of the requests.
    assert 0.9 * len(training) > 100_000 * world.config.users / SimulationConfig().users
    clicked = labels(tables)["clicked"]
    assert 0.08 < clicked.mean() < 0.12
    assert requests["user_id"].n_unique() == world.config.users


def column(table: pl.DataFrame, feature: Feature) -> NDArray[np.generic]:
    values = table[feature.source]
    return np.array(values.to_list(), dtype=object) if values.dtype == pl.String else values.to_numpy()


@pytest.mark.parametrize(
    ("group", "feature"),
    [(group, feature) for group, features in SPEC.groups.items() for feature in features],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_each_feature_of_table_1_takes_all_of_its_values(
    tables: dict[str, pl.DataFrame], group: str, feature: Feature
) -> None:
    kind = {kind.group: kind.name for kind in BEHAVIOUR_KINDS}.get(group)
    part = tables["events"].head(100_000).join(tables["items"], on="item_id", how="left", maintain_order="left")
    table = part.filter(kind=kind) if kind else part
    # The first event of a kind has no time decay, and items found by search have no score. No other value is missing.
    expected = {"time_decay_s": table["user_id"].n_unique(), "score": (part["opened_from"] == "search").sum()}
    assert table[feature.source].null_count() == expected.get(feature.source, 0)
    values = column(table, feature)
    if feature.has_table:
        vocabulary = feature.fit_vocabulary(values.astype(np.int64), np.ones(len(values), np.int64))
        rows = GroupEncoder([feature], {feature.name: vocabulary}).encode({feature.source: values}).ids[:, 0]
        assert vocabulary.rows > 0.9 * tables["items"][feature.source].n_unique()
        assert (rows > 0).mean() > 0.99
    elif feature.field == "numbers":
        fitted = feature.model_copy(update={"mean": 0.1, "scale": 0.1})
        numbers = GroupEncoder([fitted]).encode({feature.source: values}).numbers
        assert np.isfinite(numbers).all()
        assert numbers.std() > 0.1
    else:
        codes = GroupEncoder([feature]).encode({feature.source: values}).codes[:, 0]
        reached = set(codes.tolist())
        assert reached - {0} == set(range(1, feature.codes))


def test_a_request_has_as_many_known_behaviours_as_in_the_paper(tables: dict[str, pl.DataFrame]) -> None:
    """The means in the paper are 56 exposures and 26 page-views."""
    requests = tables["requests"]
    for kind, expected in (("exposure", 56), ("page_view", 26)):
        times = tables["events"].filter(kind=kind).select(key=pl.col("user_id") * 2**43 + pl.col("time"))
        begins = requests.select(key=pl.col("user_id") * 2**43)["key"]
        at = requests.select(key=pl.col("user_id") * 2**43 + pl.col("time"))["key"]
        counts = times["key"].search_sorted(at) - times["key"].search_sorted(begins)
        assert counts.mean() == pytest.approx(expected, rel=0.1)


# In a quarter of the world, so few items have five exposures to a user that chance alone exceeds the bound.
@pytest.mark.parametrize("world", [pytest.param("default", marks=pytest.mark.slow)], indirect=True, scope="session")
def test_repeated_exposures_lower_the_click_rate_as_in_eb_nerd(tables: dict[str, pl.DataFrame]) -> None:
    """Each ratio of two successive click rates is within 25 % of the ratio in EB-NeRD."""
    shown = labels(tables)
    earlier = shown.select(pl.int_range(pl.len()).over("user_id", "item_id").clip(upper_bound=5)).to_series()
    rates = shown.group_by(earlier).agg(pl.col("clicked").mean()).sort("literal")["clicked"].to_numpy()
    ratios = (rates[1:] / rates[:-1]) / (EB_NERD[1:] / EB_NERD[:-1])
    assert (np.abs(ratios - 1) <= 0.25).all(), ratios


def test_exposures_without_a_click_lower_the_click_rate_of_their_category(tables: dict[str, pl.DataFrame]) -> None:
    """See section 3.2.1. Only exposures after a click are compared, so that users have a similar intent."""
    shown = labels(tables).join(tables["items"].select("item_id", "category"), on="item_id", maintain_order="left")
    run = (pl.col("clicked").cum_sum() - pl.col("clicked")).over("user_id", "category")
    exposures = shown.with_columns(run=run).select(
        pl.int_range(pl.len()).over("user_id", "category", "run").alias("fatigue"), "clicked", "run"
    )
    rates = (
        exposures.filter((pl.col("run") > 0) & (pl.col("fatigue") < 8))
        .group_by("fatigue")
        .agg(pl.col("clicked").mean())
    )
    falling = rates.sort("fatigue")["clicked"].to_list()
    assert falling[7] < 0.6 * falling[0]


def test_an_item_is_clicked_more_often_after_a_more_expensive_one(tables: dict[str, pl.DataFrame]) -> None:
    """Items of middle price are clicked more often if the item shown before them is expensive than if it is cheap."""
    shown = labels(tables).join(tables["items"].select("item_id", "price_level"), on="item_id", maintain_order="left")
    before = shown.with_columns(before=pl.col("price_level").shift(1).over("user_id")).filter(
        pl.col("price_level").is_between(3, 5)
    )
    after_expensive, after_cheap = (
        before.filter(pl.col("before").is_in(levels))["clicked"].mean() for levels in ([6, 7], [1, 2])
    )
    assert after_expensive > 1.2 * after_cheap


def gauc(rows: pl.DataFrame, score: pl.Series) -> float:
    areas, weights = request_aucs(
        rows["request_id"].to_numpy(), rows["clicked"].to_numpy().astype(np.uint8), score.to_numpy().astype(np.float64)
    )
    return float(np.average(areas, weights=weights))


def test_the_true_probabilities_rank_better_than_the_base_order(world: World, tables: dict[str, pl.DataFrame]) -> None:
    truth = tables["truth/requests"]["probability"]
    requests = tables["requests"].with_columns(truth).filter(pl.col("time") >= world.test_from)
    rows = requests.select(
        "request_id", "clicked", "probability", position=pl.int_ranges(pl.col("item_id").list.len())
    ).explode(pl.exclude("request_id")).drop_nulls("clicked")  # fmt: skip
    base, best = gauc(rows, -rows["position"]), gauc(rows, rows["probability"])
    assert base + 0.08 < best < 0.90
    assert 0.58 < base < 0.72


def test_click_counts_match_the_true_probabilities(tables: dict[str, pl.DataFrame]) -> None:
    clicked, probability = labels(tables)["clicked"], tables["truth/exposures"]["probability"]
    assert len(clicked) == len(probability)
    for low, high in ((0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 1)):
        part = probability.is_between(low, high, closed="left")
        deviation = float(np.sqrt((probability * (1 - probability)).filter(part).sum()))
        assert abs(float(clicked.filter(part).sum()) - float(probability.filter(part).sum())) < 4 * deviation


def test_the_position_in_a_request_does_not_reveal_the_click(tables: dict[str, pl.DataFrame]) -> None:
    """If a click ended the labels of a request, the last labelled item would nearly always be the clicked one."""
    last = tables["requests"].select(pl.col("clicked").list.drop_nulls().list.last()).to_series().mean()
    overall = tables["requests"]["clicked"].explode().drop_nulls().mean()
    assert 0.4 * overall < last < 1.5 * overall


def test_users_act_differently_on_clicked_items(tables: dict[str, pl.DataFrame]) -> None:
    exposures = tables["events"].filter(kind="exposure").with_columns(labels(tables)["clicked"])
    means = exposures.group_by("clicked").agg(
        pl.col("exposure_duration_s", "scroll_speed", "scroll_count", "exposure_count").mean()
    ).sort("clicked")  # fmt: skip
    assert means["exposure_duration_s"][1] > 1.2 * means["exposure_duration_s"][0]
    assert means["scroll_speed"][1] < 0.8 * means["scroll_speed"][0]
    views = tables["events"].filter(kind="page_view")
    assert (views["choose_sku"] >= views["buy"]).all()
    bought = views.group_by("buy").agg(pl.col("page_duration_s").mean()).sort("buy")["page_duration_s"]
    assert bought[1] > bought[0]
