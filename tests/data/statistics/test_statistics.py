from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.cli import cli
from edgerec.cli.output import emit
from edgerec.cli.tables.logs import stats_table
from edgerec.core.errors import EdgeRecError, FormatError, InputError, LogsError, OutputError
from edgerec.data.logs import Logs, LogsHead, write_logs
from edgerec.data.statistics.click_rates import CATEGORY_BUCKETS
from edgerec.data.statistics.counting import LogsStatistics, statistics_of
from edgerec.data.statistics.document import document, stats_document
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.spec import FeatureSpec
from edgerec.reports.statistics.page import page, write_report
from tests.synthetic import make_logs, unstamp

NOW = 1_700_000_000_000
SPEC = FeatureSpec.model_validate(
    {
        "format": 1,
        "name": "feed",
        "ie_action": [
            {"name": "e1", "source": "duration_s", "kind": "bucketize", "boundaries": [1]},
            {"name": "e1_raw", "source": "duration_s", "kind": "raw"},
            {"name": "e6", "source": "reason", "kind": "one_hot", "values": ["none", "bad"]},
        ],
        "ipv_action": [
            {"name": "d7", "source": "buy", "kind": "binarize"},
            {"name": "d4", "source": "sku", "kind": "one_hot", "values": [1, 2]},
        ],
        "item": [{"name": "p3", "source": "level", "origin": "catalogue", "kind": "one_hot", "values": [1]}],
    }
)


def feed() -> Logs:
    """Return logs with two pages of user 1 and one page of user 2. The first page has a second request."""
    items = pl.DataFrame(
        {"item_id": [10, 11, 12, 13], "category": [1, 1, 2, None], "level": [1, 1, None, 1]},
        schema_overrides={"category": pl.Int64},
    )
    # Columns: user, time, kind, item, duration, reason, buy, sku, opened from.
    rows: list[tuple[Any, ...]] = [
        (1, 1, "exposure", 10, 0.5, "none", None, None, None),
        (1, 2, "exposure", 11, 1.5, "bad", None, None, None),
        (1, 4, "page_view", 11, None, None, True, 1, "feed"),
        (1, 6, "exposure", 12, 2.5, "odd", None, None, None),
        (1, 7, "exposure", 13, None, None, None, None, None),
        (1, 12, "exposure", 11, 0.5, "none", None, None, None),
        (1, 13, "page_view", 12, None, None, False, 3, "search"),
        (1, 14, "page_view", 12, None, None, None, None, None),
        (2, 20, "exposure", 10, 0.5, "", None, None, None),
    ]
    columns = ["user_id", "time", "kind", "item_id", "duration_s", "reason", "buy", "sku", "opened_from"]
    events = pl.DataFrame(rows, schema=columns, orient="row", infer_schema_length=None)
    asked: list[tuple[Any, ...]] = [
        (1, 1, 0, "page", 7, [10, 11, 12, 13], [0, 1, 0, 0]),
        (2, 1, 5, "click", 7, [12, 13], [0, 0]),
        (3, 1, 10, "page", 8, [12, 11, 10], [None, 1, None]),
        (4, 2, 3_600_019, "page", 7, [10], [0]),
    ]
    names = ["request_id", "user_id", "time", "trigger", "page_id", "item_id", "clicked"]
    requests = pl.DataFrame(asked, schema=names, orient="row", schema_overrides={"clicked": pl.List(pl.Int8)})
    requests = requests.with_columns(model_version=pl.lit(None, pl.String))
    shift = pl.col("time") + NOW
    return Logs(
        head=LogsHead(name="feed"),
        spec=SPEC,
        items=items,
        events=events.with_columns(shift),
        requests=requests.with_columns(shift),
    )


def of(*every: Logs) -> dict[str, Any]:
    """Return the statistics document of the given logs."""
    data_sets = [LogsStatistics(logs.head.name, logs.spec, statistics_of(logs)) for logs in every]
    return document(data_sets, [f"set-{place}" for place in range(len(every))])


def rates(rows: Sequence[dict[str, Any]], key: str) -> dict[str, tuple[int, int]]:
    return {row[key]: (row["exposures"], row["clicks"]) for row in rows if row["exposures"]}


# Tests of figures that are counted by hand.


def test_each_exposure_counts_once() -> None:
    found = of(feed())["logs"][0]
    sizes = {key: found[key] for key in ("requests", "pages", "users", "exposures", "clicks")}
    assert sizes == {"requests": 4, "pages": 3, "users": 2, "exposures": 6, "clicks": 2}
    assert found["rate"] == pytest.approx(2 / 6)
    assert found["behaviours"] == {"exposures": 6, "page_views": 3}
    places = {"1": (2, 0), "2": (2, 2), "3": (1, 0), "4": (1, 0)}
    assert rates(found["click_rate"]["position"], "position") == places


