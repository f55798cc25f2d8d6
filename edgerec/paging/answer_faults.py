"""What an HTTP answer with another status than 200 means for the device."""

from __future__ import annotations

import json
import time
from email.message import Message
from email.utils import parsedate_to_datetime

from edgerec.core.errors import AnswerError, BusyError, RefusedError, TransportError, UnservedVersionError
from edgerec.core.text import printable

JSON = "application/json"
_REFUSED = (400, 413, 422)
"""The statuses that say that the content of a request is wrong."""
_BUSY = (429, 503)
"""The statuses that ask to wait. They may have the header `Retry-After`."""


def fault_of(path: str, status: int, headers: Message, answer: bytes) -> TransportError:
    """Return the error for an answer.

    Only an answer of the cloud itself, an object with the field `error`, refuses content. A proxy or a portal that
    answers with its own page knows nothing of log rows, so these are kept.

    Args:
        path: the path of the request.
        status: the status, which is not 200.
        headers: the headers of the answer.
        answer: its body.
    """
    reason = _error(answer)
    short = printable(answer[:200].decode(errors="replace") if reason is None else reason)[:300]
    text = f"cloud: {path} answered with the status {status}: {short or 'no text'}"
    if status in _BUSY:
        return BusyError(text, retry_after_s(headers.get("Retry-After")), limited=status == 429)
    if status in _REFUSED and reason is not None and headers.get_content_type() == JSON:
        return RefusedError(text)
    if status == 404 and _versions(answer):
        return UnservedVersionError(text)
    return AnswerError(text)


def retry_after_s(value: str | None) -> float | None:
    """Return the seconds of a header `Retry-After`: a number of seconds or a date. None if it has another form."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError, OverflowError):
        return None


def _error(answer: bytes) -> str | None:
    """Return the text of the field `error`, or None if there is none."""
    try:
        return str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _versions(answer: bytes) -> bool:
    """Return whether an answer names the served versions, as only that to an unserved version does."""
    try:
        return isinstance(json.loads(answer)["versions"], list)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
