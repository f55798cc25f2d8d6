"""A Redis client whose every request ends in time, with an answer or with one clear error."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from edgerec.core.errors import EdgeRecError, InputError, MissingExtraError, StoreError, first_line

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError:
    raise MissingExtraError("redis is not installed: pip install 'edgerec[cloud]'") from None

Kind = TypeVar("Kind")

CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 10.0
OPTIONS = (
    *("db", "username", "password", "client_name", "max_connections"),
    *("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"),
)
"""What may stand behind the `?` of an address. Other options of the client would change what it returns."""


def connect(url: str) -> tuple[Any, str]:
    """Return a client of the server at `url`, and the address to name in errors. No connection is made yet.

    Raises:
        InputError: `url` is no address of a Redis server.
    """
    try:
        _check_address(url)
        client = redis.Redis.from_url(
            url,
            protocol=2,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            # Try once more: a connection of the pool may have died with the server that it led to.
            retry=Retry(NoBackoff(), 1),
            redis_connect_func=_bound,
        )
        pool = client.connection_pool
        # The client checks its options when it makes a connection, which is later.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, redis.RedisError):
        # Do not quote the address: it may hold a password.
        raise InputError(
            "embedding store: the address should be redis://host:port/database, rediss://... or unix://path; "
            "received another form"
        ) from None
    settings = pool.connection_kwargs
    return client, settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


def _check_address(url: str) -> None:
    """Refuse what the client would take without a word, or not as an address at all.

    Raises:
        InputError: an option that is not among `OPTIONS`.
        ValueError: no text, or a database that is no number.
    """
    if not isinstance(url, str):
        raise ValueError
    parts = urlsplit(url)
    for name in parse_qs(parts.query, keep_blank_values=True):
        if name not in OPTIONS:
            raise InputError(
                f"embedding store: the address has the option {name!r}; it may have {', '.join(OPTIONS)}: leave it out"
            )
    if parts.scheme != "unix" and parts.path.strip("/"):
        int(parts.path.strip("/"))


@contextlib.contextmanager
def request(address: str) -> Iterator[None]:
    """Bound a block that asks the server by `ANSWER_SECONDS`. What the client raises becomes one clear error.

    A block within a block shares the outer one's time.

    Raises:
        StoreError: the server cannot be reached, refuses, answers nonsense, or takes too long.
    """
    outer = _deadline.end
    _deadline.end = time.monotonic() + ANSWER_SECONDS if outer is None else outer
    try:
        yield
    except EdgeRecError:
        raise
    except (redis.TimeoutError, TimeoutError):
        raise StoreError(
            f"embedding store {address}: no whole answer within {ANSWER_SECONDS:g} s: check that the Redis server can "
            "be reached and is not overloaded"
        ) from None
    except (redis.RedisError, OSError) as error:
        raise StoreError(
            f"embedding store {address}: {_said(error)}: check that the Redis server runs, can be reached and has "
            "memory left"
        ) from None
    except (ValueError, AttributeError, RecursionError):
        # The client's parsers raise them on bytes that are not of Redis' protocol.
        raise _nonsense(address) from None
    finally:
        _deadline.end = outer


def expect(answer: Any, kind: type[Kind], *, address: str) -> Kind:
    """Return an answer of the server, which should be a `kind`.

    Raises:
        StoreError: it is another type.
    """
    if not isinstance(answer, kind):
        raise _nonsense(address)
    return answer


def answers(pipeline: Any) -> list[Any]:
    """Execute a pipeline and return what the server answers to each command; raise the first error."""
    found: list[Any] = pipeline.execute(raise_on_error=False)
    for answer in found:
        if isinstance(answer, Exception):
            raise answer
    return found


def _nonsense(address: str) -> StoreError:
    return StoreError(f"embedding store {address}: the server did not answer as a Redis server does: check the address")


def _said(error: Exception) -> str:
    """What the server says, without the command and its bytes that the client puts before it."""
    text = str(error).rpartition(" of pipeline caused error: ")[2]
    return first_line(type(error)(text)) if text else type(error).__name__


class _Deadline(threading.local):
    """When the request of this thread has to be answered (`time.monotonic`)."""

    end: float | None = None


_deadline = _Deadline()


class _BoundedSocket:
    """A connected socket that keeps to the deadline of its thread's request.

    The client's own time-out starts anew with each piece of an answer that comes.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, *args: Any) -> bytes:
        """As of a socket."""
        self._limit()
        return self._sock.recv(*args)

    def recv_into(self, *args: Any) -> int:
        """As of a socket."""
        self._limit()
        return self._sock.recv_into(*args)

    def sendall(self, *args: Any) -> None:
        """As of a socket."""
        self._limit()
        self._sock.sendall(*args)

    def _limit(self) -> None:
        # Where the time-out is 0, the client only looks whether something is there.
        if _deadline.end is None or self._sock.gettimeout() == 0:
            return
        left = _deadline.end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)


def _bound(connection: Any) -> None:
    """Take up a new connection of the client."""
    connection._sock = _BoundedSocket(connection._sock)
    connection.on_connect()
