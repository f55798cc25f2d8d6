"""Which users get a version that only a share of them should run (docs/formats.md, "Model offers")."""

from __future__ import annotations

import hashlib

_BITS = 53
"""A float has 53 bits, so the number below 1 is exact."""


def position(version_id: str, user_id: int) -> float:
    """Return where a user stands in the rollout of a version: a number in [0, 1), from SHA-256.

    It is always the same, and independent of the user's positions in other versions.
    """
    digest = hashlib.sha256(f"{version_id}:{user_id}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - _BITS)) / float(1 << _BITS)


def in_share(share: float, version_id: str, user_id: int) -> bool:
    """Return whether a share of the users, from 0 to 1, contains this user. A larger share contains the same users."""
    return position(version_id, user_id) < share
