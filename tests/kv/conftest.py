from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from edgerec.kv.redis import RedisStore


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStore]:
    """A Redis store with a random prefix, so that tests do not share keys."""
    from edgerec.kv.redis import RedisStore

    store = RedisStore(redis_url, prefix=f"test-{uuid.uuid4().hex}")
    yield store
    store.close()
