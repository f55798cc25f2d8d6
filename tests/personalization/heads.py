"""Heads and events of invented users for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgerec.personalization.events import Events
from edgerec.personalization.head import PersonalHead, Training


def a_head(rank: int = 4, *, inputs: int = 6, seed: int = 0, **training: Any) -> PersonalHead:
    """Return a head with random numbers."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return PersonalHead(
        Training(**{"version_id": "v1", "method": "maml", **training}),
        mean=draw(inputs),
        kernel=draw(inputs, rank),
        start=0.1 * draw(rank + 1),
        rates=rng.uniform(0.05, 0.3, rank + 1).astype(np.float32),
        pull=rng.uniform(0.5, 4.0, rank + 1).astype(np.float32),
    )


def some_events(head: PersonalHead, count: int = 60, *, seed: int = 1) -> Events:
    """Return events of a user whose taste differs from the shared model. A request has five events."""
    rng = np.random.default_rng(seed)
    phi = head.read(rng.normal(size=(count, head.inputs)).astype(np.float32))
    logits = rng.normal(-1, 1, count).astype(np.float32)
    taste = rng.normal(size=head.rank)
    clicked = rng.random(count) < 1 / (1 + np.exp(-(logits + phi @ taste)))
    return Events(phi, logits, clicked.astype(np.float32), np.arange(count) // 5)
