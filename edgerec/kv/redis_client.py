"""Requests to Redis with a deadline for each request and one error type for all failures."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, TypeVar

from edgerec.core.errors import EdgeRecError, MissingExtraError, StoreError, first_line, not_installed

try:
    import redis as redis
    from redis.backoff import NoBackoff as NoBackoff
    from redis.cluster import ClusterNode as ClusterNode
    from redis.retry import Retry as Retry
except ImportError:
    raise MissingExtraError(not_installed("redis", "cloud")) from None

Answer = TypeVar("Answer")

_REFUSED = ("NOAUTH", "WRONGPASS", "Authentication required", "invalid username-password", "AUTH <password>")
"""Parts of the errors of a server that refuses a user or a password."""

CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 10.0


@contextlib.contextmanager
def request(address: str, *, seconds: float | None = None) -> Iterator[None]:
    """Limit a block of requests in time, and convert the client's exceptions to `StoreError`.

    A nested block keeps the deadline of the outer block.

    Args:
        address: address of the server for error texts.
        seconds: how long the block may take, connections included; default: `ANSWER_SECONDS`.

    Raises:
        StoreError: the server cannot be reached, refuses the request, sends an invalid answer, or takes too long.
    """
    limit = ANSWER_SECONDS if seconds is None else seconds
    outer = _deadline.end
    _deadline.end = time.monotonic() + limit if outer is None else outer
    try:
        yield
    except EdgeRecError:
        raise
    except (redis.TimeoutError, TimeoutError):
        raise StoreError(
            f"embedding store {address}: no complete answer within {limit:g} s: check that the Redis server "
            "can be reached and is not overloaded"
        ) from None
    except (redis.RedisError, redis.exceptions.RedisClusterException, OSError) as error:
        raise StoreError(f"embedding store {address}: {_server_error(error)}: {_advice(error)}") from None
    except (ValueError, AttributeError, RecursionError):
        # The parsers of redis-py raise these on bytes that do not follow the Redis protocol.
        raise _invalid_answer(address) from None
    finally:
        _deadline.end = outer


def expect(answer: Any, expected: type[Answer], *, address: str) -> Answer:
    """Return `answer` if it is an instance of `expected`.

    Raises:
        StoreError: the answer has another type.
    """
    if not isinstance(answer, expected):
        raise _invalid_answer(address)
    return answer


def raise_first(received: list[Any]) -> list[Any]:
    """Return the answers to the commands of a pipeline. Raise the first error, if there is one."""
    for answer in received:
        if isinstance(answer, Exception):
            raise answer
    return received


def _invalid_answer(address: str) -> StoreError:
    return StoreError(f"embedding store {address}: the server did not answer in the Redis protocol: check the address")


def _server_error(error: Exception) -> str:
    """Return the server's error text without the command that redis-py puts before it."""
    text = str(error).rpartition(" of pipeline caused error: ")[2]
    return first_line(type(error)(text)) if text else type(error).__name__


def _advice(error: Exception) -> str:
    """Return what to do about an error of a server."""
    text = str(error)
    if isinstance(error, redis.exceptions.MovedError) or "MOVED " in text:
        return "this is a node of a Redis Cluster: give its address as redis+cluster://host:port"
    if "Cluster mode is not enabled" in text or "cluster support disabled" in text:
        return "this is a single server: give its address as redis://host:port"
    if isinstance(error, redis.AuthenticationError) or any(code in text for code in _REFUSED):
        return "check the user and the password in the address"
    if "DB index" in text:
        return "check the number of the database at the end of the address"
    return "check that the Redis server runs, can be reached and has free memory"


class _Deadline(threading.local):
    """The deadline of each thread's current request, as a value of `time.monotonic`; None between requests."""

    end: float | None = None

    def left(self) -> float | None:
        """Return the seconds that are left; None outside a request.

        Raises:
            TimeoutError: no time is left.
        """
        if self.end is None:
            return None
        remaining = self.end - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining


_deadline = _Deadline()


class _BoundedSocket:
    """A connected socket that keeps the deadline of its thread's request.

    The time-out of redis-py is not enough, because it restarts with each received piece of an answer.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, *args: Any) -> bytes:
        """Call `socket.recv` with the time that is left."""
        self._limit()
        return self._sock.recv(*args)

    def recv_into(self, *args: Any) -> int:
        """Call `socket.recv_into` with the time that is left."""
        self._limit()
        return self._sock.recv_into(*args)

    def sendall(self, *args: Any) -> None:
        """Call `socket.sendall` with the time that is left."""
        self._limit()
        self._sock.sendall(*args)

    def _limit(self) -> None:
        # With a time-out of 0, the client only checks whether data has arrived.
        if self._sock.gettimeout() != 0 and (left := _deadline.left()) is not None:
            self._sock.settimeout(left)


class _Bounded:
    """Lets a connection of redis-py keep the deadline of its thread's request, also while it is opened."""

    def _connect(self) -> _BoundedSocket:
        left = _deadline.left()
        # Half of the time is kept, so that another server can be asked.
        self.socket_connect_timeout = CONNECT_SECONDS if left is None else min(CONNECT_SECONDS, left / 2)
        return _BoundedSocket(super()._connect())  # type: ignore[misc]


class BoundedConnection(_Bounded, redis.Connection):  # type: ignore[misc]
    """A connection over TCP with a deadline."""


class BoundedSSLConnection(_Bounded, redis.SSLConnection):  # type: ignore[misc]
    """A connection over TLS with a deadline."""


class BoundedUnixConnection(_Bounded, redis.UnixDomainSocketConnection):  # type: ignore[misc]
    """A connection over a local socket with a deadline."""
