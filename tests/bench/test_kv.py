from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.bench import kv, temporary_tables
from edgerec.bench.cloud.redis_servers import free_port
from edgerec.bench.kv import run_kv_bench
from edgerec.bench.kv_pages import zipf_pages
from edgerec.bundle.tables import open_tables
from edgerec.cli.tables.bench import kv_table
from edgerec.core.errors import EdgeRecError, FormatError, InputError, IntegrityError, OutputError, ParityError
from edgerec.kv.store import Lookup
from tests.command_line import document, edgerec_here, error_line
from tests.kv.tables import make, write_cloud


def check_rows(found: dict[str, Any], names: list[str]) -> None:
    assert [row["name"] for row in found["results"]] == names
    for row in found["results"]:
        assert row["stage"] == "kv"
        assert 0 < row["min_us"] <= row["p50_us"] <= row["p90_us"] <= row["p99_us"]
        assert row["n"] == sum(len(samples) for samples in row["samples_us"]) > 0
        assert row["resident_bytes"] >= row["private_bytes"] >= 0
    assert [row["peer"] for row in found["ratios"]] == names[1:]
    assert kv_table(found).row_count == len(names)


def test_the_tables_of_a_bundle_are_measured(bundle_path: Path, tmp_path: Path) -> None:
    found = run_kv_bench(bundle_path, rounds=1, out=tmp_path / "kv.json")
    check_rows(found, ["npz"])
    assert found["version_id"] == open_tables(bundle_path / "cloud").version_id
    assert set(found["sizes"]["tables"]) == set(open_tables(bundle_path / "cloud").tables)
    assert json.loads((tmp_path / "kv.json").read_text()) == {"schema": 1, **json.loads(json.dumps(found))}


def test_the_command_measures_both_stores(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {name: (max(rows // 100, 1), dimension) for name, (rows, dimension) in temporary_tables.TAOBAO.items()}
    monkeypatch.setattr(temporary_tables, "TAOBAO", small)
    more = ["--brands", "3000", "--table-dtype", "float16", "--shard-rows", "1000"]
    found = document(edgerec_here("bench", "kv", *more, "--redis", redis_url, "--rounds", "2", "--json"))
    check_rows(found, ["npz", "redis"])
    assert found["bundle"] is None
    assert len(found["sizes"]["tables"]) == 6
    brand = {"keys": 3000, "dimension": 40, "dtype": "float16", "shards": 3}
    assert found["sizes"]["tables"]["brand"] == brand
    # The server must have stored the rows (80 bytes each) and their keys, and must have removed them at the end.
    assert found["results"][1]["resident_bytes"] > 3000 * 88
    import redis

    with redis.Redis.from_url(redis_url) as client:
        assert not client.keys("edgerec-bench-*")


def test_a_cluster_and_caches_are_measured_with_zipf_keys(
    redis_url: str, redis_cluster_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary_tables, "TAOBAO", {"city": (50, 8)})
    monkeypatch.setattr(kv, "WARM_PAGES", 200)
    stores = ["--redis", redis_url, "--redis", redis_cluster_url]
    more = ["--brands", "3000", "--zipf", "1", "--cache-mb", "1", "--rounds", "1", "--json"]
    found = document(edgerec_here("bench", "kv", *stores, *more))
    names = ["redis", "redis-cluster"]
    check_rows(found, ["npz", *names, *(f"{name} + 1 MB" for name in names)])
    assert found["zipf"] == 1
    rows = {row["name"]: row for row in found["results"]}
    assert rows["redis-cluster"]["resident_bytes"] > 3000 * 168
    # The cache has room for most of the rows. One of 20 keys is in no table.
    assert 0.8 < rows["redis + 1 MB"]["hit_rate"] < 0.96
    assert rows["redis + 1 MB"]["resident_bytes"] <= 10**6
    assert "hit_rate" not in rows["redis"]


def test_zipf_keys_have_the_stated_distribution(tmp_path: Path) -> None:
    tables = open_tables(write_cloud(tmp_path / "cloud", {"shop": make(range(0, 300, 3))}))
    pages = zipf_pages(tables, 1.0, items=20_000)
    keys = next(pages)["shop"]
    unknown = ~np.isin(keys, np.arange(0, 300, 3))
    assert 0.04 < unknown.mean() < 0.06
    counts = np.sort(np.unique(keys[~unknown], return_counts=True)[1])[::-1] / (~unknown).sum()
    share = 1 / np.arange(1, 101) / (1 / np.arange(1, 101)).sum()
    np.testing.assert_allclose(counts[:3], share[:3], rtol=0.15)


def test_a_store_that_returns_wrong_rows_is_refused(
    bundle_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgerec.kv.redis import RedisTables

    original = RedisTables.get_many

    def changed(self: RedisTables, keys: Any) -> dict[str, Lookup]:
        return {name: Lookup(rows + np.float32(1e-6), known) for name, (rows, known) in original(self, keys).items()}

    monkeypatch.setattr(RedisTables, "get_many", changed)
    with pytest.raises(ParityError, match="redis and npz return different rows of table shop"):
        run_kv_bench(bundle_path, rounds=1, redis_url=redis_url)


def test_invalid_arguments_are_refused(bundle_path: Path, tmp_path: Path) -> None:
    attempts: list[tuple[type[EdgeRecError], str, Path, dict[str, Any]]] = [
        (InputError, "--rounds should be at least 1", bundle_path, {"rounds": 0}),
        (FormatError, "is not a folder", tmp_path / "nothing", {}),
        (OutputError, "exists already", bundle_path, {"out": tmp_path / "there.json"}),
        (InputError, "--cache-mb needs --redis and --zipf", bundle_path, {"cache_mb": [1], "zipf": 1.0}),
        (InputError, "--cache-mb needs --redis and --zipf", bundle_path, {"cache_mb": [1], "redis_url": "redis://x"}),
        (InputError, "--zipf should be a number above 0 and at most 10; received nan", bundle_path, {"zipf": np.nan}),
    ]
    (tmp_path / "there.json").write_text("kept")
    for error, message, bundle, more in attempts:
        with pytest.raises(error, match=message):
            run_kv_bench(bundle, **more)
    assert (tmp_path / "there.json").read_text() == "kept"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "needs either a BUNDLE or --brands N; received neither"),
        (["bundle", "--brands", "3"], "received both"),
        (["--brands", "0"], "--brands should be at least 1; received 0"),
    ],
)
def test_the_command_measures_either_a_bundle_or_temporary_tables(arguments: list[str], said: str) -> None:
    assert said in error_line(edgerec_here("bench", "kv", *arguments))


def test_a_changed_table_is_refused_before_the_measurement(bundle_path: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle_path / "cloud", tmp_path / "cloud")
    shard = next((tmp_path / "cloud").rglob("*.npz"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="bytes instead of"):
        run_kv_bench(tmp_path)


def test_the_error_for_an_unreachable_server_is_one_line(bundle_path: Path, redis_url: str) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "edgerec", "bench", "kv", str(bundle_path), "--redis", url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("edgerec: embedding store 127.0.0.1:")
    assert done.stderr.count("\n") == 1
