"""A Redis client with a deadline for each request and one error type for all failures."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from edgerec.core.errors import EdgeRecError, InputError, MissingExtraError, StoreError, first_line, not_installed

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError:
    raise MissingExtraError(not_installed("redis", "cloud")) from None

Answer = TypeVar("Answer")

CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 10.0
OPTIONS = (
    *("db", "username", "password", "client_name", "max_connections"),
    *("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"),
)
"""Allowed query options of an address. The other options of redis-py would change what the client returns."""


def connect(url: str) -> tuple[Any, str]:
    """Return a client for the server at `url`, and an address for error texts. No connection is opened yet.

    Raises:
        InputError: `url` is not a valid address of a Redis server.
    """
    try:
        _check_address(url)
        client = redis.Redis.from_url(
            url,
            protocol=2,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            # Retry once, because the server may have closed a connection of the pool.
            retry=Retry(NoBackoff(), 1),
            redis_connect_func=_limit_socket,
        )
        pool = client.connection_pool
        # redis-py checks the options only when it makes a connection object, so make one now.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, redis.RedisError):
        # Do not quote the address, because it may contain a password.
        raise InputError(
            "embedding store: the address should be redis://host:port/database, rediss://... or unix://path; "
            "received another form"
        ) from None
    settings = pool.connection_kwargs
    return client, settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


def _check_address(url: str) -> None:
    """Refuse addresses that redis-py would accept by mistake, or would reject with another exception.

    Raises:
        InputError: the address has an option that is not in `OPTIONS`.
        ValueError: the address is not text, or its database is not a number.
    """
    if not isinstance(url, str):
        raise ValueError
    parts = urlsplit(url)
    for name in parse_qs(parts.query, keep_blank_values=True):
        if name not in OPTIONS:
            raise InputError(
                f"embedding store: the address has the option {name!r}; allowed are {', '.join(OPTIONS)}: leave it out"
            )
    if parts.scheme != "unix" and parts.path.strip("/"):
        int(parts.path.strip("/"))


@contextlib.contextmanager
def request(address: str) -> Iterator[None]:
    """Limit a block of requests to `ANSWER_SECONDS`, and convert the client's exceptions to `StoreError`.

    A nested block keeps the deadline of the outer block.

    Raises:
        StoreError: the server cannot be reached, refuses the request, sends an invalid answer, or takes too long.
    """
    outer = _deadline.end
    _deadline.end = time.monotonic() + ANSWER_SECONDS if outer is None else outer
    try:
        yield
    except EdgeRecError:
        raise
    except (redis.TimeoutError, TimeoutError):
        raise StoreError(
            f"embedding store {address}: no complete answer within {ANSWER_SECONDS:g} s: check that the Redis server "
            "can be reached and is not overloaded"
        ) from None
    except (redis.RedisError, OSError) as error:
        raise StoreError(
            f"embedding store {address}: {_server_error(error)}: check that the Redis server runs, can be reached and "
            "has free memory"
        ) from None
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


def answers(pipeline: Any) -> list[Any]:
    """Execute a pipeline and return the answer to each command. Raise the first error, if there is one."""
    received: list[Any] = pipeline.execute(raise_on_error=False)
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


class _Deadline(threading.local):
    """The deadline of each thread's current request, as a value of `time.monotonic`; None between requests."""

    end: float | None = None


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
        if _deadline.end is None or self._sock.gettimeout() == 0:
            return
        remaining = _deadline.end - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._sock.settimeout(remaining)


def _limit_socket(connection: Any) -> None:
    """Wrap the socket of a new connection before the client uses it."""
    connection._sock = _BoundedSocket(connection._sock)
    connection.on_connect()
