"""From logs to estimates: which places count, every policy, the command, and damaged logs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from edgerec.data.logs import open_logs
from edgerec.off_policy.evaluation import evaluate_policies
from edgerec.off_policy.explored_logs import read_exposures, read_orders
from edgerec.off_policy.places import explored_places
from edgerec.off_policy.seen_places import seen_places
from tests.command_line import document, edgerec_here, error_line
from tests.off_policy.explored_feed import write_explored_logs


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_explored_logs(tmp_path_factory.mktemp("off_policy") / "logs")


def change(logs: Path, to: Path, table: str, how: Callable[[pl.DataFrame], pl.DataFrame]) -> Path:
    """Copy logs to `to`, and change a table."""
    shutil.copytree(logs, to)
    file = to / table / "part-00000.parquet"
    how(pl.read_parquet(file)).write_parquet(file)
    return to


def set_first(column: str, value: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Return a function that sets a column of the first row."""

    def change(table: pl.DataFrame) -> pl.DataFrame:
        values = table[column].to_list()
        return table.with_columns(pl.Series(column, [value, *values[1:]], dtype=table.schema[column]))

    return change


def rows(logs: Path, **more: Any) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in evaluate_policies(logs, **more)["policies"]}


def test_the_places_that_count_are_those_that_users_saw(logs: Path) -> None:
    opened = open_logs(logs)
    orders = read_orders(opened)
    found = explored_places(orders, seen_places(orders, read_exposures(opened))).places
    truth = pl.read_parquet(logs / "truth" / "places")
    # The simulated users saw exactly the places that the truth has, also if an exposure ended after the next request.
    assert set(zip(found.request_id.tolist(), found.place.tolist(), strict=True)) == set(
        truth.select("request_id", "place").iter_rows()
    )
    known = {(request, place): items for request, place, items, _ in truth.iter_rows()}
    for row in range(len(found)):
        items = known[int(found.request_id[row]), int(found.place[row])]
        assert found.item[row, : found.count[row]].tolist() == items
        assert found.count[row] == len(items)


def test_policies_are_estimated_and_compared_with_the_truth(logs: Path) -> None:
    found = document(edgerec_here("off-policy", logs, "--json"))
    policies = {row["name"]: row for row in found["policies"]}
    assert list(policies) == ["logged", "greedy", "base_order", "random"]
    assert (found["users"], found["requests"], found["best_candidates"]) == (60, 720, 3)
    for row in policies.values():
        assert row["truth"]["inside"], row
        assert row["truth"]["places"] == row["places"]
        low, high = row["dr"]["ci95"]
        assert low < row["snips"]["mean"] < high
    logged, greedy, base = (policies[name] for name in ("logged", "greedy", "base_order"))
    assert logged["dr"]["mean"] == pytest.approx(found["clicks"] / found["places"])
    assert logged["coverage"] == logged["agreement"] == greedy["coverage"] == 1
    assert found["explored"] == pytest.approx(0.4 * 2 / 3, abs=0.04)
    assert greedy["agreement"] == pytest.approx(1 - found["explored"])
    assert 0.5 < base["coverage"] < 1
    assert base["agreement"] < base["coverage"]
    assert policies["random"]["agreement"] == pytest.approx(1 / 3, abs=0.02)
    assert policies["random"]["truth"]["mean"] < greedy["truth"]["mean"]


def test_the_table_names_policies_and_truth(logs: Path) -> None:
    done = edgerec_here("off-policy", logs)
    assert done.returncode == 0, done.stderr
    for words in ("base_order", "click rate (DR)", "coverage", "effective sample size", "truth", "inside"):
        assert words in done.stdout


def test_a_run_is_a_policy(run_path: Path, tmp_path: Path, eager: None) -> None:
    logs = write_explored_logs(tmp_path / "logs", users=6, pages=2)
    found = document(edgerec_here("off-policy", logs, "--run", run_path, "--json"))
    row = found["policies"][-1]
    assert row["name"] == str(run_path)
    assert 0 < row["coverage"] <= 1
    assert row["dr"]["ci95"][0] < row["dr"]["mean"] < row["dr"]["ci95"][1]


