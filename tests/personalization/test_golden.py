"""Heads that are already in bundles: their bytes have to give the same patches with later code.

If this fails, the format of a head or its training has changed. Then `Training.format` needs a new number, or devices
with an older head need the old training. The files were written once by `PersonalHead.to_bytes`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgerec.personalization.events import Events
from edgerec.personalization.head import PersonalHead
from edgerec.personalization.training import train

FOLDER = Path(__file__).with_name("stored_heads")
THETA = {
    "newton": [0.042042803, 0.0073236567, -0.012066259, -0.035765242, -0.28850114],
    "gradient": [-0.016656118, -0.00083586469, -0.01123008, -0.02184427, -0.22294855],
}
"""Newton steps, and gradient steps with a rate of the user."""


def events() -> Events:
    """Return 40 events of eight requests, without random numbers, which another NumPy may draw differently."""
    places = np.arange(40)
    phi = np.sin(np.outer(places + 1, [1.0, 1.7, 2.3, 3.1])).astype(np.float32)
    logits = (np.cos(places * 0.9) - 1).astype(np.float32)
    return Events(phi, logits, (places % 5 == 2).astype(np.float32), places // 5)


@pytest.mark.parametrize("name", list(THETA))
def test_a_stored_head_trains_the_same_patch(name: str) -> None:
    head = PersonalHead.from_bytes((FOLDER / f"{name}.npz").read_bytes())
    assert (head.user_rate is not None) == (name == "gradient")
    assert abs(head.start - THETA[name]).max() > 0.05
    np.testing.assert_allclose(train(head, events()), THETA[name], rtol=0, atol=1e-6)
