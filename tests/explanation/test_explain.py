"""Effects of behaviours are exact: scores with and without each behaviour are those of a device."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edgerec.bench.replay.timeline import LoggedRequest, Timeline, timelines
from edgerec.bundle.load import load_device_model
from edgerec.cloud.versions import open_version
from edgerec.core.errors import FormatError, InputError, LogsError
from edgerec.data.logs import load_logs, open_logs, write_logs
from edgerec.device_runtime.session import Session
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.explanation import explain as explaining
from edgerec.explanation.attention import AttentionRows, read_attention
from edgerec.explanation.effects import Situation, effects_of
from edgerec.explanation.explain import explain, situation_of
from edgerec.explanation.groups import groups_of
from edgerec.explanation.items import LoggedItems
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW, BehaviourKind
from edgerec.graphs.attention import sign_matrix
from tests import quicker
from tests.command_line import edgerec_here
from tests.device_runtime.local_cloud import LocalCloud, read_tables
from tests.device_runtime.replayed import catalogue, replay
from tests.test_docs import documented_keys

USER = 2
"""A user of both data sets."""
PLAYED = 10
"""Number of the user's requests that a device plays. Then both windows are full, and do not start their recurrences."""
EQUAL = 1e-5
"""Largest difference of logits. Both sides run the same models, but another path leads to their inputs."""


class Opened:
    """A bundle and its logs, opened once."""

    def __init__(self, bundle: Path, logs: Path) -> None:
        self.bundle, self.logs = bundle, logs
        self.model = load_device_model(bundle)
        self.folder = open_logs(logs, spec=self.model.spec)
        self.items = LoggedItems.open(self.folder, open_version(bundle))

    def timeline(self) -> Timeline:
        [line] = timelines(self.folder, self.model.spec, [USER])
        return line

    def requests(self) -> list[tuple[int, LoggedRequest]]:
        """Return the requests of the user, with their indices in the timeline."""
        return [(index, step) for index, step in enumerate(self.timeline().steps) if isinstance(step, LoggedRequest)]

    def situation(self, number: int = PLAYED - 1) -> Situation:
        """Return what the device knew at a request of the user."""
        return situation_of(self.model, self.items, self.timeline(), self.requests()[number][0])


@pytest.fixture(scope="module")
def plain(bundle_path: Path, samples_path: Path) -> Opened:
    return Opened(bundle_path, samples_path.with_name("logs"))


@pytest.fixture(scope="module")
def plus(plus_path: Path) -> Opened:
    return Opened(plus_path / "bundle", plus_path / "logs")


@pytest.fixture(scope="module", params=["plain", "plus"])
def opened(request: pytest.FixtureRequest) -> Opened:
    found: Opened = request.getfixturevalue(request.param)
    return found


def device_scores(opened: Opened, folder: Path, left_out: pl.Expr | None = None) -> dict[int, np.ndarray]:
    """Play the first requests of the user through a real client and its store. Return the scores of each request.

    Args:
        opened: the logs. Behaviours have the numbers that a device gives them, before any is left out.
        folder: a folder for the played logs and the store.
        left_out: the behaviours that the device never records.
    """
    logs, model = load_logs(opened.logs), opened.model
    requests = logs.requests.filter(pl.col("user_id") == USER).sort("time").head(PLAYED)
    number = pl.int_range(pl.len(), dtype=pl.Int64).over("user_id", "kind")
    events = logs.events.with_columns(ordinal=number)
    events = events.filter((pl.col("user_id") == USER) & (pl.col("time") < requests["time"].max()))
    if left_out is not None:
        assert len(events.filter(left_out)) == 1
        events = events.filter(~left_out)
    for name, table in (("events", events), ("requests", requests)):
        (folder / name).mkdir()
        table.write_parquet(folder / name / "part-00000.parquet")
    cloud = LocalCloud(model.spec, model.version_id, read_tables(opened.bundle), catalogue(opened.logs))
    with BehaviourStore(folder / "store.sqlite", user_id=USER, limits=model.limits) as store:
        replay(folder, USER, model.spec, cloud, store, model)
    return {row["request_id"]: np.array(row["scores"]) for row in cloud.sent("requests")}


