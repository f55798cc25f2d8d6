from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edgerec.cloud.catalogue import Catalogue
from edgerec.cloud.served_values import DefaultServedValues
from edgerec.cloud.start import open_service
from edgerec.core.errors import InputError
from edgerec.data.logs import Logs, load_logs, write_logs
from edgerec.features.spec import FeatureSpec
from tests.synthetic import SPEC, make_logs

AS_OF = {
    "clicks_1h": {"count": "page_view", "by": ["item_id"], "within_s": 3600},
    "ctr": {"count": "page_view", "by": ["shop"], "per": "listed", "prior": 0.1, "prior_weight": 5},
    "dwell": {"count": "page_view", "by": ["item_id"], "weight": "duration_s"},
    "faded": {"count": "exposure", "by": ["item_id"], "half_life_s": 3600},
    "user_views": {"count": "behaviour", "by": ["user_id", "shop"]},
    "last": {"since_last": "exposure", "by": ["item_id"]},
    "age_h": {"since_first": "listed", "by": ["item_id"], "unit_s": 3600},
    "buyers": {"count": "page_view", "by": ["shop"], "where": "bought"},
}


def spec_of(as_of: dict[str, object], *, plain: Sequence[str] = ()) -> FeatureSpec:
    document = SPEC.model_dump(mode="json", exclude_none=True)
    for name, rule in as_of.items():
        document["item"].append({"name": name, "source": name, "origin": "served", "kind": "raw", "as_of": rule})
    for name in plain:
        document["item"].append({"name": name, "source": name, "origin": "served", "kind": "raw"})
    return FeatureSpec.model_validate(document)


def with_as_of(folder: Path) -> Logs:
    """Return logs with the as-of columns, as `write_logs` computes them."""
    logs = make_logs(users=6, requests=5)
    write_logs(replace(logs, spec=spec_of(AS_OF)), folder)
    return load_logs(folder)


@pytest.mark.parametrize("batch", [0, 7])
def test_as_of_values_equal_those_of_the_logs(batch: int, tmp_path: Path) -> None:
    """Each request gets the values that `write_logs` computed, if everything before it was learnt, in any batches."""
    logs = with_as_of(tmp_path / "logs")
    served = DefaultServedValues([logs.spec], Catalogue(logs.items))
    assert served.absent == []
    asked = logs.requests.sort("time")[::3]
    learnt = 0
    for row in asked.to_dicts():
        events = logs.events.filter(pl.col("time").is_between(learnt, row["time"] - 1)).sort("time")
        requests = logs.requests.filter(pl.col("time").is_between(learnt, row["time"] - 1))
        for start in range(0, len(events), batch or len(events) or 1):
            served.learn(events[start : start + (batch or len(events))], requests[:0])
        served.learn(events[:0], requests)
        learnt = row["time"]
        found = served.values(list(AS_OF), row["user_id"], np.array(row["item_id"]), None, row["time"])
        for name in AS_OF:
            np.testing.assert_allclose(
                np.array(found[name], np.float64), np.array(row[name], np.float64), rtol=1e-6, err_msg=name
            )


def test_a_page_is_counted_once_even_if_its_requests_come_in_two_batches() -> None:
    logs = make_logs(users=2, requests=2)
    served = DefaultServedValues([spec_of({"lists": {"count": "listed", "by": ["item_id"]}})], Catalogue(logs.items))
    row = logs.requests[:1].with_columns(page_id=pl.lit(5))
    for moved in (0, 10, 20):
        served.learn(logs.events[:0], row.with_columns(time=pl.col("time") + moved, request_id=pl.lit(moved)))
    item = row["item_id"][0][0]
    assert served.values(["lists"], 1, np.array([item]), None, 10**12)["lists"] == [1]


def test_events_without_the_column_that_is_counted_add_nothing() -> None:
    logs = make_logs(users=2, requests=2)
    served = DefaultServedValues([spec_of({"buyers": AS_OF["buyers"]})], Catalogue(logs.items))
    served.learn(logs.events.drop("bought"), logs.requests)
    assert served.values(["buyers"], 1, np.array([100]), None, 10**12)["buyers"] == [0]


def test_events_and_lists_of_items_that_the_catalogue_lacks_are_not_counted() -> None:
    logs = make_logs(users=2, requests=2)
    rules: dict[str, object] = {
        "views": {"count": "behaviour", "by": ["item_id"]},
        "listed": {"count": "listed", "by": ["item_id"]},
        "mine": {"count": "behaviour", "by": ["user_id", "item_id"]},
    }
    served = DefaultServedValues([spec_of(rules)], Catalogue(logs.items.sort("item_id")))
    lists = pl.col("item_id").list.eval(pl.element() + 100_000)
    served.learn(logs.events.with_columns(pl.col("item_id") + 100_000), logs.requests.with_columns(lists))
    last = np.array([logs.items["item_id"].max()])
    assert served.values(list(rules), 1, last, None, 10**12) == {name: [0] for name in rules}


def test_versions_that_compute_a_column_in_different_ways_are_refused() -> None:
    specs = [spec_of({"clicks": {**AS_OF["clicks_1h"], "within_s": seconds}}) for seconds in (10, 20)]  # type: ignore[dict-item]
    with pytest.raises(InputError, match="two versions compute the column 'clicks' with a different as_of"):
        DefaultServedValues(specs, Catalogue(make_logs().items))


def test_a_column_that_nothing_supplies_is_named_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = make_logs(users=2, requests=2)
    events = logs.events.with_columns(stock=pl.lit(1.0), price=pl.lit(1.0))
    lists = pl.col("item_id").list.eval(pl.element() * 1.0)
    requests = logs.requests.with_columns(stock=lists, price=lists)
    spec = spec_of({}, plain=["stock", "price"])
    write_logs(replace(logs, spec=spec, events=events, requests=requests), tmp_path / "logs")
    open_service(tmp_path / "logs")
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "these served columns have no values here: stock, price; give a ServedValues" in error