def test_without_page_id_each_request_is_a_page() -> None:
    logs = feed()
    found = of(replace(logs, requests=logs.requests.drop("page_id")))["logs"][0]
    assert (found["pages"], found["exposures"]) == (4, 8)
    assert rates(found["click_rate"]["item_exposures"], "earlier") == {"0": (4, 1), "1": (4, 1)}


def test_click_rate_by_earlier_exposures_of_the_item() -> None:
    rows = of(feed())["logs"][0]["click_rate"]["item_exposures"]
    # User 2 has an event, but no earlier page, so no earlier exposure.
    assert rates(rows, "earlier") == {"0": (4, 1), "1": (2, 1)}
    assert [row["earlier"] for row in rows] == ["0", "1", "2", "3", "4", "5+"]
    assert rows[1]["to_previous"] == pytest.approx(2)
    assert rows[2] == {"earlier": "2", "exposures": 0, "clicks": 0, "rate": None, "ci95": None, "to_previous": None}


def test_an_exposure_on_a_page_that_is_still_open_is_an_earlier_exposure() -> None:
    logs = feed()
    # In EB-NeRD, the time of a behaviour is the time when its page is left. The next page may be shown before that.
    later = logs.events.with_columns(pl.col("time") + 4_000_000)
    rows = of(replace(logs, events=later))["logs"][0]["click_rate"]["item_exposures"]
    assert rates(rows, "earlier") == {"0": (5, 1), "1": (1, 1)}


def test_exposures_on_pages_of_the_same_time_are_not_earlier_exposures() -> None:
    logs = feed()
    at_once = logs.requests.with_columns(time=pl.lit(NOW, pl.Int64))
    rows = of(replace(logs, requests=at_once))["logs"][0]["click_rate"]["item_exposures"]
    assert rates(rows, "earlier") == {"0": (6, 2)}


def test_click_rate_by_earlier_exposures_of_the_category() -> None:
    logs = feed()
    found = of(logs)["logs"][0]["click_rate"]
    # The category of item 11 on page 8 had two exposures. The page-view at time 4 came after them and resets the count.
    assert rates(found["category_exposures"], "earlier") == {"0": (4, 2), "1": (1, 0)}
    assert found["without_category"] == 1
    unseen = logs.events.filter(pl.col("kind") == "exposure")
    found = of(replace(logs, events=unseen))["logs"][0]["click_rate"]
    assert rates(found["category_exposures"], "earlier") == {"0": (3, 1), "1": (1, 0), "2": (1, 1)}
    words = logs.items.with_columns(category=pl.Series(["a", "a", "b", None]))
    assert of(replace(logs, items=words, events=unseen))["logs"][0]["click_rate"] == found


def test_without_categories_the_figure_is_left_out() -> None:
    logs = feed()
    for items in (logs.items.drop("category"), logs.items.with_columns(category=pl.lit(0.5))):
        found = of(replace(logs, items=items))
        assert found["logs"][0]["click_rate"]["category_exposures"] is None
        assert "Left out for feed: items have no column 'category'" in html.unescape(page(found))


def test_behaviours_before_each_request_are_counted() -> None:
    found = of(feed())["logs"][0]["known"]
    # Strictly before the four requests there are 0, 2, 4 and 1 exposures, and 0, 1, 1 and 0 page-views.
    assert {key: found["exposures"][key] for key in ("n", "mean", "p50", "p90", "max")} == {
        "n": 4, "mean": 1.75, "p50": 1, "p90": 4, "max": 4,
    }  # fmt: skip
    assert found["page_views"]["mean"] == 0.5
    assert (found["exposures"]["capped"]["limit"], found["page_views"]["capped"]["limit"]) == (100, 50)


def test_long_histories_are_capped() -> None:
    logs = feed()
    many = pl.concat([logs.events[:1]] * 130 + [logs.events])
    found = of(replace(logs, events=many))["logs"][0]["known"]["exposures"]
    assert found["max"] == 134
    assert found["capped"]["p99"] == 100
    assert found["capped"]["at_limit"] == 0.5
    assert found["capped"]["mean"] == (0 + 100 + 100 + 1) / 4


