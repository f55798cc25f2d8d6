"""What the updater did, for the application and for the log."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from edgerec.device_runtime.callbacks import logged

_LOG = logging.getLogger("edgerec.model_update")
_KEPT = 100
OFFERED, WAITING, INSTALLED, PREPARING = "offered", "waiting", "installed", "preparing"
SWITCHED, ROLLED_BACK, REFUSED, FAILED, REMOVED = "switched", "rolled_back", "refused", "failed", "removed"


@dataclass(frozen=True)
class UpdateEvent:
    """Something that the updater did.

    Attributes:
        time: milliseconds since 1970.
        what: `offered`: the cloud offers another version. `waiting`: a download is not allowed now. `installed`: a
            version is downloaded, complete and checked. `preparing`: the client encodes the history for it. `switched`:
            the client uses it. `rolled_back`: the client stays with the version before, and tries again later.
            `refused`: the version cannot be used. `failed`: something is tried again later. `removed`: the files of a
            version were removed.
        version_id: the version; None if it is not known.
        detail: a reason, or an empty text.
    """

    time: int
    what: str
    version_id: str | None
    detail: str = ""


class Events:
    """The latest events, and how many there were of each kind.

    Args:
        on_event: is called with each event; None for nobody.
    """

    def __init__(self, on_event: Callable[[UpdateEvent], None] | None) -> None:
        self._on_event = None if on_event is None else logged(on_event, "`on_event`")
        self.latest: deque[UpdateEvent] = deque(maxlen=_KEPT)
        self.counts: Counter[str] = Counter()

    def add(self, event: UpdateEvent) -> None:
        """Note an event, log it, and tell the application. What the application raises is only logged."""
        self.latest.append(event)
        self.counts[event.what] += 1
        level = logging.WARNING if event.what in (FAILED, REFUSED, ROLLED_BACK) else logging.INFO
        _LOG.log(level, "model version %s: %s%s", event.version_id, event.what, event.detail and f" ({event.detail})")
        if self._on_event is not None:
            self._on_event(event)
