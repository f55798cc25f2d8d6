"""The ranker and the encoders of whole sequences as LiteRT models, from the trained weights.

LiteRT has no GRU operation, so a GRU layer is a loop over the steps. Each turn of the loop runs five steps, and the end
of the sequence is padded. For 100 steps, that takes half of the time of one step at a time. A loop that is unrolled
completely is no faster, takes ten times as long to convert, and fits only one length.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from edgerec.bundle.peer_weights import Attention, Gru, Stack, Weights
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind, Limits

TOGETHER = 5
"""Number of steps in one turn of the loop."""

Shapes = Mapping[str, tuple[int | None, ...]]


def litert_ranker(weights: Weights, limits: Limits) -> bytes:
    """Return a LiteRT model of the ranker (eq. 9-11) for lists of full length.

    Its inputs are `candidates` (k, d_c), and `exposure_keys` (m, units), `exposure_fused` (m, 2 units) and the same of
    the page-views. Its outputs are the logits (k, 1).
    """
    units, head, candidates = _units(weights.candidates[0]), weights.head, limits.candidates

    def rank(rows: Any, *behaviours: Any) -> Any:
        encoded = _through(weights.candidates, rows)
        parts = [encoded, tf.tile(encoded[-1:], (candidates, 1))]
        pairs = zip(behaviours[::2], behaviours[1::2], strict=True)
        for kind, (keys, fused) in zip(BEHAVIOUR_KINDS, pairs, strict=True):
            scores = _scores(weights.attentions[kind], encoded, keys, (candidates, limits.of(kind)))
            parts.append(tf.nn.softmax(scores) @ fused)
        hidden = tf.nn.relu(tf.concat(parts, axis=-1) @ head.hidden_kernel + head.hidden_bias)
        return hidden @ head.output_kernel + head.output_bias

    shapes: dict[str, tuple[int | None, ...]] = {"candidates": (candidates, weights.candidates[0].kernel.shape[0])}
    for kind in BEHAVIOUR_KINDS:
        shapes[f"{kind.name}_keys"] = (limits.of(kind), units)
        shapes[f"{kind.name}_fused"] = (limits.of(kind), 2 * units)
    return to_litert(rank, shapes)


def litert_sequence(weights: Weights, kind: BehaviourKind) -> bytes:
    """Return a LiteRT model that encodes behaviours of one kind from the start (eq. 3-8).

    Its inputs are `action` (length, d_a) and `item` (length, d_x). Its outputs are the keys (length, units) and the
    fused encodings (length, 2 units). The length is not fixed.
    """
    actions, items, key_kernel = weights.actions[kind], weights.items[kind], weights.attentions[kind].key_kernel

    def encode(action: Any, item: Any) -> Any:
        seen, done = _through(items, item), _through(actions, action)
        return seen @ key_kernel, tf.concat([seen, done], axis=-1)

    return to_litert(encode, {"action": (None, actions[0].kernel.shape[0]), "item": (None, items[0].kernel.shape[0])})


def to_litert(function: Callable[..., Any], shapes: Shapes) -> bytes:
    """Convert a TensorFlow function to a LiteRT model. `shapes` has the name and the shape of each input."""
    signature = [tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()]
    concrete = tf.function(function, input_signature=signature, autograph=False).get_concrete_function()
    # The converter gets the function without its layers. It then turns the weights into constants, and warns that this
    # use is deprecated. If it got the layers, it would leave the weights out.
    logger, level = logging.getLogger("absl"), logging.getLogger("absl").level
    logger.setLevel(logging.ERROR)
    try:
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())
    finally:
        logger.setLevel(level)


def _through(stack: Stack, x: Any) -> Any:
    """Run a stack of GRU layers over `x` (t, d). Return the outputs of the top layer (t, units)."""
    length = tf.shape(x)[0]
    x = tf.pad(x, [[0, -length % TOGETHER], [0, 0]])
    for layer in stack:
        x = _gru(layer, x)
    return x[:length]


def _gru(layer: Gru, x: Any) -> Any:
    units, count = _units(layer), tf.shape(x)[0] // TOGETHER
    projected = tf.reshape(x @ layer.kernel + layer.bias[0], (count, TOGETHER, 3 * units))

    def body(index: Any, state: Any, outputs: Any) -> Any:
        rows, states = tf.gather(projected, index), []
        for step in range(TOGETHER):
            state = _cell(layer, rows[step : step + 1], state)
            states.append(state)
        return index + 1, state, outputs.write(index, tf.concat(states, axis=0))

    outputs = tf.TensorArray(tf.float32, count, element_shape=(TOGETHER, units))
    start = (0, tf.zeros((1, units)), outputs)
    _, _, outputs = tf.while_loop(lambda index, *_: index < count, body, start)
    return tf.reshape(outputs.stack(), (count * TOGETHER, units))


def _cell(layer: Gru, projected: Any, state: Any) -> Any:
    """Compute one step of one layer. `projected` (1, 3 units) is the input's product with the kernel."""
    units, inner = _units(layer), state @ layer.recurrent_kernel + layer.bias[1]
    gates = tf.sigmoid(projected[:, : 2 * units] + inner[:, : 2 * units])
    update, reset = gates[:, :units], gates[:, units:]
    new = tf.tanh(projected[:, 2 * units :] + reset * inner[:, 2 * units :])
    return update * state + (1 - update) * new


def _scores(attention: Attention, encoded: Any, keys: Any, shape: tuple[int, int]) -> Any:
    """Return the attention scores (k, t). A matrix product sums over the units faster than a sum."""
    query = encoded @ attention.query_kernel + attention.query_bias
    tanh = tf.reshape(tf.tanh(query[:, None] + keys), (-1, len(attention.scale)))
    return tf.reshape(tanh @ attention.scale[:, None], shape)


def _units(layer: Gru) -> int:
    return int(layer.recurrent_kernel.shape[0])