def test_values_of_actions_are_counted() -> None:
    found = of(feed())["logs"][0]
    reason, buy, sku = found["actions"]["exposures"][0], *found["actions"]["page_views"]
    assert [(row["value"], row["count"]) for row in reason["values"]] == [("none", 2), ("bad", 1)]
    # An empty text is a missing value, as in the encoder.
    assert (reason["other"]["count"], reason["missing"]["count"]) == (1, 2)
    assert [(row["value"], row["count"]) for row in buy["values"]] == [("above 0", 1), ("at most 0", 1)]
    assert (buy["missing"]["count"], buy["missing"]["share"]) == (1, pytest.approx(1 / 3))
    assert [(row["value"], row["count"]) for row in sku["values"]] == [("1", 1), ("2", 0)]
    assert sku["other"] == {"count": 1, "share": pytest.approx(1 / 3)}
    [duration] = found["numbers"]["exposures"]
    assert duration["features"] == ["e1", "e1_raw"]
    assert (duration["n"], duration["missing"]["count"]) == (5, 1)
    assert duration["p50"] == pytest.approx(0.5, rel=0.004)
    assert found["opened_from"] == [
        {"value": value, "count": 1, "share": pytest.approx(1 / 3)} for value in ("", "feed", "search")
    ]


def test_figures_of_pages_users_and_hours() -> None:
    found = of(feed())["logs"][0]
    assert (found["list_lengths"]["mean"], found["list_lengths"]["max"]) == (pytest.approx(8 / 3), 4)
    assert found["users_by_exposures"]["mean"] == 3
    assert found["users_by_exposures"]["share_by_tenth"] == pytest.approx([1 / 30] * 5 + [5 / 30] * 5)
    assert [(row["trigger"], row["count"]) for row in found["triggers"]] == [("page", 3), ("click", 1)]
    # NOW is at 22:13 UTC.
    assert {row["hour"]: row["requests"] for row in found["hours"] if row["requests"]} == {22: 3, 23: 1}


def test_comparison_of_two_data_sets() -> None:
    logs = feed()
    alone = replace(logs, requests=logs.requests.drop("page_id"))
    found = of(logs, alone)
    assert [entry["label"] for entry in found["logs"]] == ["feed (set-0)", "feed (set-1)"]
    steps = found["comparison"]["item_exposures"]
    # The click rate rises from 1/4 to 1/2 in the first data set, and stays 1/4 in the second.
    assert (steps[0]["ratio"], steps[0]["against"], steps[0]["difference"]) == (2, 1, 1)
    assert steps[1] == {"from": "1", "to": "2", "ratio": None, "against": None, "difference": None}
    edges = [[(bar["from"], bar["to"]) for bar in entry["list_lengths"]["histogram"]] for entry in found["logs"]]
    assert edges[0] == edges[1]


# Tests that compare the counts with a plain loop.


def slow(logs: Logs) -> dict[str, Any]:
    """Count the figures of logs without page_id, with a plain loop over behaviours."""
    requests = logs.requests.to_dicts()
    events = logs.events.to_dicts()
    category = dict(logs.items.select("item_id", "category").iter_rows()) if "category" in logs.items.columns else {}
    position, item, by_category, known = (Counter[Any]() for _ in range(4))
    for asked in requests:
        user, time = asked["user_id"], asked["time"]
        past = [event for event in events if event["user_id"] == user and event["time"] < time]
        known["exposures", sum(event["kind"] == "exposure" for event in past)] += 1
        known["page_views", sum(event["kind"] == "page_view" for event in past)] += 1
        for place, (shown, clicked) in enumerate(zip(asked["item_id"], asked["clicked"], strict=True), 1):
            if clicked is None:
                continue
            pages = sum(
                page["user_id"] == user and page["time"] < time and label is not None and other == shown
                for page in requests
                for other, label in zip(page["item_id"], page["clicked"], strict=True)
            )
            seen = sum(event["kind"] == "exposure" and event["item_id"] == shown for event in past)
            before = max(pages, seen)
            position[str(place), clicked] += 1
            item["5+" if before > 4 else str(before), clicked] += 1
            if category.get(shown) is None:
                continue
            alike = [event for event in past if category[event["item_id"]] == category[shown]]
            last = max((event["time"] for event in alike if event["kind"] == "page_view"), default=-1)
            since = sum(event["kind"] == "exposure" and event["time"] > last for event in alike)
            by_category[max(least for least in CATEGORY_BUCKETS if least <= since), clicked] += 1
    return {"position": position, "item": item, "category": by_category, "known": known}


