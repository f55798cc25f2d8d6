"""Exposures, clicks, page-views and requests of each user are in a causal order."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.simulation.config import BehaviourConfig, CloudConfig, SimulationConfig
from edgerec.simulation.population import blocks, simulate_block

configurations = st.builds(
    SimulationConfig,
    users=st.integers(1, 4),
    items=st.integers(20, 80),
    days=st.integers(1, 3),
    categories=st.integers(1, 8),
    pages=st.integers(1, 4),
    rerank_after=st.sampled_from([1, 4, 30]),
    return_probability=st.sampled_from([0.0, 0.6]),
    cloud=st.builds(CloudConfig, page=st.integers(1, 20), recall=st.integers(20, 60)),
    behaviour=st.builds(
        BehaviourConfig,
        bias=st.floats(-5, 1),
        deletes=st.floats(0, 1),
        leave=st.sampled_from([0.0001, 0.05, 1.0]),
        searches=st.sampled_from([0.0, 0.5, 4.0]),
    ),
)


@settings(max_examples=20)
@given(config=configurations, seed=st.integers(0, 2**31))
def test_logs_of_each_user_are_in_causal_order(config: SimulationConfig, seed: int) -> None:
    (block,) = blocks(config)
    tables = simulate_block(config, seed, block)
    events, requests = by_user(tables.events), by_user(tables.requests)
    assert set(requests) == set(events) == set(range(1, config.users + 1))
    for user, user_events in events.items():
        check_times(user_events)
        check_page_views(user_events)
        check_requests(user_events, requests[user])
        check_removals(user_events)
    check_truth(tables.events, tables.requests, tables.truth, tables.truth_exposures)


def by_user(table: pl.DataFrame) -> dict[int, list[dict[str, Any]]]:
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in table.iter_rows(named=True):
        rows[row["user_id"]].append(row)
    return rows


def check_times(events: list[dict[str, Any]]) -> None:
    """Check that times increase strictly, and that the time decay is the time since the last event of the same kind."""
    times = [event["time"] for event in events]
    assert all(earlier < later for earlier, later in itertools.pairwise(times))
    last: dict[str, int] = {}
    for event in events:
        before = last.get(event["kind"])
        if before is None:
            assert event["time_decay_s"] is None
        else:
            seconds = (event["time"] - before) / 1000
            assert abs(event["time_decay_s"] - seconds) <= 1e-6 * seconds
        last[event["kind"]] = event["time"]


def check_page_views(events: list[dict[str, Any]]) -> None:
    """Check that a page-view from the feed directly follows its exposure, and that each kind fills its own columns."""
    for index, event in enumerate(events):
        exposure = event["kind"] == "exposure"
        assert (event["exposure_duration_s"] is not None) == (event["delete_reason"] is not None) == exposure
        assert (
            (event["page_duration_s"] is None) == (event["buy"] is None) == (event["opened_from"] is None) == exposure
        )
        if event["opened_from"] == "feed":
            before = events[index - 1]
            assert index > 0
            assert (before["kind"], before["item_id"]) == ("exposure", event["item_id"])
            assert before["delete_reason"] == "none"
            assert before["score"] == event["score"]
        elif not exposure:
            assert event["score"] is None


def check_requests(events: list[dict[str, Any]], requests: list[dict[str, Any]]) -> None:
    """Check that a request has labels for all exposures of its page after the request, in the order of the events."""
    pages = [list(group) for _, group in itertools.groupby(requests, key=lambda request: request["page_id"])]
    ends = [page[0]["time"] for page in pages[1:]] + [float("inf")]
    labelled = 0
    for page, end in zip(pages, ends, strict=True):
        first = page[0]
        assert first["page_id"] == first["request_id"]
        assert first["trigger"] == "page"
        assert first["score"] == sorted(first["score"], reverse=True)
        assert len(set(first["item_id"])) == len(first["item_id"])
        for request in page:
            after = [event for event in events if request["time"] < event["time"] < end]
            shown = [event for event in after if event["kind"] == "exposure"]
            viewed = {event["item_id"] for event in after if event["opened_from"] == "feed"}
            items = [event["item_id"] for event in shown]
            assert items
            assert request["item_id"] == first["item_id"][len(first["item_id"]) - len(request["item_id"]) :]
            assert request["score"] == first["score"][len(first["score"]) - len(request["score"]) :]
            assert request["item_id"][: len(items)] == items
            unseen = [None] * (len(request["item_id"]) - len(items))
            assert request["clicked"] == [int(item in viewed) for item in items] + unseen
            assert [event["score"] for event in shown] == request["score"][: len(items)]
        labelled += sum(label is not None for label in first["clicked"])
        check_triggers(events, page)
    assert labelled == sum(event["kind"] == "exposure" for event in events)
    # No event has the same time as a request, so it is clear which events a request knows.
    assert not {request["time"] for request in requests} & {event["time"] for event in events}


def check_triggers(events: list[dict[str, Any]], page: list[dict[str, Any]]) -> None:
    """Check the trigger of each later request of a page: the user's last action before it, which started it."""
    for before, request in itertools.pairwise(page):
        between = [event for event in events if before["time"] < event["time"] < request["time"]]
        last = between[-1]
        if last["kind"] == "page_view":
            assert request["trigger"] == "click"
        elif last["delete_reason"] != "none":
            assert request["trigger"] == "delete"
        else:
            assert request["trigger"] == "exposures"
        earlier = between[:-2] if request["trigger"] == "click" else between[:-1]
        # Every click and every removal starts a request. So all earlier behaviours are exposures of items that stayed.
        assert all(event["kind"] == "exposure" and event["delete_reason"] == "none" for event in earlier)


def check_removals(events: list[dict[str, Any]]) -> None:
    """Check that removed items are not shown again."""
    removed: set[int] = set()
    for event in events:
        if event["kind"] == "exposure":
            assert event["item_id"] not in removed
            if event["delete_reason"] != "none":
                removed.add(event["item_id"])


def check_truth(events: pl.DataFrame, requests: pl.DataFrame, truth: pl.DataFrame, exposures: pl.DataFrame) -> None:
    """Check that the tables of true probabilities have a row for each request and each exposure, in the same order."""
    assert truth["request_id"].to_list() == requests["request_id"].to_list()
    assert truth["probability"].list.len().to_list() == requests["item_id"].list.len().to_list()
    shown = events.filter(kind="exposure").select("user_id", "time", "item_id")
    assert exposures.drop("probability").equals(shown)
    for column in (truth["probability"].explode(), exposures["probability"]):
        assert column.is_between(0, 1).all()


def test_the_exposure_count_of_an_item_rises_with_each_exposure() -> None:
    config = SimulationConfig(users=6, items=60, categories=5, days=2, cloud=CloudConfig(page=10, recall=40))
    (block,) = blocks(config)
    tables = simulate_block(config, 3, block)
    exposures = tables.events.filter(kind="exposure")
    counts = exposures.group_by("user_id", "item_id", maintain_order=True).agg("exposure_count")["exposure_count"]
    assert all(all(a < b for a, b in itertools.pairwise(seen)) for seen in counts)
    assert max(len(seen) for seen in counts) > 2
