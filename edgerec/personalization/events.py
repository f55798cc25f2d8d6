"""The labelled events of one user, from which a patch is trained: candidates that were seen, and whether clicked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import NotFiniteError, ShapeError

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Events:
    """The events of one user, oldest request first.

    Attributes:
        phi: (n, rank) float32, what a patch reads of each candidate (`PersonalHead.read`).
        logits: (n,) float32, the logits of the shared model.
        labels: (n,) float32, 1 if the candidate was clicked, else 0.
        requests: (n,) int64, the request of each event. The events of a request stand together.

    Raises:
        ShapeError: the arrays have other shapes.
        NotFiniteError: a number is NaN or infinite, or a label is neither 0 nor 1.
    """

    phi: Array
    logits: Array
    labels: Array
    requests: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.logits) if self.logits.ndim == 1 else -1
        if self.phi.ndim != 2 or any(len(part) != count for part in (self.phi, self.labels, self.requests)):
            raise ShapeError(
                "events: phi (n, rank), logits, labels and requests (n,) should have the same n; received shapes "
                f"{self.phi.shape}, {self.logits.shape}, {self.labels.shape} and {self.requests.shape}"
            )
        for name in ("phi", "logits"):
            if not np.isfinite(getattr(self, name)).all():
                raise NotFiniteError(f"events: {name} should be finite; received NaN or infinity")
        wrong = (self.labels != 0) & (self.labels != 1)
        if wrong.any():
            raise NotFiniteError(f"events: labels should be 0 or 1; received {self.labels[wrong][0]}")

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def request_count(self) -> int:
        """Number of requests."""
        return 0 if not len(self) else 1 + int((self.requests[1:] != self.requests[:-1]).sum())

    def take(self, rows: slice) -> Events:
        """Return the events at `rows`."""
        return Events(self.phi[rows], self.logits[rows], self.labels[rows], self.requests[rows])

    def split(self, newest: float) -> tuple[Events, Events]:
        """Return the older events, and the newest ones: about the share `newest` of the requests, all of each request.

        With fewer than two requests, there are no newest events.
        """
        starts = np.flatnonzero(np.append(True, self.requests[1:] != self.requests[:-1])) if len(self) else np.arange(0)
        count = min(round(newest * len(starts)), len(starts) - 1)
        if newest > 0 and len(starts) > 1:
            count = max(count, 1)
        border = len(self) if count < 1 else int(starts[len(starts) - count])
        return self.take(slice(0, border)), self.take(slice(border, None))
