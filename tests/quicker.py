"""Make slow parts of EdgeRec quicker, for tests of other parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest


def shorten_proof(patch: pytest.MonkeyPatch) -> None:
    """Let `export_bundle` check one set of random requests instead of six, and a long case of 12 steps, not 1,000."""
    patch.setattr("edgerec.export.parity_check.SEEDS", (1,))
    patch.setattr("edgerec.export.parity_check.STANDARD_DEVIATIONS", (1.0,))
    patch.setattr("edgerec.export.parity_check.LONG", 12)


@contextlib.contextmanager
def quick_gru() -> Iterator[None]:
    """Replace the GRU layers of Keras by `_gru`, which takes a tenth of their time without tracing.

    Parity tests and the export of the shared bundle use the GRU of Keras.
    """
    import keras

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.layers.GRU, "call", _gru)
        yield


@contextlib.contextmanager
def run_eagerly() -> Iterator[None]:
    """Run TensorFlow functions eagerly, with the quick GRU, and do not trace them into graphs."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        with quick_gru():
            yield
    finally:
        tf.config.run_functions_eagerly(False)


def _gru(layer: Any, sequence: Any, **_: Any) -> Any:
    """Compute a Keras GRU layer with `reset_after=True` in few operations. Return its outputs (batch, time, units)."""
    import tensorflow as tf

    kernel, recurrent, biases = (weight.value for weight in layer.cell.weights[:3])
    input_bias, recurrent_bias = tf.unstack(biases)
    state = tf.zeros((tf.shape(sequence)[0], layer.units))
    states = []
    gates = 2 * layer.units
    for row in tf.unstack(tf.matmul(sequence, kernel) + input_bias, axis=1):
        past = tf.matmul(state, recurrent) + recurrent_bias
        update, reset = tf.split(tf.sigmoid(row[:, :gates] + past[:, :gates]), 2, axis=-1)
        state = update * state + (1 - update) * tf.tanh(row[:, gates:] + reset * past[:, gates:])
        states.append(state)
    return tf.stack(states, axis=1)
