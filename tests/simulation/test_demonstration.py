"""The default size: all of Table 1 is there, and there is something to learn."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from edgerec.data.logs import Logs
from edgerec.features.encoder import GroupEncoder
from edgerec.features.spec import Binarize, Embedding, Feature, Raw, table1
from edgerec.features.vocabulary import Vocabulary

Simulated = tuple[Logs, pl.DataFrame]
SPEC = table1()


def test_it_is_of_the_promised_size(demonstration: Simulated) -> None:
    counts = demonstration[0].counts()
    assert 3_000 <= counts["requests"] <= 4_500
    assert 35_000 <= counts["exposures"] <= 60_000
    assert 0.05 <= counts["clicks"] / counts["exposures"] <= 0.15
    assert counts["users"] == 340


def column(table: pl.DataFrame, feature: Feature) -> NDArray[np.generic]:
    values = table[feature.source]
    return np.array(values.to_list(), dtype=object) if values.dtype == pl.String else values.to_numpy()


@pytest.mark.parametrize(
    ("group", "feature"),
    [(group, feature) for group in ("ie_action", "ipv_action", "item") for feature in getattr(SPEC, group)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_every_value_of_every_feature_of_table_1_is_reached(
    demonstration: Simulated, group: str, feature: Feature
) -> None:
    logs, _ = demonstration
    kind = {"ie_action": "exposure", "ipv_action": "page_view"}.get(group)
    behaviours = logs.events.join(logs.items, on="item_id", how="left", maintain_order="left")
    table = behaviours.filter(kind=kind) if kind else behaviours
    # Only the first event of a kind has no predecessor; nothing else is ever missing.
    missing = table[feature.source].null_count()
    assert missing == (table["user_id"].n_unique() if feature.source == "time_decay_s" else 0)
    values = column(table, feature)
    if isinstance(feature, Embedding):
        vocabulary = Vocabulary.fit(values.astype(np.int64), size=feature.vocabulary, min_count=feature.min_count)
        rows = GroupEncoder([feature], {feature.name: vocabulary}).encode({feature.source: values}).ids[:, 0]
        assert vocabulary.rows > 30
        assert (rows > 0).mean() > 0.99
    elif isinstance(feature, Raw):
        fitted = feature.model_copy(update={"mean": 0.1, "scale": 0.1})
        numbers = GroupEncoder([fitted]).encode({feature.source: values}).numbers
        assert np.isfinite(numbers).all()
        assert numbers.std() > 0.1
    else:
        codes = GroupEncoder([feature]).encode({feature.source: values}).codes[:, 0]
        reached = set(codes.tolist())
        expected = {0, 1} if isinstance(feature, Binarize) else set(range(1, feature.width))
        assert reached - {0} == expected - {0}


def auc(clicked: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Of all pairs of a clicked and an unclicked item, the share in the right order; a tie is half."""
    above = scores[clicked == 1][:, None] - scores[clicked == 0]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


def gauc(logs: Logs, scores: dict[int, NDArray[np.float64]]) -> float:
    """Equation 12 over the test period: AUC of each request with both labels, weighted by its exposures."""
    areas, weights = [], []
    test = logs.requests.filter(pl.col("time") >= logs.head.test_from)
    for request, labels in test.select("request_id", "clicked").iter_rows():
        clicked = np.array([label for label in labels if label is not None])
        if 0 < clicked.sum() < len(clicked):
            areas.append(auc(clicked, scores[request][: len(clicked)]))
            weights.append(len(clicked))
    assert len(areas) > 200
    return float(np.average(areas, weights=weights))


def last_clicked_category(logs: Logs) -> dict[int, NDArray[np.float64]]:
    """1 for candidates of the category whose page the user saw last before the request, else 0."""
    category = dict(zip(logs.items["item_id"], logs.items["category"], strict=True))
    views: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for user, time, item in logs.events.filter(kind="page_view").select("user_id", "time", "item_id").iter_rows():
        views[user].append((time, category[item]))
    scores = {}
    for row in logs.requests.iter_rows(named=True):
        known = [seen for time, seen in views[row["user_id"]] if time < row["time"]]
        wanted = known[-1] if known else None
        scores[row["request_id"]] = np.array([float(category[item] == wanted) for item in row["item_id"]])
    return scores


def test_a_re_ranker_has_something_to_learn(demonstration: Simulated) -> None:
    logs, truth = demonstration
    known = {row["request_id"]: np.array(row["probability"]) for row in truth.iter_rows(named=True)}
    order = {request: -np.arange(len(scores), dtype=np.float64) for request, scores in known.items()}
    rng = np.random.default_rng(0)
    chance = {request: rng.random(len(scores)) for request, scores in known.items()}
    base, best, rule = gauc(logs, order), gauc(logs, known), gauc(logs, last_clicked_category(logs))
    assert abs(gauc(logs, chance) - 0.5) < 0.05
    assert 0.58 < base < 0.68
    assert base + 0.08 < best < 0.90
    assert rule > 0.55


def test_clicks_follow_their_true_probabilities(demonstration: Simulated) -> None:
    logs, truth = demonstration
    clicked = logs.requests["clicked"].explode().drop_nulls()
    probability = truth["probability_exposed"].explode().drop_nulls()
    assert len(clicked) == len(probability)
    spread = float(np.sqrt((probability * (1 - probability)).sum()))
    assert abs(float(clicked.sum()) - float(probability.sum())) < 4 * spread


def test_the_place_in_a_request_does_not_give_the_click_away(demonstration: Simulated) -> None:
    """Were a click to end a request, its last item would nearly always be the clicked one."""
    labels = [[label for label in row if label is not None] for row in demonstration[0].requests["clicked"]]
    overall = np.concatenate(labels).mean()
    last = np.mean([row[-1] for row in labels])
    assert 0.5 * overall < last < 1.3 * overall


def test_a_request_has_a_past_to_learn_from(demonstration: Simulated) -> None:
    logs, _ = demonstration
    known = logs.requests.select("request_id", "user_id", at="time").join(
        logs.events.select("user_id", "time", "kind"), on="user_id"
    )
    counts = known.filter(pl.col("time") < pl.col("at"))["kind"].value_counts()
    means = {kind: count / len(logs.requests) for kind, count in counts.iter_rows()}
    assert means["exposure"] > 30
    assert means["page_view"] > 4


def test_interest_shows_in_what_users_do(demonstration: Simulated) -> None:
    logs, _ = demonstration
    events = logs.events.with_columns(next_kind=pl.col("kind").shift(-1).over("user_id")).filter(kind="exposure")
    means = {
        clicked: events.filter((pl.col("next_kind") == "page_view").fill_null(False) == clicked).select(
            pl.col("exposure_duration_s", "scroll_speed", "scroll_count").mean()
        )
        for clicked in (False, True)
    }
    assert means[True]["exposure_duration_s"].item() > 1.2 * means[False]["exposure_duration_s"].item()
    assert means[True]["scroll_speed"].item() < 0.8 * means[False]["scroll_speed"].item()
    views = logs.events.filter(kind="page_view")
    assert (views["choose_sku"] >= views["buy"]).all()
    bought = views.group_by("buy").agg(pl.col("page_duration_s").mean()).sort("buy")["page_duration_s"]
    assert bought[1] > bought[0]
