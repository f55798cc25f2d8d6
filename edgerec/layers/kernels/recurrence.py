"""The recurrence of a GRU layer with a hand-written gradient, as two loops.

The loops compute only what depends on the previous step, in few operations. The products with the input are computed
before the forward loop, and the products for the gradients of the weights after the backward loop. Each is one large
matrix product over all steps. The gates and their derivatives are computed from the states, for all steps at once,
before the backward loop.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from edgerec.layers.kernels.form import Kernel

_ANY = tf.TensorSpec((None, None, None), tf.float32)
_MATRIX = tf.TensorSpec((None, None), tf.float32)
_VECTOR = tf.TensorSpec((None,), tf.float32)


def gru_recurrence(projected: Any, recurrent_kernel: Any, recurrent_bias: Any, *, xla: bool = False) -> Any:
    """Return the states of a layer ``GRU(reset_after=True)``. The state before the first step is zero.

    The state after step t is ``h_t = z h_(t-1) + (1 - z) tanh(x_h + r (h_(t-1) U_h + b_h))``. Here z is the update
    gate, r is the reset gate, and x_h, U_h and b_h are the last thirds of the arguments.

    Args:
        projected: (time, batch, 3 * units), inputs times kernel, plus the input bias. The thirds are for z, r and h.
        recurrent_kernel: (units, 3 * units).
        recurrent_bias: (3 * units,).
        xla: whether XLA compiles the loops, once for each shape.

    Returns:
        (time, batch, units), the state after each step.
    """
    # A custom gradient accepts tensors, but no variables.
    states = _WITH_GRADIENT[xla](*map(tf.convert_to_tensor, (projected, recurrent_kernel, recurrent_bias)))
    states.set_shape((*projected.shape[:2], recurrent_kernel.shape[0]))
    return states


@Kernel.of(_ANY, _MATRIX, _VECTOR)
def _forward(projected: Any, kernel: Any, bias: Any) -> Any:
    """Return the states (time, batch, units)."""
    time, batch, units = tf.shape(projected)[0], tf.shape(projected)[1], tf.shape(kernel)[0]

    def step(t: Any, state: Any, states: Any) -> tuple[Any, ...]:
        z, _, _, candidate = _gates(projected[t], tf.matmul(state, kernel) + bias, units)
        state = candidate + z * (state - candidate)
        return t + 1, state, states.write(t, state)

    start = (0, tf.zeros((batch, units)), tf.TensorArray(tf.float32, time))
    return tf.while_loop(lambda t, *_: t < time, step, start, maximum_iterations=time)[2].stack()


@Kernel.of(_ANY, _ANY, _ANY, _MATRIX, _VECTOR)
def _backward(upstream: Any, projected: Any, states: Any, kernel: Any, bias: Any) -> tuple[Any, Any, Any]:
    """Return the gradients of the projected inputs, of the recurrent kernel and of its bias."""
    time, batch, units = tf.shape(states)[0], tf.shape(states)[1], tf.shape(kernel)[0]
    before = tf.reshape(tf.concat([tf.zeros_like(states[:1]), states[:-1]], axis=0), (time * batch, units))
    recurrent = tf.reshape(tf.matmul(before, kernel) + bias, (time, batch, 3 * units))
    z, r, through, candidate = _gates(projected, recurrent, units)
    # These are derivatives of the state of a step, by the entries of both sums of `_gates`.
    by_candidate = (1 - z) * (1 - candidate * candidate)
    by_z = (tf.reshape(before, (time, batch, units)) - candidate) * z * (1 - z)
    by_r = by_candidate * through * r * (1 - r)
    by_recurrent = tf.concat([by_z, by_r, by_candidate * r], axis=-1)
    transposed = tf.transpose(kernel)

    def step(passed: Any, carried: Any, arriving: Any) -> tuple[Any, ...]:
        t = time - 1 - passed
        total = carried + upstream[t]
        carried = total * z[t] + tf.matmul(tf.tile(total, (1, 3)) * by_recurrent[t], transposed)
        return passed + 1, carried, arriving.write(t, total)

    start = (0, tf.zeros((batch, units)), tf.TensorArray(tf.float32, time))
    loop = tf.while_loop(lambda passed, *_: passed < time, step, start, maximum_iterations=time)
    # The gradient that arrives at the state of each step, from above and from the next step.
    arriving = loop[2].stack()
    d_recurrent = tf.tile(arriving, (1, 1, 3)) * by_recurrent
    d_projected = tf.concat([d_recurrent[:, :, : 2 * units], arriving * by_candidate], axis=-1)
    flat = tf.reshape(d_recurrent, (time * batch, 3 * units))
    return d_projected, tf.matmul(before, flat, transpose_a=True), tf.reduce_sum(flat, axis=0)


def _gates(entering: Any, recurrent: Any, units: Any) -> tuple[Any, Any, Any, Any]:
    """Return z, r, the recurrent part of the candidate state before r is applied, and the candidate state.

    Args:
        entering: (..., 3 * units), the projected inputs of one step or of all steps.
        recurrent: (..., 3 * units), the previous state times the recurrent kernel, plus its bias.
        units: the number of units.
    """
    z, r = tf.split(tf.sigmoid(entering[..., : 2 * units] + recurrent[..., : 2 * units]), 2, axis=-1)
    through = recurrent[..., 2 * units :]
    return z, r, through, tf.tanh(entering[..., 2 * units :] + r * through)


def _with_gradient(xla: bool) -> Any:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def recurrence(projected: Any, kernel: Any, bias: Any) -> tuple[Any, Any]:
        # No gradient tape should record the operations of the loop, because `gradient` below replaces them.
        states = _forward(*map(tf.stop_gradient, (projected, kernel, bias)), xla=xla)

        def gradient(upstream: Any) -> tuple[Any, Any, Any]:
            gradients: tuple[Any, Any, Any] = _backward(upstream, projected, states, kernel, bias, xla=xla)
            return gradients

        return states, gradient

    return recurrence


_WITH_GRADIENT = {xla: _with_gradient(xla) for xla in (False, True)}
