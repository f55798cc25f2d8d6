"""Additive attention with a hand-written gradient.

If XLA compiles it, no tensor of shape (batch, candidates, time, units) is ever in memory.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from edgerec.layers.kernels.form import Kernel

FAR_BELOW = -1e9
_ANY = tf.TensorSpec((None, None, None), tf.float32)
_VECTOR = tf.TensorSpec((None,), tf.float32)
_LENGTHS = tf.TensorSpec((None,), tf.int32)


def additive_attention(
    query: Any, key: Any, scale: Any, bias: Any, value: Any, length: Any, *, xla: bool = False
) -> Any:
    """Return the context of each candidate, a weighted sum of the values of the first `length` behaviours.

    The context of candidate i is ``sum_j weights_ij value_j``, where j is a behaviour and
    ``weights_ij = softmax_j(scale . tanh(query_i + key_j) + bias_ij)``.

    Args:
        query: (batch, candidates, units), the projected queries.
        key: (batch, time, units), the projected keys.
        scale: (units,).
        bias: (batch, candidates, time), or (batch, 1, 1) zeros if there is no bias.
        value: (batch, time, value_dim).
        length: (batch,) int32. If it is 0, the result is zero.
        xla: whether XLA compiles the kernel, once for each shape.

    Returns:
        (batch, candidates, value_dim).
    """
    # A custom gradient accepts tensors, but no variables.
    context = _WITH_GRADIENT[xla](*map(tf.convert_to_tensor, (query, key, scale, bias, value, length)))
    context.set_shape((*query.shape[:2], value.shape[-1]))
    return context


@Kernel.of(_ANY, _ANY, _VECTOR, _ANY, _ANY, _LENGTHS)
def _forward(query: Any, key: Any, scale: Any, bias: Any, value: Any, length: Any) -> tuple[Any, Any]:
    score = tf.reduce_sum(tf.tanh(query[:, :, None, :] + key[:, None, :, :]) * scale, axis=-1) + bias
    valid = (tf.range(tf.shape(key)[1])[None, :] < length[:, None])[:, None, :]
    weights = tf.where(valid, tf.nn.softmax(tf.where(valid, score, FAR_BELOW), axis=-1), 0.0)
    return tf.matmul(weights, value), weights


@Kernel.of(_ANY, _ANY, _ANY, _VECTOR, _ANY, _ANY)
def _backward(upstream: Any, query: Any, key: Any, scale: Any, value: Any, weights: Any) -> tuple[Any, ...]:
    d_value = tf.matmul(weights, upstream, transpose_a=True)
    d_weights = tf.matmul(upstream, value, transpose_b=True)
    d_score = weights * (d_weights - tf.reduce_sum(d_weights * weights, axis=-1, keepdims=True))
    batch, units = tf.shape(query)[0], tf.shape(query)[2]

    # The loop computes one request at a time. The pairs of one request fit into the cache of the processor, but the
    # pairs of a whole batch need hundreds of megabytes.
    def step(row: Any, d_scale: Any, d_queries: Any, d_keys: Any) -> tuple[Any, ...]:
        tanh = tf.tanh(query[row][:, None, :] + key[row][None, :, :])
        score = d_score[row]
        inner = score[:, :, None] * (1 - tanh * tanh)
        # This is a matrix product, because XLA takes many times as long for a sum.
        d_scale += tf.matmul(tf.reshape(score, (1, -1)), tf.reshape(tanh, (-1, units)))[0]
        queries, keys = tf.reduce_sum(inner, axis=1), tf.reduce_sum(inner, axis=0)
        return row + 1, d_scale, d_queries.write(row, queries), d_keys.write(row, keys)

    start = (0, tf.zeros_like(scale), tf.TensorArray(tf.float32, batch), tf.TensorArray(tf.float32, batch))
    _, d_scale, d_queries, d_keys = tf.while_loop(lambda row, *_: row < batch, step, start, maximum_iterations=batch)
    return d_queries.stack() * scale, d_keys.stack() * scale, d_scale, d_score, d_value


def _with_gradient(xla: bool) -> Any:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def attention(query: Any, key: Any, scale: Any, bias: Any, value: Any, length: Any) -> tuple[Any, Any]:
        # No gradient tape should record the operations inside, because `gradient` below replaces them.
        context, weights = _forward(*map(tf.stop_gradient, (query, key, scale, bias, value)), length, xla=xla)

        def gradient(upstream: Any) -> tuple[Any, ...]:
            d_query, d_key, d_scale, d_score, d_value = _backward(upstream, query, key, scale, value, weights, xla=xla)
            d_bias = tf.cond(tf.equal(tf.size(bias), tf.size(weights)), lambda: d_score, lambda: tf.zeros_like(bias))
            return d_query, d_key, d_scale, d_bias, d_value, None

        return context, gradient

    return attention


_WITH_GRADIENT = {xla: _with_gradient(xla) for xla in (False, True)}
