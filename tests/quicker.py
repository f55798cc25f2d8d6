"""Make slow parts of EdgeRec quicker, for tests of other parts."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import pytest


def some_of(names: Iterable[Any], *, fast: Collection[Any]) -> list[Any]:
    """Return the names as values of a test's parameter. All names except those in `fast` are marked slow."""
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]


def shorten_parity_check(patch: pytest.MonkeyPatch) -> None:
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

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        with quick_gru():
            yield
    finally:
        tf.config.run_functions_eagerly(before)


def _gru(layer: Any, sequence: Any, **_: Any) -> Any:
    """Compute a Keras GRU layer with `reset_after=True` in few operations. Return its outputs (batch, time, units)."""
    import tensorflow as tf

    kernel, recurrent, biases = (tf.convert_to_tensor(weight) for weight in layer.cell.weights[:3])
    input_bias, recurrent_bias = tf.unstack(biases)
    gates, new = tf.split(tf.matmul(sequence, kernel) + input_bias, [2 * layer.units, layer.units], axis=2)
    state = tf.zeros((tf.shape(sequence)[0], layer.units))
    states = []
    # Raw operations skip most of the Python code of TensorFlow's functions.
    raw, axis, sizes = tf.raw_ops, tf.constant(1), tf.constant([2 * layer.units, layer.units])
    for gate_row, new_row in zip(tf.unstack(gates, axis=1), tf.unstack(new, axis=1), strict=True):
        past = raw.AddV2(x=raw.MatMul(a=state, b=recurrent), y=recurrent_bias)
        past_gates, past_new = raw.SplitV(value=past, size_splits=sizes, axis=axis, num_split=2)
        gate = raw.Sigmoid(x=raw.AddV2(x=gate_row, y=past_gates))
        update, reset = raw.Split(axis=axis, value=gate, num_split=2)
        candidate = raw.Tanh(x=raw.AddV2(x=new_row, y=raw.Mul(x=reset, y=past_new)))
        state = raw.AddV2(x=candidate, y=raw.Mul(x=update, y=raw.Sub(x=state, y=candidate)))
        states.append(state)
    return tf.stack(states, axis=1)
