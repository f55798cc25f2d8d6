"""Logged behaviour is replayed through a client against a real server, and its scores are those of Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from edgerec.bench.replay.logged_pages import LoggedPages
from edgerec.bench.replay.parity import compare_scores
from edgerec.bench.replay.replay import run_replay
from edgerec.bench.replay.sample_digests import sample_digests
from edgerec.bench.replay.timeline import LoggedBehaviour, LoggedRequest, timelines
from edgerec.core.errors import InputError, ParityError
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import load_logs, open_logs, write_logs
from edgerec.features.behaviours import EXPOSURE
from edgerec.model.runs import load_run
from edgerec.reports.replay.page import page
from tests import quicker
from tests.hard_histories import write_hard_histories


@pytest.fixture(scope="module")
def logs_path(samples_path: Path) -> Path:
    return samples_path.with_name("logs")


@pytest.fixture(scope="module")
def forced(
    bundle_path: Path, logs_path: Path, run_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """Replay some users in the forced mode. Return the document and the logs that the devices sent."""
    received = tmp_path_factory.mktemp("replay") / "received"
    with quicker.run_eagerly():
        document = run_replay(bundle_path, logs_path, run=run_path, requests=25, received=received)
    return document, received


def test_a_forced_replay_has_the_scores_of_keras_and_the_samples_of_the_logs(
    forced: tuple[dict[str, Any], Path],
) -> None:
    document, _ = forced
    assert document["requests"] >= 25
    assert document["parity_requests"] == document["requests"] == document["outcomes"]["shadow"]
    assert document["parity_max_abs"] <= 1e-4
    assert document["orders_equal"] + document["orders_tied"] == document["requests"]
    assert document["samples_equal"] == document["requests"]


@pytest.mark.slow
def test_the_received_logs_can_be_replaced(
    forced: tuple[dict[str, Any], Path], bundle_path: Path, logs_path: Path, tmp_path: Path
) -> None:
    assert sorted(path.name for path in forced[1].iterdir()) == [
        "events",
        "features.json",
        "items.parquet",
        "logs.json",
        "requests",
    ]
    for force in (False, True):
        run_replay(bundle_path, logs_path, requests=1, seed=2 + force, received=tmp_path / "received", force=force)
    assert load_logs(tmp_path / "received").requests["user_id"].n_unique() == 1


def test_the_document_has_table_3_and_where_the_time_goes(forced: tuple[dict[str, Any], Path]) -> None:
    document, _ = forced
    assert [row["what"] for row in document["table3"]] == [
        "delay of a behaviour, ms",
        "response time, ms",
        "orders of the list per user",
    ]
    durations = document["durations"]
    assert durations["behaviour_durable"]["n"] == document["behaviours"]
    assert durations["response"]["n"] == document["requests"]
    assert document["response_p99_ms"] == durations["response"]["p99"] > 0
    assert {row["what"] for row in document["stages"]} == {"behaviour", "re-rank"}
    assert "Table 3" in page(document)


def test_the_check_finds_a_wrong_score_and_a_lost_request(
    forced: tuple[dict[str, Any], Path], logs_path: Path, run_path: Path, tmp_path: Path
) -> None:
    from edgerec.bench.replay.received import read_answers

    scores = read_answers(forced[1]).scores
    request = min(scores)
    samples = write_samples(logs_path, tmp_path / "samples", like=run_path)
    model = load_run(run_path).model
    with quicker.run_eagerly():
        right = compare_scores(model, samples, scores)
        wrong = compare_scores(model, samples, scores | {request: scores[request] + np.float32(0.01)})
        with pytest.raises(ParityError, match="request -5 was replayed, but the samples do not have it"):
            compare_scores(model, samples, {-5: scores[request]})
    assert right.max_abs < 1e-5
    assert wrong.max_abs == pytest.approx(0.01, rel=0.01)


def test_a_digest_changes_with_a_label_and_with_a_behaviour(
    forced: tuple[dict[str, Any], Path], run_path: Path, tmp_path: Path
) -> None:
    logs = load_logs(forced[1])
    samples = write_samples(forced[1], tmp_path / "same", like=run_path)
    before = sample_digests(samples)
    row = logs.requests.row(-1, named=True)
    flipped = [None if label is None else 1 - label for label in row["clicked"]]
    requests = logs.requests.with_columns(
        clicked=pl.when(pl.col("request_id") == row["request_id"])
        .then(pl.lit(pl.Series([flipped], dtype=pl.List(pl.Int8))))
        .otherwise(pl.col("clicked"))
    )
    write_logs(type(logs)(logs.head, logs.spec, logs.items, logs.events, requests), tmp_path / "labels")
    after = sample_digests(write_samples(tmp_path / "labels", tmp_path / "other", like=run_path))
    assert [request for request in before if before[request] != after[request]] == [row["request_id"]]
    earliest = pl.col("time") > logs.events["time"].min()
    write_logs(
        type(logs)(logs.head, logs.spec, logs.items, logs.events.filter(earliest), logs.requests), tmp_path / "fewer"
    )
    fewer = sample_digests(write_samples(tmp_path / "fewer", tmp_path / "third", like=run_path))
    assert any(before[request] != fewer[request] for request in before)


def test_a_free_replay_shows_the_order_of_the_client(bundle_path: Path, logs_path: Path) -> None:
    document = run_replay(bundle_path, logs_path, mode="free", requests=10)
    assert document["pages"] >= 10
    assert document["requests"] >= document["pages"]
    assert "reordered" in document["outcomes"]
    assert document["parity_max_abs"] is None
    assert document["durations"]["cloud_page"]["n"] == document["pages"]


def test_the_free_mode_has_nothing_to_compare(bundle_path: Path, logs_path: Path, run_path: Path) -> None:
    with pytest.raises(InputError, match="the free mode has no logged order to compare with"):
        run_replay(bundle_path, logs_path, mode="free", run=run_path)


def behaviour(time: int, item_id: int, offered_at: int | None = None, page_id: int | None = None) -> LoggedBehaviour:
    return LoggedBehaviour(EXPOSURE, time, item_id, {}, {}, None, page_id, offered_at, None)


def request(time: int, *item_ids: int) -> LoggedRequest:
    clicked = tuple(0 for _ in item_ids)
    return LoggedRequest(time, time, "page", time, item_ids, clicked, {"score": list(range(len(item_ids)))}, {})


def test_an_exposure_belongs_to_the_page_that_offered_it_or_to_the_latest_one() -> None:
    pages = LoggedPages()
    pages.open(request(10, 1, 2, 3))
    pages.open(request(20, 2, 3, 4))
    found = [pages.page_of(one) for one in (behaviour(25, 2), behaviour(26, 2), behaviour(27, 3, offered_at=10))]
    assert [None if one is None else one.opening.time for one in found] == [20, 10, 10]
    assert pages.page_of(behaviour(28, 9)) is None
    named = pages.page_of(behaviour(29, 1, offered_at=5, page_id=10))
    assert named is not None
    assert named.opening.time == 10
    assert found[0] is not None
    assert found[0].served(4) == {"score": 2}


def test_timelines_are_in_order_of_time_with_one_for_each_store(logs_path: Path, tmp_path: Path) -> None:
    source = load_logs(logs_path)
    paged = source.requests.with_columns(page_id=pl.col("request_id"))
    write_logs(type(source)(source.head, source.spec, source.items, source.events, paged), tmp_path / "paged")
    counts = write_hard_histories(tmp_path / "paged", tmp_path / "hard")
    logs = open_logs(tmp_path / "hard")
    users = logs_users(logs_path)
    lines = list(timelines(logs, logs.spec, users))
    assert len(lines) == len(users) + counts["two_stores"]
    for line in lines:
        ends = [(step.time, isinstance(step, LoggedBehaviour)) for step in line.steps]
        assert ends == sorted(ends)
        for kind in {step.kind for step in line.steps if isinstance(step, LoggedBehaviour)}:
            numbers = [step.ordinal for step in line.steps if isinstance(step, LoggedBehaviour) and step.kind is kind]
            assert numbers == sorted(set(numbers))  # type: ignore[type-var]


def logs_users(path: Path) -> list[int]:
    return load_logs(path).requests["user_id"].unique().sort().to_list()
