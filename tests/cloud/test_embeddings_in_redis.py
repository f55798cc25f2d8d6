"""Tests of `edgerec embeddings` and of `edgerec serve --redis`, with real servers in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.bench.cloud.redis_servers import redis_cluster, redis_server
from edgerec.bundle.tables import open_tables
from edgerec.cloud.embedding_source import RedisEmbeddings, UnpublishedError
from edgerec.cloud.followed_folder import FollowedFolder
from edgerec.cloud.start import open_service
from edgerec.cloud.version_folder import publish
from edgerec.core.errors import StoreError
from edgerec.kv.redis import RedisStore
from edgerec.paging.page import PageRequest
from tests.cloud.bundles import write_bundle, write_whole
from tests.cloud.test_server import call, served
from tests.command_line import document, edgerec_here, error_line
from tests.kv.tables import make, write_cloud
from tests.redis_server import need_redis

PAGE = {"user_id": 1, "store_id": 2, "count": 30, "time": 5000}


def page(url: str, version_id: str | None = "v1") -> tuple[int, dict[str, object]]:
    body = json.dumps({**PAGE, "version_id": version_id}).encode()
    status, _, content = call(url, "POST", "/v1/page", body, Accept="application/json")
    found = json.loads(content)
    found.pop("page_id", None)
    return status, found


def ready(url: str) -> tuple[int, str]:
    """Return the status of `/v1/ready`, and what it says about the embeddings."""
    status, _, content = call(url, "GET", "/v1/ready")
    return status, json.loads(content)["embeddings"]


@pytest.fixture(params=["server", "cluster"])
def own_redis(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[int]]]:
    """The address of a Redis that a test may stop, and its processes."""
    need_redis()
    if request.param == "server":
        with redis_server() as server:
            yield server.url, [server.process.pid]
    else:
        with redis_cluster() as cluster:
            yield cluster.url, [master.process.pid for master in cluster.masters]


@pytest.fixture(scope="module")
def files_url(logs: Path, bundle: Path) -> Iterator[str]:
    """The address of a server that reads embeddings from files."""
    with served(bundle, "--catalogue", logs) as (_, state):
        yield state["url"]


def test_a_server_with_redis_answers_as_one_with_files(
    own_redis: tuple[str, list[int]], files_url: str, logs: Path, bundle: Path
) -> None:
    url, processes = own_redis
    where = ("--redis", url, "--prefix", "tests")
    assert "version v1 is not published: run edgerec embeddings publish" in error_line(
        edgerec_here("serve", bundle, "--catalogue", logs, *where)
    )
    first = document(edgerec_here("embeddings", "publish", bundle, *where, "--json"))
    again = document(edgerec_here("embeddings", "publish", bundle, *where, "--json"))
    assert (first["published"], again["published"], first["tables"], first["rows"]) == (True, False, 1, 12)
    with served(bundle, "--catalogue", logs, *where, "--cache-mb", "0") as (_, state):
        expected = page(files_url)
        assert expected[0] == 200
        assert page(state["url"]) == expected
        items = json.dumps({"version_id": "v1", "item_ids": [100, 101, 119]}).encode()
        asked = [call(one, "POST", "/v1/items", items) for one in (files_url, state["url"])]
        assert asked[0] == asked[1]
        assert ready(state["url"]) == (200, "ok")
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        start = time.monotonic()
        status, answer = page(state["url"])
        # The address stays in the server's log.
        assert (status, answer) == (503, {"error": "the embeddings cannot be read now: ask again later"})
        # The pause: later requests do not wait. Devices without a model need no embeddings.
        assert page(state["url"])[0] == 503
        assert page(state["url"], None) == page(files_url, None)
        assert call(state["url"], "GET", "/v1/health")[0] == 200
        # All servers share this Redis. A load balancer that took them out would take pages without a model away, too.
        assert ready(state["url"]) == (200, "the last look-up failed")
        assert time.monotonic() - start < 10
        for process in processes:
            os.kill(process, signal.SIGCONT)
        end = time.monotonic() + 20
        while page(state["url"]) != expected:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert ready(state["url"]) == (200, "ok")


def test_versions_in_redis_can_be_listed_switched_and_removed(redis_url: str, tmp_path: Path) -> None:
    where = ("--redis", redis_url, "--prefix", f"cli-{time.time_ns()}")
    for name in ("v1", "v2"):
        edgerec_here("embeddings", "publish", write_bundle(tmp_path / name, name), *where)
    listed = document(edgerec_here("embeddings", "list", *where, "--json"))["versions"]
    assert [(row["version_id"], row["current"], row["complete"]) for row in listed] == [
        ("v1", False, True),
        ("v2", True, True),
    ]
    edgerec_here("embeddings", "switch", "v1", *where)
    assert document(edgerec_here("embeddings", "remove", "v2", *where, "--json"))["removed"] is True
    assert "v1" in edgerec_here("embeddings", "list", *where).stdout
    assert "version v1 is the current version and cannot be removed" in error_line(
        edgerec_here("embeddings", "remove", "v1", *where)
    )


def test_tables_of_other_sizes_are_refused(redis_url: str, logs: Path, bundle: Path, tmp_path: Path) -> None:
    """Another export has the same version ID, and other tables."""
    where = ("--redis", redis_url, "--prefix", f"sizes-{time.time_ns()}")
    write_cloud(tmp_path / "other" / "cloud", {"shop": make(range(3), width=4)}, version_id="v1")
    edgerec_here("embeddings", "publish", tmp_path / "other", *where)
    assert "version v1 has tables of other sizes than" in error_line(
        edgerec_here("serve", bundle, "--catalogue", logs, *where)
    )


@pytest.mark.parametrize("cache_bytes", [0, 64_000_000])
def test_a_version_that_is_published_again_is_found_without_a_restart(
    redis_url: str, tmp_path: Path, cache_bytes: int
) -> None:
    prefix, keys = f"again-{time.time_ns()}", np.arange(3, 15)
    store = RedisStore(redis_url, prefix=prefix)
    tables = [make(keys, width=4, seed=seed) for seed in (1, 2)]
    clouds = [write_cloud(tmp_path / str(number) / "cloud", {"shop": table}) for number, table in enumerate(tables)]
    store.publish(open_tables(clouds[0]))
    opened = RedisEmbeddings(redis_url, prefix=prefix, cache_bytes=cache_bytes).open(clouds[0], public_key=None).tables

    def rows(asked: Any) -> Any:
        return opened.get_many({"shop": asked})["shop"].rows

    np.testing.assert_array_equal(rows(keys[:6]), tables[0].values[:6])
    store.publish(open_tables(clouds[1]), replace=True)
    # Half of the rows may be in the cache. No answer mixes two publications, whichever thread comes first.
    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(rows, [keys] * 40):
            np.testing.assert_array_equal(found, tables[1].values)
    with store.connected() as client:  # Redis lost everything, and nothing was published again.
        for key in client.keys(f"{prefix}*"):
            client.delete(key)
    if cache_bytes:
        np.testing.assert_array_equal(rows(keys), tables[1].values)
    with pytest.raises(StoreError, match="does not exist any more"):
        rows(np.arange(2, 15))
    store.publish(open_tables(clouds[0]))
    np.testing.assert_array_equal(rows(np.arange(2, 15))[1:], tables[0].values)
    write_cloud(tmp_path / "other" / "cloud", {"shop": make(keys, width=5)})
    store.publish(open_tables(tmp_path / "other" / "cloud"), replace=True)
    with pytest.raises(StoreError, match="it was published again, with tables of other sizes"):
        rows(np.arange(1, 15))


def test_a_version_that_lost_rows_is_not_opened(redis_url: str, tmp_path: Path) -> None:
    prefix = f"lost-{time.time_ns()}"
    bundle = write_bundle(tmp_path / "v1", "v1")
    store = RedisStore(redis_url, prefix=prefix)
    store.publish(open_tables(bundle / "cloud"))
    with store.connected() as client:
        (place,) = client.keys(f"{prefix}:rows:*")
        client.hdel(place, client.hkeys(place)[0])
    with pytest.raises(UnpublishedError, match="version v1 is damaged or lost rows: run edgerec embeddings publish"):
        RedisEmbeddings(redis_url, prefix=prefix).open(bundle / "cloud", public_key=None)


def test_a_versions_folder_waits_for_redis(redis_url: str, logs: Path, tmp_path: Path) -> None:
    prefix = f"folder-{time.time_ns()}"
    bundle = write_whole(tmp_path / "bundle", "v1")
    publish(bundle, tmp_path / "versions")
    embeddings = RedisEmbeddings(redis_url, prefix=prefix)
    followed = FollowedFolder(tmp_path / "versions", embeddings=embeddings, again_s=0)
    service = open_service(logs, followed=followed, embeddings=embeddings)
    assert service.versions.ids == []
    assert "not published" in service.versions.refused["v1"]
    RedisStore(redis_url, prefix=prefix).publish(open_tables(bundle / "cloud"))
    assert followed.changed()
    followed.update(service.versions, service.admit)
    assert service.versions.ids == ["v1"]
    assert service.page(PageRequest(1, 2, "v1", 20)).items.embeddings["shop"].rows.shape[1] == 4