def counted(found: dict[str, Any], logs: Logs) -> dict[str, Any]:
    """Return the figures of the document `found` in the form that `slow` returns."""
    figures = found["click_rate"]

    def counter(rows: Sequence[dict[str, Any]], key: str, name: Any = str) -> Counter[Any]:
        both = {}
        for row in rows:
            both[name(row[key]), 1], both[name(row[key]), 0] = row["clicks"], row["exposures"] - row["clicks"]
        return Counter({key: count for key, count in both.items() if count})

    statistics = statistics_of(logs)
    known = {
        (kind.plural, int(value)): int(count)
        for kind in BEHAVIOUR_KINDS
        for value, count in zip(statistics.known[kind].values, statistics.known[kind].counts, strict=True)
    }
    return {
        "position": counter(figures["position"], "position"),
        "item": counter(figures["item_exposures"], "earlier"),
        "category": counter(figures["category_exposures"], "earlier", lambda name: int(re.match(r"\d+", name)[0])),
        "known": Counter(known),
    }


def synthetic(seed: int, **sizes: int) -> Logs:
    logs = make_logs(seed=seed, **sizes)
    rng = np.random.default_rng(seed)
    names = [None if draw == 0 else f"c{draw}" for draw in rng.integers(0, 5, len(logs.items))]
    return replace(logs, items=logs.items.with_columns(category=pl.Series(names, dtype=pl.String)))


@pytest.mark.parametrize("seed", range(3))
def test_a_plain_loop_gives_the_same_counts(seed: int) -> None:
    logs = synthetic(seed, users=5, items=12)
    assert counted(of(logs)["logs"][0], logs) == slow(logs)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), parts=st.integers(1, 4))
def test_parts_add_up_to_the_whole(seed: int, parts: int) -> None:
    logs = synthetic(seed % 3, users=6, items=15)
    rng = np.random.default_rng(seed)
    part_of = {user: int(rng.integers(0, parts)) for user in range(6)}
    pieces = []
    for place in rng.permutation(parts):
        users = [user for user, part in part_of.items() if part == place]
        mine = pl.col("user_id").is_in(users)
        # A part may be empty.
        pieces.append(
            statistics_of(replace(logs, events=logs.events.filter(mine), requests=logs.requests.filter(mine)))
        )
    summed = pieces[0]
    for piece in pieces[1:]:
        summed = summed + piece
    assert document([LogsStatistics("synthetic", logs.spec, summed)], ["set-0"]) == of(logs)


# Tests of logs in a folder, and tests of the command.


