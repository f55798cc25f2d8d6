"""A peer: the equations of the paper in NumPy, with one matrix product for the three gates of a layer.

NumPy needs neither a conversion nor an engine, so this is what a prototype runs. Only the recurrence is a loop in
Python.

NumPy's matrix products use all cores by default, which makes products of this size several times slower. The number of
threads can only be set before NumPy is imported, by the variables of `ONE_THREAD`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.bench.peers.peer import Calls, Peer
from edgerec.bundle.golden import GoldenCase
from edgerec.bundle.peer_weights import FILE, Attention, Gru, Stack, Weights, read_weights
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind

Array = npt.NDArray[np.float32]

NUMPY = "numpy"
ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""Variables of the environment: with them, the matrix products of NumPy use one thread, whatever library computes
them."""
_HALF = np.float32(0.5)


class NumPy(Peer):
    """The equations of the paper in NumPy."""

    name = NUMPY
    distributions = ("numpy",)
    measures = ("step", "rerank", "sequence")

    def missing(self) -> str | None:
        if not (self.bundle / FILE).is_file():
            return f"{self.bundle} has no weights for it; `edgerec export --peers` writes them for the model crban"
        if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
            settings = " ".join(f"{name}={value}" for name, value in ONE_THREAD.items())
            return f"NumPy would use several threads; start the process with {settings}"
        return None

    @cached_property
    def _weights(self) -> Weights:
        return read_weights(self.bundle)

    def step(self, kind: BehaviourKind, case: GoldenCase) -> Calls:
        weights = self._weights
        return {NUMPY: _step(weights.actions[kind], weights.items[kind], weights.attentions[kind], *case.of(kind)[:2])}

    def sequence(self, kind: BehaviourKind, case: GoldenCase, length: int) -> Calls:
        weights = self._weights
        action, item = (array[:length] for array in case.of(kind)[:2])
        return {f"{NUMPY}_full": lambda: encode(weights, kind, action, item)}

    def rerank(self, case: GoldenCase) -> Calls:
        weights, head = self._weights, self._weights.head
        behaviours = [
            (weights.attentions[kind], *encode(weights, kind, *case.of(kind)[:2])) for kind in BEHAVIOUR_KINDS
        ]
        candidates = case.candidates

        def call() -> Array:
            encoded = _run_stack(weights.candidates, candidates)
            local = np.broadcast_to(encoded[-1], encoded.shape)
            contexts = [_context(attention, encoded, keys, fused) for attention, keys, fused in behaviours]
            hidden = np.concatenate([encoded, local, *contexts], axis=1) @ head.hidden_kernel + head.hidden_bias
            logits: Array = np.maximum(hidden, 0) @ head.output_kernel + head.output_bias
            return logits

        return {NUMPY: call}


def _step(actions: Stack, items: Stack, attention: Attention, action: Array, item: Array) -> Callable[[], Any]:
    layers, units = len(items), items[0].recurrent_kernel.shape[0]
    behaviours = itertools.cycle(list(zip(action, item, strict=True)))
    state = np.zeros((2 * layers, units), np.float32)

    def call() -> tuple[Array, Array, Array]:
        nonlocal state
        done, seen = next(behaviours)
        after = np.empty_like(state)
        for first, stack, x in ((0, actions, done), (layers, items, seen)):
            for index, layer in enumerate(stack, start=first):
                x = after[index] = _cell(layer, x @ layer.kernel + layer.bias[0], state[index])
        state = after
        return after[-1] @ attention.key_kernel, np.concatenate([after[-1], after[layers - 1]]), after

    return call


def encode(weights: Weights, kind: BehaviourKind, action: Array, item: Array) -> tuple[Array, Array]:
    """Encode behaviours (t, d_a), (t, d_x) from the start. Return keys (t, units) and fused encodings (t, 2 units)."""
    seen, done = _run_stack(weights.items[kind], item), _run_stack(weights.actions[kind], action)
    return seen @ weights.attentions[kind].key_kernel, np.concatenate([seen, done], axis=1)


def _run_stack(stack: Stack, x: Array) -> Array:
    """Run a stack of GRU layers over `x` (t, d) from the start. Return the outputs (t, units) of the top layer."""
    for layer in stack:
        projected = x @ layer.kernel + layer.bias[0]
        x = np.empty((len(x), layer.recurrent_kernel.shape[0]), np.float32)
        state = np.zeros(x.shape[1], np.float32)
        for index, row in enumerate(projected):
            state = x[index] = _cell(layer, row, state)
    return x


def _cell(layer: Gru, projected: Array, state: Array) -> Array:
    """Compute one step of one layer (eq. 3-5). `projected` (3 units,) is the input's product with the kernel."""
    units = len(state)
    inner = state @ layer.recurrent_kernel + layer.bias[1]
    # sigmoid(x) = (1 + tanh(x / 2)) / 2: NumPy vectorises tanh.
    gates = np.tanh((projected[: 2 * units] + inner[: 2 * units]) * _HALF) * _HALF + _HALF
    new = np.tanh(projected[2 * units :] + gates[units:] * inner[2 * units :])
    after: Array = new + gates[:units] * (state - new)
    return after


def _context(attention: Attention, encoded: Array, keys: Array, fused: Array) -> Array:
    """Return the context of each candidate (k, 2 units) from the keys and fused encodings of one kind (eq. 10)."""
    query = encoded @ attention.query_kernel + attention.query_bias
    scores = np.tanh(query[:, np.newaxis] + keys) @ attention.scale
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    context: Array = exponentials @ fused / exponentials.sum(axis=1, keepdims=True)
    return context
