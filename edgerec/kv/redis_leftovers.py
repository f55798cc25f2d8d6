"""Rows that no version uses, and that do not expire: what a killed publication or removal left over.

A transaction cannot span the hashes of a cluster, so the hash ``PREFIX:leftovers`` lists rows before a publication lets
them live for ever, and from when a removal has taken their version away. A later publication deletes them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from edgerec.kv.redis_server import Servers

LEFTOVER_SECONDS = 3600
"""Rows that were listed this long ago do not belong to a publication that is still at work."""


class Leftover(BaseModel):
    """Hashes that no version uses. `since` is in seconds since 1970; 0 means that they may be deleted at once."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    since: float
    places: tuple[str, ...]

    def content(self) -> bytes:
        """Return the stored form."""
        return self.model_dump_json().encode()


def leftover_now(places: Sequence[str]) -> Leftover:
    """Return the entry of rows whose publication is at work."""
    return Leftover(since=time.time(), places=tuple(places))


def discard(pipeline: Any, key: str, places: Sequence[str]) -> str:
    """In a transaction, list hashes that may be deleted. Return their token for `delete`.

    Args:
        pipeline: the transaction.
        key: the Redis key of the list of leftovers.
        places: the hashes.
    """
    token = uuid.uuid4().hex
    if places:
        pipeline.hset(key, token, Leftover(since=0, places=tuple(places)).content())
    return token


def delete(servers: Servers, key: str, token: str, places: Sequence[str]) -> None:
    """Delete hashes and take them off the list."""
    # UNLINK frees the memory in a background thread of the server.
    servers.send([("UNLINK", place) for place in places])
    servers.client.hdel(key, token)


def sweep(servers: Servers, key: str) -> None:
    """Delete the rows that killed publications and removals have left over."""
    for token, found in servers.client.hgetall(key).items():
        try:
            leftover = Leftover.model_validate_json(found)
        except ValidationError:
            continue
        if time.time() - leftover.since < LEFTOVER_SECONDS:
            continue
        if not leftover.since or _claim(servers, key, token, found, leftover):
            delete(servers, key, token, leftover.places)


def _claim(servers: Servers, key: str, token: bytes, found: bytes, leftover: Leftover) -> bool:
    """Mark old rows, so that a very slow publication cannot commit them any more. Return whether this succeeded."""
    claimed = False

    def change(pipeline: Any) -> None:
        nonlocal claimed
        claimed = pipeline.hget(key, token) == found
        pipeline.multi()
        if claimed:
            pipeline.hset(key, token, Leftover(since=0, places=leftover.places).content())

    servers.transaction(change, key)
    return claimed
