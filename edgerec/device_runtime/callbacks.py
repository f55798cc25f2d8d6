"""Functions of the application that a thread of the client calls."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")


def logged(call: Callable[[_T], None], name: str) -> Callable[[_T], None]:
    """Return a function that calls `call`, and only logs what it raises. `name` is its name in the log."""

    def guarded(value: _T) -> None:
        try:
            call(value)
        except Exception:  # The client goes on, whatever the application does.
            _LOG.exception("%s failed", name)

    return guarded