def test_scores_are_those_of_a_device(opened: Opened, tmp_path: Path) -> None:
    expected = device_scores(opened, tmp_path)
    for number, (_, request) in enumerate(opened.requests()[:PLAYED]):
        np.testing.assert_allclose(opened.situation(number).score(), expected[request.request_id], atol=EQUAL)


@pytest.mark.parametrize(("kind", "index"), [(EXPOSURE, 3), (PAGE_VIEW, 1)])
def test_scores_without_a_behaviour_are_those_of_a_device_that_never_recorded_it(
    opened: Opened, kind: BehaviourKind, index: int, tmp_path: Path
) -> None:
    situation = opened.situation()
    left_out = (pl.col("kind") == kind.name) & (pl.col("ordinal") == int(situation.past[kind].ordinals[index]))
    expected = device_scores(opened, tmp_path, left_out)[opened.requests()[PLAYED - 1][1].request_id]
    found = effects_of(situation).without[kind][index]
    np.testing.assert_allclose(found, expected, atol=EQUAL)
    assert np.abs(found - situation.score()).max() > 100 * EQUAL


def test_without_the_only_behaviour_the_scores_are_those_of_a_new_user(opened: Opened) -> None:
    line, (_, request) = opened.timeline(), opened.requests()[0]
    only = next(step for step in line.steps if not isinstance(step, LoggedRequest))
    moved = replace(request, time=only.time + 1)
    situation = situation_of(opened.model, opened.items, Timeline(line.user_id, line.store_id, (only, moved)), 1)
    nobody = situation_of(opened.model, opened.items, Timeline(line.user_id, line.store_id, (moved,)), 0)
    effects = effects_of(situation)
    assert {kind: len(rows) for kind, rows in effects.without.items()} == {EXPOSURE: 1, PAGE_VIEW: 0}
    np.testing.assert_array_equal(effects.without[EXPOSURE][0], nobody.score())
    np.testing.assert_array_equal(effects.without_all, nobody.score())
    assert not np.array_equal(effects.logits, nobody.score())


def test_only_behaviours_of_the_window_have_a_row(opened: Opened) -> None:
    situation, line = opened.situation(), opened.timeline()
    known = [step for step in line.steps if not isinstance(step, LoggedRequest) and step.time < situation.time]
    for kind, past in situation.past.items():
        of_kind = [step for step in known if step.kind is kind]
        assert len(past) == opened.model.limits.of(kind) < len(of_kind)
        assert list(past.logged) == of_kind[-len(past) :]
        assert past.ordinals.tolist() == list(range(len(of_kind) - len(past), len(of_kind)))
        # The recurrence of the window starts before it.
        assert past.before == (len(of_kind) - len(past)) % opened.model.limits.of(kind)


def attention_of(situation: Situation) -> dict[BehaviourKind, AttentionRows]:
    found = read_attention(situation.model, situation.arguments())
    assert None not in found.values()
    return {kind: rows for kind, rows in found.items() if rows is not None}


def test_attention_rows_sum_to_1_and_give_the_contexts_of_the_device(opened: Opened) -> None:
    situation = opened.situation()
    found = attention_of(situation)
    assert list(found) == [EXPOSURE, PAGE_VIEW]
    for kind, rows in found.items():
        assert rows.weights.shape == (len(situation.candidates), len(situation.past[kind]))
        np.testing.assert_allclose(rows.weights.sum(axis=1), 1, atol=1e-6)
        assert (rows.weights > 0).all()
        assert rows.normalised
        assert rows.max_abs < 1e-6


def test_attention_is_that_of_equation_10(plain: Opened, run_path: Path) -> None:
    """Compute eq. 10 with the weights of Keras, and compare with what was read out of the run of MNN."""
    from edgerec.model.runs import load_run

    with quicker.run_eagerly():
        ranker = load_run(run_path).model.ranker
        situation = plain.situation()
        arguments = situation.arguments()
        encodings = np.array(ranker.candidate_stack(arguments.candidates[None]))[0]
    for kind, rows in attention_of(situation).items():
        weights = ranker.attention_of(kind).device_weights()
        # A key has the exponentials of `s.k` for all sign vectors `s`. This solves them for `k`.
        signs = sign_matrix(len(weights.scale))
        keys = np.log(arguments.encodings[kind].keys) @ np.linalg.pinv(signs)
        queries = encodings @ weights.query_kernel + weights.query_bias
        scores = np.tanh(queries[:, None] + keys[None]) @ weights.scale
        expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(rows.weights, expected, atol=1e-5)


