from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.kv.stored import BUCKET_ROWS

if TYPE_CHECKING:
    from edgerec.kv.redis import RedisStore


@pytest.fixture(params=["server", "cluster"])
def store(request: pytest.FixtureRequest) -> Iterator[RedisStore]:
    """A store in one Redis server, and in a cluster, with a random prefix, so that tests do not share keys."""
    yield from _store(request.getfixturevalue("redis_url" if request.param == "server" else "redis_cluster_url"))


@pytest.fixture
def server_store(redis_url: str) -> Iterator[RedisStore]:
    """A store in one Redis server."""
    yield from _store(redis_url)


@pytest.fixture
def cluster_store(redis_cluster_url: str) -> Iterator[RedisStore]:
    """A store in a Redis Cluster."""
    yield from _store(redis_cluster_url)


def _store(url: str) -> Iterator[RedisStore]:
    from edgerec.kv.redis import RedisStore

    store = RedisStore(url, prefix=f"test-{uuid.uuid4().hex}", bucket_rows=BUCKET_ROWS)
    yield store
    store.close()