def test_a_policy_is_the_best_remaining_candidate_by_its_scores(logs: Path) -> None:
    def logged_scores(_: Path, requests: pl.DataFrame) -> np.ndarray:
        return 3 * requests["scores"].explode().to_numpy() + 1

    def reversed_scores(_: Path, requests: pl.DataFrame) -> np.ndarray:
        return -requests["scores"].explode().to_numpy()

    same = rows(logs, runs=[Path("run")], scores_of=logged_scores)
    assert {**same["run"], "name": "greedy"} == same["greedy"]
    assert rows(logs, runs=[Path("run")], scores_of=reversed_scores)["run"]["coverage"] < 0.2


def test_a_request_without_base_scores_has_no_base_order(logs: Path, tmp_path: Path) -> None:
    without = change(logs, tmp_path / "logs", "requests", set_first("score", None))
    before, after = rows(logs), rows(without)
    assert after["greedy"] == before["greedy"]
    assert 0 < before["base_order"]["places"] - after["base_order"]["places"] <= 2


def test_logs_without_truth_stores_pages_and_base_scores_are_read(logs: Path, tmp_path: Path) -> None:
    before = rows(logs)
    plain = change(logs, tmp_path / "logs", "events", lambda table: table.drop("store_id", "page_id", "ordinal"))
    file = plain / "requests" / "part-00000.parquet"
    pl.read_parquet(file).drop("store_id", "page_id", "explored_among").write_parquet(file)
    shutil.rmtree(plain / "truth")
    after = rows(plain)
    for name, row in after.items():
        assert row == {**before[name], "truth": None}


def test_an_order_ends_with_the_next_one_and_with_the_first_place_that_was_not_seen(tmp_path: Path, logs: Path) -> None:
    def seen(events: list[tuple[int, int]], *, next_items: list[int]) -> list[bool]:
        """Return which places of one request at 1000 count. The next one is at 2000. Events are (item, time)."""
        request = {"user_id": 1, "store_id": None, "page_id": 1}
        first = {"request_id": 1, "time": 1000, "item_id": [7, 8, 9], "positions": [2, 0, 1]}
        orders = pl.DataFrame(
            [
                {**request, **first, "propensities": [0.9, 0.9]},
                {**request, "request_id": 2, "time": 2000, "item_id": next_items, "positions": [0]},
            ],
            schema_overrides={"store_id": pl.Int64},
        )
        exposures = pl.DataFrame(
            [{**request, "order": index, "item_id": item, "time": time} for index, (item, time) in enumerate(events)],
            schema_overrides={"store_id": pl.Int64},
        )
        return seen_places(orders, exposures)[0].tolist()

    assert seen([(9, 1100), (7, 1200)], next_items=[8]) == [True, True]
    assert seen([(9, 1100), (7, 2100)], next_items=[7, 8]) == [True, False]  # shown again by the next order
    assert seen([(9, 1100), (7, 2100)], next_items=[8]) == [True, True]  # on the screen during the next request
    assert seen([(7, 1100), (9, 1200)], next_items=[8]) == [True, False]  # another order
    assert seen([(7, 1100)], next_items=[8, 9]) == [False, False]
    assert seen([(9, 900), (7, 1100)], next_items=[8]) == [False, False]  # before the request
    assert seen([(9, 1100), (9, 1300), (7, 1200)], next_items=[8]) == [True, True]


