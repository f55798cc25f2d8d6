from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from edgerec.cloud.service import FeedService, UnknownItemsError
from edgerec.cloud.start import open_service
from edgerec.cloud.versions import UnknownVersionError
from edgerec.core.errors import InputError, LogsError
from edgerec.features.spec import FeatureSpec
from edgerec.paging.items import UNKNOWN_KEY
from edgerec.paging.page import PageRequest
from tests.cloud.bundles import SHOPS, table, write_bundle
from tests.kv.tables import expected
from tests.synthetic import SPEC, SPEC_WITH_RELATIONS, make_logs

CATALOGUE = {row["item_id"]: row for row in make_logs().items.to_dicts()}


@pytest.fixture(scope="module")
def service(logs: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> FeedService:
    other = write_bundle(tmp_path_factory.mktemp("other"), "version-2", SPEC)
    return open_service(logs, [bundle, other])


def test_a_page_has_raw_values_of_the_catalogue_and_the_score(service: FeedService) -> None:
    page = service.page(PageRequest(999, 1, "v1", 20, (105,), 5000))
    ids = page.items.item_id.tolist()
    assert len(ids) == len(set(ids)) == 20
    assert 105 not in ids
    assert (page.offered_at, page.served, page.complete) == (5000, ("score",), False)
    assert set(page.items.columns) == {"level", "shop", "score"}
    for column in ("level", "shop"):
        assert list(page.items.columns[column]) == [CATALOGUE[item][column] for item in ids]
    assert None in service.items("v1", list(CATALOGUE)).columns["level"]
    score = page.items.columns["score"]
    assert list(score) == sorted(score, reverse=True)
    assert page.page_id != service.page(PageRequest(3, 1, "v1", 20)).page_id


@pytest.mark.parametrize("version", ["v1", "version-2"])
def test_embeddings_are_those_of_the_device_s_version(service: FeedService, version: str) -> None:
    items = service.items(version, list(CATALOGUE))
    column = items.embeddings["shop"]
    shops = [row["shop"] for row in CATALOGUE.values()]
    np.testing.assert_array_equal(column.rows[column.index], expected(table(version), shops))
    keys = column.keys[column.index]
    np.testing.assert_array_equal(keys, [shop if shop in SHOPS else UNKNOWN_KEY for shop in shops])
    assert (keys == UNKNOWN_KEY).any()
    assert len(column.keys) == len({shop for shop in shops if shop in SHOPS}) + 1
    # A specification without relations does not read the shop's raw value.
    assert ("shop" in items.columns) == (version == "v1")


def test_a_page_of_known_keys_has_no_unknown_row(service: FeedService) -> None:
    known = [item for item, row in CATALOGUE.items() if row["shop"] in SHOPS]
    assert UNKNOWN_KEY not in service.items("v1", known).embeddings["shop"].keys


def test_a_device_without_a_model_gets_values_and_no_embeddings(service: FeedService) -> None:
    page = service.page(PageRequest(3, 1, None, 100))
    assert page.items.embeddings == {}
    assert set(page.items.columns) == {"level", "shop", "score"}
    assert page.complete
    assert len(page.items) == len(CATALOGUE)


def test_unknown_versions_and_items_are_named(service: FeedService) -> None:
    with pytest.raises(UnknownVersionError, match="'v9' is not served; the served versions are: v1, version-2"):
        service.page(PageRequest(3, 1, "v9", 10))
    with pytest.raises(UnknownItemsError, match="does not have 1 of the items, such as 7"):
        service.items("v1", [100, 7])


def test_the_service_learns_from_new_logs(logs: Path, bundle: Path) -> None:
    service = open_service(logs, [bundle])
    before = service.page(PageRequest(3, 1, "v1", 1)).items.item_id[0]
    views = [(user, 10**9 + user, "page_view", 131) for user in range(100, 400)]
    schema = ["user_id", "time", "kind", "item_id"]
    service.learn(pl.DataFrame(views, schema=schema, orient="row"), pl.DataFrame())
    assert service.page(PageRequest(500, 1, "v1", 1)).items.item_id.tolist() == [131]
    assert before != 131


class Shelf:
    """A recall of a team's own."""

    def __init__(self, ids: np.ndarray) -> None:
        self.ids, self.learnt, self.asked = ids, 0, list[Any]()

    def candidates(self, user_id: int, count: int, exclude: Any, time: int) -> Any:
        self.asked.append((user_id, count, tuple(exclude), time))
        return self.ids[:count], np.arange(count, 0, -1.0)

    def learn(self, events: pl.DataFrame) -> None:
        self.learnt += len(events)


class Prices:
    """Served values of a team's own."""

    def values(self, columns: Any, user_id: int, item_ids: Any, scores: Any, time: int) -> Any:
        return {"score": (scores * 10).tolist()}

    def learn(self, events: pl.DataFrame, requests: pl.DataFrame) -> None: ...


def test_a_recall_and_served_values_of_a_team_s_own_are_used(logs: Path, bundle: Path) -> None:
    shelves = list[Shelf]()

    def make(ids: Any) -> Shelf:
        shelves.append(Shelf(ids))
        return shelves[0]

    service = open_service(logs, [bundle], recall=make, served=Prices())
    page = service.page(PageRequest(1, 2, "v1", 3, (4, 5), 6))
    assert page.items.item_id.tolist() == [100, 101, 102]
    assert page.items.columns["score"] == [30, 20, 10]
    assert shelves[0].asked == [(1, 3, (4, 5), 6)]
    assert shelves[0].learnt > 500
    shelves[0].ids = np.array([100, 100, 1])
    with pytest.raises(InputError, match="should return at most 3 different items of the catalogue"):
        service.page(PageRequest(1, 2, "v1", 3))


def test_events_of_items_that_the_catalogue_lacks_are_not_learnt(logs: Path) -> None:
    learnt = Shelf(np.empty(0))

    class Noted(Prices):
        def learn(self, events: pl.DataFrame, requests: pl.DataFrame) -> None:
            learnt.learnt += 100 * len(events)

    service = open_service(logs, recall=lambda ids: learnt, served=Noted())
    learnt.learnt = 0
    schema = ["user_id", "time", "kind", "item_id"]
    rows = [(1, 5, "page_view", 99_999), (1, 6, "page_view", 100)]
    service.learn(pl.DataFrame(rows, schema=schema, orient="row"), pl.DataFrame())
    assert learnt.learnt == 101


def test_a_catalogue_without_items_is_refused(logs: Path, tmp_path: Path) -> None:
    shutil.copytree(logs, tmp_path / "logs")
    pl.read_parquet(logs / "items.parquet")[:0].write_parquet(tmp_path / "logs" / "items.parquet")
    head = json.loads((logs / "logs.json").read_text())
    head.pop("parts", None)
    (tmp_path / "logs" / "logs.json").write_text(json.dumps(head))
    with pytest.raises(LogsError, match=r"items\.parquet has no rows: the catalogue needs at least one item"):
        open_service(tmp_path / "logs")


IDS = np.array([100, 101, 102])
RECALLED: dict[str, Any] = {
    "raised KeyError: 'shop'": KeyError("shop"),
    "should return an array of item IDs and an array of scores; received None": None,
    "received ([1.5], [1])": ([1.5], [1]),
    "received 3 items, 2 scores": (IDS, [1, 2]),
    "should return finite scores; received NaN or infinity": (IDS, [1, 2, np.nan]),
}
VALUES: dict[str, Any] = {
    "raised KeyError: 'shop'": KeyError("shop"),
    "should return a dictionary of columns; received None": None,
    "should return 3 values of 'score', one for each item; received 2 values": {"score": [1, 2]},
    "should return 3 values of 'score', one for each item; received 5": {"score": 5},
    "should return finite numbers or None for 'score'; received 'a'": {"score": ["a", "b", "c"]},
    "should return finite numbers or None for 'score'; received nan": {"score": np.array([1, np.nan, 2])},
}


def answering(answer: Any) -> Any:
    def method(*_: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return method


@pytest.mark.parametrize("text", RECALLED)
def test_a_fault_of_the_application_s_recall_is_named(text: str, logs: Path) -> None:
    recall = Shelf(IDS)
    recall.candidates = answering(RECALLED[text])  # type: ignore[method-assign]
    service = open_service(logs, recall=lambda ids: recall)
    with pytest.raises(InputError, match=r"recall: `candidates` .*" + re.escape(text)):
        service.page(PageRequest(1, 2, None, 3))


@pytest.mark.parametrize("text", VALUES)
def test_a_fault_of_the_application_s_served_values_is_named(text: str, logs: Path) -> None:
    served = Prices()
    served.values = answering(VALUES[text])  # type: ignore[method-assign]
    service = open_service(logs, recall=Shelf, served=served)
    with pytest.raises(InputError, match=r"served values: `values` .*" + re.escape(text)):
        service.page(PageRequest(1, 2, None, 3))


def test_served_values_may_be_arrays_and_numpy_numbers(logs: Path) -> None:
    served = Prices()
    for values in (np.array([1.5, 2, 3]), [np.float32(1.5), 2, None], pl.Series([1.5, 2, None])):
        served.values = answering({"score": values})  # type: ignore[method-assign]
        page = open_service(logs, recall=Shelf, served=served).page(PageRequest(1, 2, None, 3))
        assert page.items.columns["score"][:2] == [1.5, 2]


def test_a_catalogue_without_a_column_that_a_version_reads_is_refused(logs: Path, tmp_path: Path) -> None:
    document = SPEC_WITH_RELATIONS.model_dump(mode="json", exclude_none=True)
    document["item"].append({"name": "brand", "source": "brand", "origin": "catalogue", "kind": "raw"})
    other = write_bundle(tmp_path, "v3", FeatureSpec.model_validate(document))
    with pytest.raises(LogsError, match="table 'items' has no column 'brand', which feature brand reads"):
        open_service(logs, [other])


def test_a_bundle_that_is_given_twice_is_refused(logs: Path, bundle: Path) -> None:
    with pytest.raises(InputError, match="version v1 is given twice"):
        open_service(logs, [bundle, bundle])
