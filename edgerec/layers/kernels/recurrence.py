"""The recurrence of a GRU layer with a hand-written gradient, as two loops.

The loops compute only what depends on the previous step. The products with the input are computed before the forward
loop, and the products for the gradients of the weights after the backward loop. Each is one large matrix product over
all steps. The forward loop stores the gates of each step, so the backward loop does not compute them again.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from edgerec.layers.kernels.form import Kernel

_ANY = tf.TensorSpec((None, None, None), tf.float32)
_MATRIX = tf.TensorSpec((None, None), tf.float32)


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


@Kernel.of(_ANY, _MATRIX, tf.TensorSpec((None,), tf.float32))
def _forward(projected: Any, kernel: Any, bias: Any) -> tuple[Any, Any]:
    """Return the states (time, batch, units), and what the backward loop needs (time, batch, 4 * units).

    For each step, the second array has z, r, the candidate state and ``h U_h + b_h``.
    """
    time, batch, units = tf.shape(projected)[0], tf.shape(projected)[1], tf.shape(kernel)[0]

    def step(t: Any, state: Any, states: Any, gates: Any) -> tuple[Any, ...]:
        recurrent, entering = tf.matmul(state, kernel) + bias, projected[t]
        z = tf.sigmoid(entering[:, :units] + recurrent[:, :units])
        r = tf.sigmoid(entering[:, units : 2 * units] + recurrent[:, units : 2 * units])
        through = recurrent[:, 2 * units :]
        candidate = tf.tanh(entering[:, 2 * units :] + r * through)
        state = z * state + (1 - z) * candidate
        return t + 1, state, states.write(t, state), gates.write(t, tf.concat([z, r, candidate, through], axis=1))

    start = (0, tf.zeros((batch, units)), _steps(time), _steps(time))
    _, _, states, gates = tf.while_loop(lambda t, *_: t < time, step, start, maximum_iterations=time)
    return states.stack(), gates.stack()


@Kernel.of(_ANY, _ANY, _ANY, _MATRIX)
def _backward(upstream: Any, states: Any, gates: Any, kernel: Any) -> tuple[Any, Any, Any]:
    """Return the gradients of the projected inputs, of the recurrent kernel and of its bias."""
    time, batch, units = tf.shape(states)[0], tf.shape(states)[1], tf.shape(kernel)[0]
    before = tf.concat([tf.zeros_like(states[:1]), states[:-1]], axis=0)
    transposed = tf.transpose(kernel)

    def step(passed: Any, carried: Any, gradients: Any) -> tuple[Any, ...]:
        t = time - 1 - passed
        arriving, kept = carried + upstream[t], gates[t]
        z, r = kept[:, :units], kept[:, units : 2 * units]
        candidate, through = kept[:, 2 * units : 3 * units], kept[:, 3 * units :]
        d_candidate = arriving * (1 - z) * (1 - candidate * candidate)
        d_z = arriving * (before[t] - candidate) * z * (1 - z)
        d_r = d_candidate * through * r * (1 - r)
        d_recurrent = tf.concat([d_z, d_r, d_candidate * r], axis=1)
        carried = arriving * z + tf.matmul(d_recurrent, transposed)
        # These are the gradients of the three thirds of `projected`, and then the gradient of ``h U_h + b_h``.
        return passed + 1, carried, gradients.write(t, tf.concat([d_z, d_r, d_candidate, d_candidate * r], axis=1))

    start = (0, tf.zeros((batch, units)), _steps(time))
    _, _, gradients = tf.while_loop(lambda passed, *_: passed < time, step, start, maximum_iterations=time)
    flat = tf.reshape(gradients.stack(), (time * batch, 4 * units))
    d_recurrent = tf.concat([flat[:, : 2 * units], flat[:, 3 * units :]], axis=1)
    d_kernel = tf.matmul(tf.reshape(before, (time * batch, units)), d_recurrent, transpose_a=True)
    d_projected = tf.reshape(flat[:, : 3 * units], (time, batch, 3 * units))
    return d_projected, d_kernel, tf.reduce_sum(d_recurrent, axis=0)


def _steps(time: Any) -> tf.TensorArray:
    return tf.TensorArray(tf.float32, time)


def _with_gradient(xla: bool) -> Any:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def recurrence(projected: Any, kernel: Any, bias: Any) -> tuple[Any, Any]:
        # No gradient tape should record the operations of the loop, because `gradient` below replaces them.
        states, gates = _forward(*map(tf.stop_gradient, (projected, kernel, bias)), xla=xla)

        def gradient(upstream: Any) -> tuple[Any, Any, Any]:
            gradients: tuple[Any, Any, Any] = _backward(upstream, states, gates, kernel, xla=xla)
            return gradients

        return states, gradient

    return recurrence


_WITH_GRADIENT = {xla: _with_gradient(xla) for xla in (False, True)}