@pytest.mark.parametrize("pages", [(5, 9), (9, 5), (7, 7)])
def test_the_numbers_of_pages_change_nothing_if_exposures_have_no_page(pages: tuple[int, int]) -> None:
    # An order is in force until the user's next one, on whichever page. Rows are sorted as `read_orders` does.
    user = {"user_id": 1, "store_id": None}
    order = {"item_id": [1, 2], "positions": [0, 1], "propensities": [0.5, 0.5]}
    orders = pl.DataFrame(
        [
            {**user, **order, "page_id": page, "time": time, "request_id": time}
            for page, time in zip(pages, (1000, 2000), strict=True)
        ],
        schema_overrides={"store_id": pl.Int64},
    ).sort("user_id", "store_id", "page_id", "time", "request_id")
    exposures = pl.DataFrame(
        [
            {**user, "page_id": None, "order": index, "item_id": item, "time": time}
            for index, (item, time) in enumerate([(1, 1100), (1, 2100), (2, 2200)])
        ],
        schema_overrides={"store_id": pl.Int64, "page_id": pl.Int64},
    )
    found = dict(zip(orders["time"].to_list(), seen_places(orders, exposures).tolist(), strict=True))
    assert found == {1000: [True, False], 2000: [True, True]}


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("propensities", [0.0, 1.0], "propensities should have numbers above 0 and at most 1"),
        ("propensities", [0.5, None], "propensities should have numbers above 0 and at most 1"),
        ("propensities", [0.5] * 11, "propensities should have numbers above 0 and at most 1, and not more than"),
        (
            "positions",
            [0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
            "positions should have each number below the number of candidates once",
        ),
        ("positions", None, "positions should have each number below the number of candidates once"),
        ("scores", [1.0], "scores should have one finite number for each candidate"),
        ("scores", [float("nan")] * 10, "scores should have one finite number for each candidate"),
        ("scores", None, "scores should have one finite number for each candidate"),
        ("score", [1.0], "score should have one value for each candidate, or be null (1 requests)"),
        ("explored_among", 0, "explored_among should be at least 1, or null"),
        ("explored_among", 1, "should show one of the 1 best remaining candidates by scores; it shows number"),
    ],
)
def test_damaged_columns_are_one_line(column: str, value: Any, text: str, logs: Path, tmp_path: Path) -> None:
    def damage(table: pl.DataFrame) -> pl.DataFrame:
        explored = pl.col("propensities").list.min() < 0.3  # it shows another candidate than the best one
        return set_first(column, value)(table.sort(~explored))

    done = edgerec_here("off-policy", change(logs, tmp_path / "logs", "requests", damage))
    assert text in error_line(done)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        (lambda table: table.drop("propensities"), "explore was never on: set ClientConfig(explore=...)"),
        (lambda table: table.drop("propensities"), "or simulate some with `edgerec abtest --logs`"),
        (lambda table: table.with_columns(propensities=pl.lit(None)), "explore was never on"),
        (lambda table: table.with_columns(outcome=pl.lit("shadow")), "requests.outcome should be 'reordered'"),
        (lambda table: table.with_columns(propensities=pl.lit("x")), "propensities should be List(Float64); received"),
        (lambda table: table.with_columns(pl.col("time") + 10**9), "the user saw none of their explored places"),
        (lambda table: table.filter(user_id=3), "has explored places of only one user"),
    ],
)
def test_logs_that_cannot_be_evaluated_are_one_line(
    how: Callable[[pl.DataFrame], pl.DataFrame], text: str, logs: Path, tmp_path: Path
) -> None:
    assert text in error_line(edgerec_here("off-policy", change(logs, tmp_path / "logs", "requests", how)))


@pytest.mark.parametrize(
    ("how", "text"),
    [
        (lambda table: table.with_columns(probability=pl.lit([2.0])), "cannot be read"),
        (set_first("probability", [2.0, 0.1, 0.1]), "should be from 0 to 1"),
        (lambda table: table.drop("place"), "cannot be read"),
    ],
)
def test_damaged_truth_is_one_line(
    how: Callable[[pl.DataFrame], pl.DataFrame], text: str, logs: Path, tmp_path: Path
) -> None:
    changed = change(logs, tmp_path / "logs", "truth/places", how)
    assert text in error_line(edgerec_here("off-policy", changed))
