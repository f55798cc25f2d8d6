"""A peer: Keras layers with the trained weights, compiled by TensorFlow and XLA.

This is Keras at its best on a CPU: a function with fixed shapes for each model, compiled by XLA (docs/bench.md,
"Peers"). It is called as a concrete function with tensors that are ready, and states stay tensors. Only the results
become NumPy arrays, which copies nothing.

TensorFlow starts its threads with its first operation. So a process that has already used TensorFlow with several
threads cannot measure this peer.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.bench.peers.numpy import encode
from edgerec.bench.peers.peer import Calls, Peer
from edgerec.bundle.golden import GoldenCase
from edgerec.bundle.peer_weights import FILE, Gru, Stack, Weights, read_weights
from edgerec.core.errors import EdgeRecError
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind

Array = npt.NDArray[np.float32]
Shapes = Mapping[str, tuple[int, ...]]

KERAS = "keras"


class Keras(Peer):
    """Keras layers, compiled by TensorFlow and XLA."""

    name = KERAS
    distributions = ("tensorflow", "keras")
    measures = ("step", "rerank", "sequence")

    def missing(self) -> str | None:
        if not (self.bundle / FILE).is_file():
            return f"{self.bundle} has no weights for it; `edgerec export --peers` writes them for the model crban"
        absent = [name for name in self.distributions if importlib.util.find_spec(name) is None]
        return f"{absent[0]} is not installed; pip install {' '.join(absent)}" if absent else None

    @cached_property
    def _weights(self) -> Weights:
        return read_weights(self.bundle)

    @cached_property
    def _tf(self) -> Any:
        return _tensorflow()

    def step(self, kind: BehaviourKind, case: GoldenCase) -> Calls:
        weights, tf = self._weights, self._tf
        stacks = [_cells(stack) for stack in (weights.actions[kind], weights.items[kind])]
        key_kernel = weights.attentions[kind].key_kernel
        layers, units = len(weights.candidates), weights.candidates[0].recurrent_kernel.shape[0]

        def step(action: Any, item: Any, state: Any) -> Any:
            before, after, tops = iter(tf.unstack(state)), [], []
            for cells, x in zip(stacks, (action, item), strict=True):
                for cell in cells:
                    x, _ = cell(x, [next(before)])
                    after.append(x)
                tops.append(x)
            return tops[1] @ key_kernel, tf.concat(tops[::-1], axis=-1), tf.stack(after)

        action, item = case.of(kind)[:2]
        shapes = {"action": (1, action.shape[1]), "item": (1, item.shape[1]), "state": (2 * layers, 1, units)}
        run = _compiled(tf, step, shapes)
        pairs = zip(action[:, None], item[:, None], strict=True)
        behaviours = itertools.cycle([tuple(map(tf.constant, pair)) for pair in pairs])
        state = tf.zeros(shapes["state"])

        def call() -> tuple[Array, Array, Array]:
            nonlocal state
            key, fused, state = run(*next(behaviours), state)
            return key.numpy(), fused.numpy(), state.numpy()

        return {KERAS: call}

    def sequence(self, kind: BehaviourKind, case: GoldenCase, length: int) -> Calls:
        weights, tf = self._weights, self._tf
        actions, items = (_layers(stack) for stack in (weights.actions[kind], weights.items[kind]))
        key_kernel = weights.attentions[kind].key_kernel

        def run_all(action: Any, item: Any) -> Any:
            seen, done = _through(items, item), _through(actions, action)
            return seen @ key_kernel, tf.concat([seen, done], axis=-1)

        arrays = {name: array[None, :length] for name, array in zip(("action", "item"), case.of(kind)[:2], strict=True)}
        run = _compiled(tf, run_all, {name: array.shape for name, array in arrays.items()})
        tensors = [tf.constant(array) for array in arrays.values()]

        def call() -> tuple[Array, Array]:
            keys, fused = run(*tensors)
            return keys.numpy()[0], fused.numpy()[0]

        return {f"{KERAS}_full": call}

    def rerank(self, case: GoldenCase) -> Calls:
        weights, tf = self._weights, self._tf
        stack, head = _layers(weights.candidates), weights.head
        arrays = {"candidates": case.candidates[None]}
        for kind in BEHAVIOUR_KINDS:
            keys, fused = encode(weights, kind, *case.of(kind)[:2])
            arrays |= {f"{kind.name}_keys": keys, f"{kind.name}_fused": fused}

        def rank(candidates: Any, *behaviours: Any) -> Any:
            encoded = _through(stack, candidates)[0]
            parts = [encoded, tf.broadcast_to(encoded[-1:], tf.shape(encoded))]
            pairs = zip(behaviours[::2], behaviours[1::2], strict=True)
            for attention, (keys, fused) in zip(weights.attentions.values(), pairs, strict=True):
                query = encoded @ attention.query_kernel + attention.query_bias
                scores = tf.reduce_sum(tf.tanh(query[:, None] + keys) * attention.scale, axis=-1)
                parts.append(tf.nn.softmax(scores) @ fused)
            hidden = tf.nn.relu(tf.concat(parts, axis=-1) @ head.hidden_kernel + head.hidden_bias)
            return hidden @ head.output_kernel + head.output_bias

        run = _compiled(tf, rank, {name: array.shape for name, array in arrays.items()})
        tensors = [tf.constant(array) for array in arrays.values()]
        return {KERAS: lambda: run(*tensors).numpy()}


def _tensorflow() -> Any:
    """Import TensorFlow for one thread on the CPU.

    Raises:
        EdgeRecError: TensorFlow is in use in this process with other settings, or Keras uses another backend.
    """
    # TensorFlow reads this when it is imported. Its errors are exceptions, so its log tells users nothing.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise EdgeRecError(f"Keras uses the backend {keras.backend.backend()}: set KERAS_BACKEND to tensorflow")
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        raise EdgeRecError("TensorFlow already runs with several threads in this process: use a new process") from None
    return tf


def _compiled(tf: Any, function: Callable[..., Any], shapes: Shapes) -> Callable[..., Any]:
    signature = [tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()]
    compiled: Callable[..., Any] = tf.function(
        function, input_signature=signature, jit_compile=True, autograph=False
    ).get_concrete_function()
    return compiled


def _cells(stack: Stack) -> list[Callable[..., Any]]:
    """Return a function `(x, [state]) -> (output, states)` for each layer of a stack."""
    import keras

    return [_constant(keras.layers.GRUCell(_units(layer)), layer, (1,)) for layer in stack]


def _layers(stack: Stack) -> list[Callable[..., Any]]:
    """Return a function from a sequence to the states after each step for each layer of a stack."""
    import keras

    return [_constant(keras.layers.GRU(_units(layer), return_sequences=True), layer, (1, None)) for layer in stack]


def _units(layer: Gru) -> int:
    return int(layer.recurrent_kernel.shape[0])


def _constant(layer: Any, weights: Gru, shape: tuple[int | None, ...]) -> Callable[..., Any]:
    """Return the call of a Keras layer with constant weights. Variables would be read in every call."""
    import tensorflow as tf

    layer.build((*shape, weights.kernel.shape[0]))
    seeds = [np.zeros(seed.shape, seed.dtype) for seed in layer.non_trainable_variables]  # of the unused dropout

    def call(*inputs: Any) -> Any:
        outputs, _ = layer.stateless_call([tf.constant(array) for array in weights], seeds, *inputs)
        return outputs

    return call


def _through(layers: list[Callable[..., Any]], x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x