def stats(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["stats", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_logs(feed(), tmp_path / "logs")
    return tmp_path / "logs"


def test_a_folder_gives_the_same_statistics_as_its_tables(folder: Path) -> None:
    expected = of(feed())
    expected["logs"][0]["path"] = str(folder)
    assert stats_document(folder) == expected


def test_statistics_do_not_depend_on_processes_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = synthetic(0, users=6, items=15)
    write_logs(logs, tmp_path / "logs")
    expected = stats_document(tmp_path / "logs")
    unstamp(tmp_path / "logs")
    for name in ("events", "requests"):
        file = tmp_path / "logs" / name / "part-00000.parquet"
        table = pl.read_parquet(file)
        for place, part in enumerate(table.partition_by("user_id", maintain_order=True)):
            part.write_parquet(file.with_name(f"part-{place:05d}.parquet"))
    monkeypatch.setattr("edgerec.data.statistics.counting.TARGET", 50)
    assert stats_document(tmp_path / "logs", processes=1) == expected
    assert stats_document(tmp_path / "logs", processes=2) == expected


def test_the_command_writes_document_and_page(folder: Path, tmp_path: Path) -> None:
    shown = stats(folder, "--against", folder, "--html", tmp_path / "page.html", "--processes", 1)
    assert shown.exit_code == 0
    for text in ("Click rate by position", "e6 of exposures", "difference", "33.3 % (9.68 to 70.0)"):
        assert text in shown.stdout
    assert (tmp_path / "page.html").stat().st_size > 1_000_000
    plain = json.loads(stats(folder, "--json", "--processes", 1).stdout)
    assert (plain["schema"], plain["comparison"], plain["html"]) == (1, None, None)
    with pytest.raises(EdgeRecError, match="--force"):
        stats(folder, "--html", tmp_path / "page.html")
    assert stats(folder, "--html", tmp_path / "page.html", "--force", "--json", "--processes", 1).exit_code == 0
    assert stats(folder, "--processes", 0).exit_code == 2


def test_the_docs_list_all_keys(folder: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
    section = text.split("\n## edgerec stats\n", 1)[1].split("\n## ", 1)[0]
    tables = [
        {
            key
            for line in table.split("\n\n", 1)[0].splitlines()[1:]
            for key in re.findall(r"`(\w+)`", line.split("|")[1])
        }
        for table in section.split("| key | value |\n")[1:]
    ]
    found = json.loads(stats(folder, "--json", "--processes", 1).stdout)
    assert tables[0] == set(found) - {"schema"}
    assert tables[1] == set(found["logs"][0])


def test_errors_are_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not a folder"):
        stats_document(tmp_path / "nowhere")
    empty = feed()
    write_logs(replace(empty, requests=empty.requests[:0]), tmp_path / "empty")
    with pytest.raises(InputError, match=r"empty has no request: there is nothing to count$"):
        stats_document(tmp_path / "empty")
    write_logs(replace(empty, requests=empty.requests[:0], events=empty.events[:0]), tmp_path / "bare")
    with pytest.raises(InputError, match="has no request"):
        stats_document(tmp_path / "bare")
    file = folder / "events" / "part-00000.parquet"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(LogsError, match="was changed after it was written") as caught:
        stats_document(folder)
    assert "\n" not in str(caught.value)


def test_statistics_of_the_smallest_logs_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    logs = feed()
    one = replace(logs, events=logs.events[:0], requests=logs.requests[2:3])
    unseen = one.requests.with_columns(clicked=pl.Series([[None] * 3], dtype=pl.List(pl.Int8)))
    for few in (one, replace(one, requests=unseen), replace(logs, events=logs.events[:0], requests=logs.requests[:0])):
        for found in (of(few), of(few, logs), of(logs, few)):
            emit(found, as_json=True)
            emit(found, as_json=False, table=stats_table(found))
            assert "Size" in page(found)
    assert not re.search(r"\bnan\b", capsys.readouterr().out.lower())


# Tests of the HTML page.


class Loads(HTMLParser):
    """Collects the addresses that a browser would fetch, and all tags."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [f"{tag} {key}={value}" for key, value in attrs if key in ("src", "href", "srcset", "data")]
        self.found += [f"{tag} {value}" for key, value in attrs if key == "style" and "url(" in (value or "")]


def test_the_page_loads_nothing() -> None:
    text = page(of(feed(), feed()))
    loads = Loads()
    loads.feed(text)
    assert loads.found == []
    assert loads.tags.isdisjoint({"link", "img", "iframe", "object", "embed", "base"})
    # The page forbids the browser to load anything, because plotly.js could load maps, for example.
    assert "content=\"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'" in text
    own = text.replace(text.split("<script>", 1)[1].split("</script>", 1)[0], "")
    assert len(own) < 200_000
    assert not re.search(r"https?:|@import|url\(", own)


def test_equal_documents_give_equal_pages(tmp_path: Path) -> None:
    found = of(feed(), feed())
    write_report(found, tmp_path / "one.html")
    write_report(of(feed(), feed()), tmp_path / "other.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "other.html").read_bytes() == page(found).encode()


def test_names_are_escaped_in_the_page() -> None:
    logs = replace(feed(), head=LogsHead(name="<b>&</script>"))
    odd = replace(logs, requests=logs.requests.with_columns(trigger=pl.lit("</script><i>")))
    text = page(of(odd))
    loads = Loads()
    loads.feed(text)
    assert loads.tags.isdisjoint({"b", "i"})
    assert "<title>Statistics of &lt;b&gt;&amp;&lt;/script&gt;</title>" in text


# Tests on the real data set. They are skipped if it is missing.


@pytest.mark.slow
def test_click_rates_of_the_real_data_set(ebnerd_logs: Logs) -> None:
    found = of(ebnerd_logs)["logs"][0]
    rows = found["click_rate"]["item_exposures"]
    assert [100 * row["rate"] for row in rows] == pytest.approx([10.7, 5.2, 3.2, 2.4, 1.6, 1.0], abs=0.1)
    assert (found["requests"], found["pages"], found["exposures"]) == (50_080, 50_080, 583_054)
    # EB-NeRD's logs have the number of earlier lists with the article (`user_exposures`). Our count must equal it.
    lists = ebnerd_logs.requests.select("clicked", "user_exposures").explode("clicked", "user_exposures")
    served = lists.group_by(pl.col("user_exposures").clip(0, 5)).agg(pl.len(), pl.col("clicked").sum())
    expected = [(exposures, clicks) for _, exposures, clicks in served.sort("user_exposures").iter_rows()]
    assert [(row["exposures"], row["clicks"]) for row in rows] == expected


def test_a_page_does_not_replace_a_file_of_another_kind(tmp_path: Path) -> None:
    mine = tmp_path / "logs.json"
    mine.write_text('{"kind": "logs"}')
    with pytest.raises(OutputError, match="is not an HTML page"):
        write_report(of(feed(), feed()), mine, force=True)
    assert mine.read_text() == '{"kind": "logs"}'
