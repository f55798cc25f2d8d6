"""What the app could know when: the order of exposures, clicks, page-views and requests."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.simulation.config import BehaviourConfig, SimulationConfig
from edgerec.simulation.simulate import simulate

configurations = st.builds(
    SimulationConfig,
    users=st.integers(1, 3),
    items=st.integers(20, 80),
    days=st.integers(1, 3),
    categories=st.integers(1, 8),
    candidates=st.integers(1, 20),
    pages=st.integers(1, 4),
    rerank_every=st.sampled_from([(1, 1), (1, 4), (5, 9), (30, 30)]),
    return_probability=st.sampled_from([0.0, 0.6]),
    behaviour=st.builds(
        BehaviourConfig, bias=st.floats(-5, 1), deletes=st.floats(0, 1), leave=st.sampled_from([0.0001, 0.05, 1.0])
    ),
)


@settings(max_examples=40, deadline=None)
@given(config=configurations, seed=st.integers(0, 2**31))
def test_every_user_is_told_in_a_causal_order(config: SimulationConfig, seed: int) -> None:
    logs, truth = simulate(config, seed=seed)
    events: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in logs.events.iter_rows(named=True):
        events[event["user_id"]].append(event)
    requests: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for request in logs.requests.iter_rows(named=True):
        requests[request["user_id"]].append(request)
    assert set(requests) == set(events) == set(range(1, config.users + 1))
    assert truth["request_id"].to_list() == logs.requests["request_id"].to_list()
    for user, told in events.items():
        check_times(told)
        check_page_views(told)
        check_labels(told, requests[user])


def check_times(events: list[dict[str, Any]]) -> None:
    """Strictly increasing; time decay is to the previous event of the kind."""
    times = [event["time"] for event in events]
    assert all(earlier < later for earlier, later in itertools.pairwise(times))
    last: dict[str, int] = {}
    for event in events:
        before = last.get(event["kind"])
        assert event["time_decay_s"] == (None if before is None else (event["time"] - before) / 1000)
        last[event["kind"]] = event["time"]


def check_page_views(events: list[dict[str, Any]]) -> None:
    """A page-view follows the exposure of its item at once; each kind fills its own columns only."""
    for place, event in enumerate(events):
        exposure = event["kind"] == "exposure"
        assert (event["exposure_duration_s"] is not None) == (event["delete_reason"] is not None) == exposure
        assert (event["page_duration_s"] is None) == (event["buy"] is None) == exposure
        if not exposure:
            before = events[place - 1]
            assert place > 0
            assert (before["kind"], before["item_id"]) == ("exposure", event["item_id"])
            assert before["delete_reason"] == "none"


def check_labels(events: list[dict[str, Any]], requests: list[dict[str, Any]]) -> None:
    """The exposures between a request and the next are its labels, in the order on offer."""
    ends = [request["time"] for request in requests[1:]] + [float("inf")]
    labelled = 0
    for request, end in zip(requests, ends, strict=True):
        after = [event for event in events if request["time"] < event["time"] < end]
        shown = [event["item_id"] for event in after if event["kind"] == "exposure"]
        viewed = {event["item_id"] for event in after if event["kind"] == "page_view"}
        assert len(set(request["item_id"])) == len(request["item_id"])
        assert shown
        assert request["item_id"][: len(shown)] == shown
        assert request["clicked"][: len(shown)] == [int(item in viewed) for item in shown]
        assert request["clicked"][len(shown) :] == [None] * (len(request["item_id"]) - len(shown))
        assert len(request["score"]) == len(request["item_id"])
        assert request["score"] == sorted(request["score"], reverse=True)
        scores = dict(zip(request["item_id"], request["score"], strict=True))
        assert all(event["score"] == scores[event["item_id"]] for event in after)
        labelled += len(shown)
    assert labelled == sum(event["kind"] == "exposure" for event in events)
    # What is known at a request came strictly before it: no event stands at its very instant.
    assert not {request["time"] for request in requests} & {event["time"] for event in events}
    check_triggers(events, requests)


def check_triggers(events: list[dict[str, Any]], requests: list[dict[str, Any]]) -> None:
    """A trigger names the strongest behaviour since the request before."""
    for before, request in itertools.pairwise(requests):
        between = [event for event in events if before["time"] < event["time"] < request["time"]]
        clicked = any(event["kind"] == "page_view" for event in between)
        deleted = any(event["delete_reason"] not in (None, "none") for event in between)
        if request["trigger"] != "page":
            assert request["trigger"] == ("click" if clicked else "delete" if deleted else "exposures")
            assert request["item_id"] == before["item_id"][len(before["item_id"]) - len(request["item_id"]) :]
    assert requests[0]["trigger"] == "page"


@settings(max_examples=20, deadline=None)
@given(config=configurations, seed=st.integers(0, 2**31))
def test_what_a_user_removed_is_not_shown_again(config: SimulationConfig, seed: int) -> None:
    logs, _ = simulate(config, seed=seed)
    removed: set[tuple[int, int]] = set()
    for event in logs.events.filter(kind="exposure").iter_rows(named=True):
        who = (event["user_id"], event["item_id"])
        assert who not in removed
        if event["delete_reason"] != "none":
            removed.add(who)
