from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgerec.bench.cloud.batches import batch_lines
from edgerec.bench.cloud.breakdown import PARSE, RECALL, page_parts
from edgerec.bench.cloud.load import check_wrk
from edgerec.bench.cloud.run import Plan, run_cloud_bench
from edgerec.bench.cloud.stores import open_stores
from edgerec.bench.cloud.workload import Workload, large_workload, open_workload, zipf
from edgerec.cloud.log_writer import LogWriter
from edgerec.cloud.start import open_service
from edgerec.core.errors import InputError, ResourceError
from edgerec.data.logs import load_logs, write_logs
from edgerec.paging.log_body import decode_batch
from edgerec.paging.page import PageRequest
from tests.cloud.bundles import write_bundle
from tests.redis_server import need_redis
from tests.synthetic import make_logs_with_context

BRANDS, ITEMS = 300, 200


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a bundle and logs."""
    path = tmp_path_factory.mktemp("small")
    write_logs(make_logs_with_context(), path / "logs")
    return write_bundle(path / "bundle", "v1"), path / "logs"


@pytest.fixture(scope="module")
def large(small: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return large_workload(*small, tmp_path_factory.mktemp("large"), brands=BRANDS, items=ITEMS)


def test_a_larger_table_and_catalogue_can_be_served(large: Workload) -> None:
    assert (large.items, large.tables["shop"]["rows"]) == (ITEMS, BRANDS)
    service = open_service(large.catalogue, [large.bundle])
    page = service.page(PageRequest(int(large.users[0]), 1, large.version_id, 50, (), 1))
    assert len(page.items) == 50
    shops = page.items.embeddings["shop"]
    assert len(shops.keys) > 5
    assert np.abs(shops.rows).sum(axis=1).min() > 0  # no item has an unknown brand


def test_brands_are_drawn_by_zipfs_law() -> None:
    drawn = zipf(np.random.default_rng(3), 1000, 200_000)
    counts = np.sort(np.bincount(drawn, minlength=1000))[::-1]
    share = 1 / np.arange(1, 1001)
    np.testing.assert_allclose(counts[:10] / len(drawn), (share / share.sum())[:10], rtol=0.05)


@pytest.mark.parametrize("requests", [0, 3])
def test_the_server_stores_the_batches_of_the_load(requests: int, large: Workload, tmp_path: Path) -> None:
    lines = batch_lines(large, events=40, requests=requests)
    assert len(set(lines)) > 1
    items = load_logs(large.catalogue).items
    with LogWriter(tmp_path / "out", [large.spec], items) as writer:
        for store, line in enumerate(lines[:5]):
            body = f'{{"store_id":{store},{line}'.replace("@", str(store + 1)).encode()
            assert writer.submit(decode_batch(body), body=body).result(10) == {"stored": True, "dropped_rows": 0}
        assert (writer.state()["events"], writer.state()["requests"]) == (200, 5 * requests)


def test_parts_of_a_page_have_times(large: Workload) -> None:
    parts = page_parts(large, count=20, pages=5)
    assert list(parts)[:2] == [PARSE, RECALL]
    assert all(us > 0 for us in parts.values())


def test_a_bundle_without_a_table_cannot_be_made_larger(small: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 1; received 0 and 5"):
        large_workload(*small, tmp_path, brands=0, items=5)


def test_wrk_is_named_if_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ResourceError, match="apt-get install wrk"):
        check_wrk()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed: apt-get install wrk")
@pytest.mark.parametrize("store", ["npz", "redis", "redis_cluster"])
def test_a_server_is_measured(store: str, small: tuple[Path, Path], tmp_path: Path) -> None:
    if store != "npz":
        need_redis()
    plan = Plan(connections=(1, 4), seconds=1, rounds=1, pages=100, items=10)
    document = run_cloud_bench(open_workload(*small), open_stores([store]), plan, work=tmp_path)
    json.dumps(document, allow_nan=False)
    rows = document["results"]
    assert [row["stage"] for row in rows] == ["page", "page", "first", "logs", "logs", "memory"]
    assert [row["connections"] for row in rows[:2]] == [1, 4]
    assert all(row["pages_per_s"] > 10 and 0 < row["p50_us"] <= row["p99_us"] for row in rows[:2])
    assert all(row["behaviours_per_s"] > 10 for row in rows[3:5])
    assert rows[5]["pages"] >= 100
    assert len(load_logs(tmp_path / f"received-{store}").events) > 500
