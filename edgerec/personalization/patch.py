"""The patch of one user: a few numbers that make a shared model the user's own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import FormatError
from edgerec.personalization.head import PersonalHead
from edgerec.personalization.training import within_reach

Array = NDArray[np.float32]
TOLERANCE = 1e-3
"""Float32 rounds a patch, so its change may be longer than the reach by this share."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A patch. It belongs to one user and one model version.

    Attributes:
        user_id: the user.
        version_id: the model version of its head.
        theta: (rank + 1,) float32, the weights and the bias. They say something about the user: `repr` leaves them out.
        events: number of events from which it was trained.
        time: time of the training in milliseconds since 1970.
    """

    user_id: int
    version_id: str
    theta: Array = field(repr=False)
    events: int
    time: int

    def check(self, head: PersonalHead, *, user_id: int) -> None:
        """Check that this user can use the patch with this head.

        Raises:
            FormatError: the patch is damaged, or it belongs to another user or another model version.
        """
        if self.user_id != user_id:
            raise FormatError(f"patch: it should belong to user {user_id}; received one of user {self.user_id}")
        if self.version_id != head.training.version_id:
            raise FormatError(
                f"patch: it should belong to model version {head.training.version_id}; received one of version "
                f"{self.version_id}"
            )
        if self.theta.dtype != np.float32 or self.theta.shape != head.start.shape:
            raise FormatError(
                f"patch: it should have {len(head.start)} float32 numbers; received {self.theta.dtype} of shape "
                f"{self.theta.shape}"
            )
        if not np.isfinite(self.theta).all():
            raise FormatError("patch: its numbers should be finite; received NaN or infinity")
        allowed = within_reach(head, self.theta.astype(np.float64))
        if not np.allclose(allowed, self.theta, rtol=TOLERANCE, atol=TOLERANCE):
            raise FormatError("patch: its change from the start should be within the reach of the head; it is larger")

    def logits(self, logits: Array, phi: Array) -> Array:
        """Return the personal logits (n,) float32 of candidates.

        Args:
            logits: (n,) float32, those of the shared model.
            phi: (n, rank) float32, see `PersonalHead.read`.
        """
        personal: Array = logits + phi @ self.theta[:-1] + self.theta[-1]
        return personal
