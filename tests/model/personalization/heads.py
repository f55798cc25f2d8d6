"""Heads for tests."""

from __future__ import annotations

import numpy as np

from edgerec.model.personalization.inner import Inner
from edgerec.model.personalization.problem import head_of
from edgerec.personalization.head import PersonalHead


def gradient_head_of(inner: Inner) -> PersonalHead:
    """Return a head whose training makes the steps of `inner`, and reads activations as they are."""
    width = len(inner.start) - 1
    return head_of(
        np.zeros(width),
        np.eye(width),
        version_id="v",
        method="test",
        start=inner.start,
        rates=inner.rates,
        pull=inner.pull,
        steps=inner.steps,
    )
