"""The socket at which a server listens."""

from __future__ import annotations

import socket

from edgerec.core.errors import OutputError


def listen(
    host: str, port: int, *, advice: str = "choose another --host or --port, or --port 0 for a free one"
) -> socket.socket:
    """Return a socket that is bound to the address.

    Args:
        host: the address.
        port: the port; 0 takes a free one.
        advice: what the error says to do.

    Raises:
        OutputError: the address cannot be used.
    """
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError, UnicodeError) as error:
        if listener is not None:
            listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot listen at {host}:{port} ({reason}): {advice}") from None
    return listener
