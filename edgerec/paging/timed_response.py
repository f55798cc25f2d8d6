"""A response of `http.client` that is read within a deadline."""

from __future__ import annotations

import http.client
import io
import socket
import time
from functools import partial
from typing import Any


def bound(connection: http.client.HTTPConnection, timeout_s: float, deadline: float) -> None:
    """Let the next request and its response end at a deadline.

    Args:
        connection: a connection that is open.
        timeout_s: how long each wait for bytes may take, in seconds.
        deadline: when the response should be complete, on the clock `time.monotonic`.
    """
    connection.sock.settimeout(_left(timeout_s, deadline))
    connection.response_class = partial(_Response, timeout_s, deadline)  # type: ignore[assignment]


class _Response(http.client.HTTPResponse):
    """A response whose status, headers and body are read within the deadline."""

    def __init__(self, timeout_s: float, deadline: float, sock: socket.socket, method: str | None = None) -> None:
        super().__init__(sock, method=method)
        self.fp = io.BufferedReader(_Reads(sock, self.fp.detach(), timeout_s, deadline))


class _Reads(io.RawIOBase):
    """The bytes of a socket. Before each read, the time that is left becomes the socket's timeout."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, timeout_s: float, deadline: float) -> None:
        self._sock, self._raw, self._timeout, self._deadline = sock, raw, timeout_s, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left(self._timeout, self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _left(timeout_s: float, deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return min(timeout_s, left)
