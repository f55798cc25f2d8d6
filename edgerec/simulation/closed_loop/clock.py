"""The time of one user and of the user's device."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """The time of one user and of the user's device, in milliseconds since 1970."""

    now: int = 0

    def __call__(self) -> int:
        return self.now
