"""Ask a running server which versions it serves."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgerec.core.errors import InputError, TransportError, first_line
from edgerec.core.text import printable


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, because another server would get the token."""

    def redirect_request(self, *_: Any) -> None:
        """Return None: the answer with the redirect is an error."""


_OPENER = urllib.request.build_opener(_NoRedirects)
_TIMEOUT_S = 10.0
_MOST = 4 * 1024 * 1024


@dataclass(frozen=True)
class ServedState:
    """The versions that a server serves, and why it refuses others, by ID."""

    served: tuple[str, ...]
    refused: Mapping[str, str]


def served_state(url: str, *, token: str | None = None) -> ServedState:
    """Return what the server at `url` serves.

    Args:
        url: the address of the server, such as ``http://127.0.0.1:8008``.
        token: the server's token; None: it asks for none.

    Raises:
        InputError: `url` is not an address of HTTP.
        TransportError: the server does not answer, or it is not an EdgeRec server.
    """
    address = f"{url.rstrip('/')}/v1/versions"
    if not address.startswith(("http://", "https://")):
        raise InputError(f"versions: the server should be http://host[:port] or https://host[:port]; received {url!r}")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with _OPENER.open(urllib.request.Request(address, headers=headers), timeout=_TIMEOUT_S) as answer:
            document: Any = json.loads(answer.read(_MOST))
        rows = [row["version_id"] for row in document["versions"]]
        return ServedState(tuple(map(str, rows)), {row["version_id"]: row["error"] for row in document["refused"]})
    except urllib.error.HTTPError as error:
        error.close()
        advice = "give --token-file" if error.code in (401, 403) else "check the address"
        raise TransportError(f"versions: {address} answered with the status {error.code}: {advice}") from None
    except (KeyError, TypeError, RecursionError):
        raise TransportError(f"versions: the answer of {address} is not one of EdgeRec: check the address") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = printable(first_line(getattr(error, "reason", None) or error))
        raise TransportError(f"versions: {address} does not answer ({reason}): check the address") from None
