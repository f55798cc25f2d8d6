"""What makes a test quicker that is not about the thing that it makes shorter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest


def shorten_proof(patch: pytest.MonkeyPatch) -> None:
    """Let `export_bundle` draw random requests once, not six times, and take 50 steps in its long case, not 1,000."""
    patch.setattr("edgerec.export.bundle.SEEDS", (1,))
    patch.setattr("edgerec.export.bundle.SPREADS", (1.0,))
    patch.setattr("edgerec.export.bundle.LONG", 50)


@contextlib.contextmanager
def run_eagerly() -> Iterator[None]:
    """Run the functions of TensorFlow as they are written, and do not trace them into graphs."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
