"""Let two processes that measure take turns, round by round, so that only one of them runs at any time.

A machine is fast for some seconds and slow for others. If two processes measure one after the other, their medians
differ by as much. If their rounds alternate, both see the same machine, and the ratio of two neighbouring rounds is
steady. `edgerec bench compare` measures two bundles or two installations in this way.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
from collections.abc import Sequence

from edgerec.core.errors import ResourceError

VARIABLE = "EDGEREC_BENCH_TURNS"
"""Environment variable that tells a process to take turns: port, index of the process, and a secret."""
_GO, _READY = b"g", b"r"
_POLL_SECONDS = 0.2
_NAME_SECONDS = 2.0
"""A connection is closed if its process does not send its name within this time."""

_connections: dict[str, socket.socket] = {}


def wait_for_turn() -> None:
    """Wait until it is the turn of this process. If it does not take turns with another process, return at once.

    The turn ends with the next call, or when the process ends.

    Raises:
        ResourceError: the process that gives the turns has ended.
    """
    where = os.environ.get(VARIABLE)
    if where is None:
        return
    try:
        if where in _connections:
            _connections[where].sendall(_READY)
        else:
            port, _, name = where.partition(":")
            _connections[where] = socket.create_connection(("127.0.0.1", int(port)))
            _connections[where].sendall(name.encode() + b"\n")
        given = _connections[where].recv(1)
    except OSError:
        given = b""
    if given != _GO:
        raise ResourceError("bench compare: the process that gives the turns has ended: compare again")


class Turns:
    """Gives turns to processes that were started with the variables of `variables`. Use it as a context manager."""

    def __init__(self, count: int) -> None:
        self._secret = secrets.token_hex(16)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL_SECONDS)
        port = self._listener.getsockname()[1]
        self.variables = [{VARIABLE: f"{port}:{index}:{self._secret}"} for index in range(count)]
        self._connected: dict[int, socket.socket] = {}

    def __enter__(self) -> Turns:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._connected.values()):
            each.close()

    def give(self, processes: Sequence[subprocess.Popen[bytes]], *, first: int) -> bool:
        """Give turns until no process wants another one.

        The first turn is given when all processes wait for one. The order is reversed after each round (ABBA).

        Args:
            processes: the processes, in the order of `variables`.
            first: index of the process that begins.

        Returns:
            Whether all processes took turns. If one ends before its first turn, the others get none.
        """
        while len(self._connected) < len(processes):
            with contextlib.suppress(TimeoutError):
                self._accept(self._listener.accept()[0])
            if any(process.poll() is not None for process in processes):
                return False
        order = [(first + index) % len(processes) for index in range(len(processes))]
        while self._connected:
            for index in order:
                if index in self._connected and not self._turn(self._connected[index]):
                    self._connected.pop(index).close()
            order.reverse()
        return True

    def _accept(self, connection: socket.socket) -> None:
        """Keep a connection of one of the processes, and close one of any other program."""
        connection.settimeout(_NAME_SECONDS)
        name = ""
        with contextlib.suppress(OSError), connection.makefile("rb") as lines:
            name = lines.readline(100).decode("ascii", "replace").strip()
        index, _, secret = name.partition(":")
        if secret == self._secret:
            connection.settimeout(None)
            self._connected[int(index)] = connection
        else:
            connection.close()

    def _turn(self, connection: socket.socket) -> bool:
        """Give one turn, and wait until it is over. Return whether the process wants another one."""
        try:
            connection.sendall(_GO)
            return connection.recv(1) == _READY
        except OSError:
            return False