def test_a_changed_run_has_no_attention_weights(plain: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """If weights times values are not what the device computed, no weights are shown."""
    arguments, observe = plain.situation().arguments(), Session.observe

    def wrong(session: Session, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        return {name: found + 0.01 for name, found in observe(session, **arrays).items()}

    monkeypatch.setattr(Session, "observe", wrong)
    assert read_attention(plain.model, arguments) == {EXPOSURE: None, PAGE_VIEW: None}


def test_the_document_has_all_candidates_in_the_order_of_the_device(opened: Opened) -> None:
    request = opened.requests()[PLAYED - 1][1]
    document = explain(opened.bundle, logs=opened.logs, request_id=request.request_id, top=2)
    situation = opened.situation()
    order = situation.arguments()
    ranked = opened.model.ranker.rank(
        order.candidates, *(order.encodings[kind] for kind in (EXPOSURE, PAGE_VIEW)), ids=order.ids
    )
    assert set(document) == documented_keys("edgerec explain")
    candidates = document["candidates"]
    assert [one["item_id"] for one in candidates] == [request.item_ids[row] for row in ranked]
    assert [one["sent_at"] - 1 for one in candidates] == ranked.tolist()
    assert [one["rank"] for one in candidates] == list(range(1, len(candidates) + 1))
    clicked = {index for index, one in enumerate(candidates) if one["clicked"]}
    assert document["shown"] == sorted({0, 1} | clicked)
    effects = effects_of(situation)
    for one, row in zip(candidates, ranked.tolist(), strict=True):
        without = np.concatenate([effects.without[kind][:, row] for kind in situation.past])
        np.testing.assert_allclose(one["score"] - np.array(one["effects"]), without, atol=1e-9)
        assert {part["logits"] > 0 for part in one["for"]} <= {True}
        assert {part["logits"] < 0 for part in one["against"]} <= {True}
        largest = max(map(abs, one["effects"]))
        assert max(abs(part["logits"]) for part in (*one["for"], *one["against"])) == largest
        for part in (*one["for"], *one["against"]):
            assert part["rank_without"] == one["ranks_without"][part["behaviour"]]
            assert part["points"] * part["logits"] > 0
    assert len(document["behaviours"]) == sum(map(len, situation.past.values()))


def test_the_behaviours_of_a_category_are_left_out_together(opened: Opened) -> None:
    situation = opened.situation()
    groups = groups_of(situation, opened.items)
    members = [one for group in groups for one in group.members]
    assert len(members) == len(set(members)) == sum(map(len, situation.past.values()))
    assert any({kind for kind, _ in group.members} == {EXPOSURE, PAGE_VIEW} for group in groups)
    effects = effects_of(situation)
    for group in groups:
        shops = {opened.items.shown[situation.past[kind].logged[row].item_id]["shop"] for kind, row in group.members}
        assert shops == {group.value}
        if len(group.members) == 1:
            [(kind, row)] = group.members
            np.testing.assert_array_equal(group.without, effects.without[kind][row])
    np.testing.assert_array_equal(situation.score_without_group(members), effects.without_all)


def test_without_a_request_a_clicked_one_is_chosen_and_always_the_same(plain: Opened) -> None:
    document = explain(plain.bundle, logs=plain.logs)
    assert document["request"]["chosen"].startswith("of the latest clicked requests of 12 users")
    assert any(one["clicked"] for one in document["candidates"])
    raised = [one["without_behaviours"]["rank"] - one["rank"] for one in document["candidates"] if one["clicked"]]
    assert f"({max(raised)})" in document["request"]["chosen"]
    assert explain(plain.bundle, logs=plain.logs)["request"] == document["request"]


def test_logged_scores_of_the_same_version_are_compared(plain: Opened, tmp_path: Path) -> None:
    request = plain.requests()[PLAYED - 1][1]
    scores = plain.situation().score()
    logs = load_logs(plain.logs)
    mine = pl.col("request_id") == request.request_id
    given = pl.when(mine).then(pl.lit(pl.Series([(scores + 0.25).tolist()])))
    requests = logs.requests.with_columns(
        scores=given, model_version=pl.when(mine).then(pl.lit(plain.model.version_id)).otherwise(pl.lit("other"))
    )
    write_logs(replace(logs, requests=requests), tmp_path / "logs")
    document = explain(plain.bundle, logs=tmp_path / "logs", request_id=request.request_id)
    assert document["logged_scores"] == {"max_abs": pytest.approx(0.25)}
    assert explain(plain.bundle, logs=plain.logs, request_id=request.request_id)["logged_scores"] is None


def test_a_user_without_behaviours_and_an_unknown_request_are_errors(plain: Opened) -> None:
    first = plain.requests()[0][1].request_id
    with pytest.raises(InputError, match=rf"user {USER} has no behaviour before request {first}"):
        explain(plain.bundle, logs=plain.logs, request_id=first)
    with pytest.raises(InputError, match="has no request with the ID 987654321"):
        explain(plain.bundle, logs=plain.logs, request_id=987654321)


def test_a_model_without_behaviours_is_an_error(plain: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    model = replace(plain.model, steppers={})
    monkeypatch.setattr(explaining, "load_bundle", lambda *_, **__: (None, model))
    with pytest.raises(InputError, match="reads no behaviours"):
        explain(plain.bundle, logs=plain.logs)


def test_logs_of_another_specification_and_a_damaged_bundle_are_errors(
    plain: Opened, plus: Opened, tmp_path: Path
) -> None:
    with pytest.raises(LogsError, match="device"):
        explain(plus.bundle, logs=plain.logs)
    with pytest.raises(FormatError, match=r"manifest\.json"):
        explain(tmp_path, logs=plain.logs)


HOSTILE = "</script><b onclick=alert(1)>&\x1b[31m"


def test_the_page_and_the_table_escape_the_text_of_logs(plain: Opened, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("plotly")
    from rich.console import Console

    from edgerec.cli.tables.explanation import explanation_table
    from edgerec.reports.explanation.page import page

    logs = load_logs(plain.logs)
    changed = replace(
        logs,
        items=logs.items.with_columns(category=pl.lit(HOSTILE)),
        events=logs.events.with_columns(reason=pl.lit(HOSTILE)),
        requests=logs.requests.with_columns(trigger=pl.lit(HOSTILE)),
    )
    write_logs(changed, tmp_path / "logs")
    document = explain(plain.bundle, logs=tmp_path / "logs", request_id=plain.requests()[PLAYED - 1][1].request_id)
    assert HOSTILE in document["candidates"][0]["name"]
    assert HOSTILE in document["behaviours"][0]["words"]
    html = page(document)
    assert "<b onclick" not in html
    assert "\x1b" not in html
    assert html.count("</script>") == html.count("<script")
    assert "&lt;b onclick=alert(1)&gt;" in html
    console = Console(width=200, highlight=False)
    with console.capture() as capture:
        console.print(explanation_table(document))
    assert "\x1b" not in capture.get()
    assert "<b onclick" in capture.get()


def test_on_the_terminal_only_clicked_candidates_have_the_table_of_their_behaviours(plain: Opened) -> None:
    from rich.console import Console

    from edgerec.cli.tables.explanation import explanation_table

    document = explain(plain.bundle, logs=plain.logs, request_id=plain.requests()[PLAYED - 1][1].request_id)
    shown = [document["candidates"][index] for index in document["shown"]]
    console = Console(width=300, highlight=False)
    for clicked, tables in ((0, 1), (1, 1), (2, 2), (len(shown), len(shown))):
        for index, candidate in enumerate(shown):
            candidate["clicked"] = index < clicked
        with console.capture() as capture:
            console.print(explanation_table(document))
        text = capture.get()
        assert text.count("than others") == tables
        assert text.count("The user clicked it.") == clicked
        assert all(candidate["sentence"] in text for candidate in shown)
        assert ("--html FILE" in text) is (clicked < len(shown))


@pytest.mark.slow
def test_the_command_writes_the_document_and_the_page(plain: Opened, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("plotly")
    request = plain.requests()[PLAYED - 1][1].request_id
    arguments = ("explain", plain.bundle, plain.logs, "--request", str(request), "--html", tmp_path / "why.html")
    done = edgerec_here(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == 1
    assert document["request"]["request_id"] == request
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    for index in document["shown"]:
        assert document["candidates"][index]["name"] in page
    again = edgerec_here(*arguments)
    assert again.returncode == 1
    assert again.stderr.count("\n") == 1
    assert "exists already" in again.stderr
