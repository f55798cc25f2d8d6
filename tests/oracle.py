"""The equations of the paper in float64 NumPy, and random weights. Tests compare all implementations with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE, PAGE_VIEW, BehaviourKind
from edgerec.graphs.attention import AttentionWeights
from edgerec.graphs.gru import GruStackWeights, GruWeights
from edgerec.graphs.hubsm_step import HubsmWeights
from edgerec.rankers.crban_graph import CrbanWeights, HeadWeights

Array = npt.NDArray[np.float64]


def sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def gru_step(weights: GruWeights, x: Array, h: Array) -> Array:
    units = weights.units
    from_input = x @ weights.kernel.astype(np.float64) + weights.bias[0]
    from_state = h @ weights.recurrent_kernel.astype(np.float64) + weights.bias[1]
    z = sigmoid(from_input[:units] + from_state[:units])
    r = sigmoid(from_input[units : 2 * units] + from_state[units : 2 * units])
    return z * h + (1.0 - z) * np.tanh(from_input[2 * units :] + r * from_state[2 * units :])


def gru_stack(stack: GruStackWeights, xs: Array) -> Array:
    """Return all outputs of the top layer `(time, units)`. Layers are computed one after the other."""
    for layer in stack:
        h = np.zeros(layer.units)
        outputs = []
        for x in xs:
            h = gru_step(layer, x, h)
            outputs.append(h)
        xs = np.array(outputs).reshape(len(outputs), layer.units)
    return xs


@dataclass(frozen=True)
class Encoded:
    """The encodings of all behaviours of one kind: item encodings p, and fused encodings b (eq. 3-8)."""

    p: Array
    b: Array


def encode(weights: HubsmWeights, actions: Array, items: Array) -> Encoded:
    p = gru_stack(weights.item, items)
    return Encoded(p, np.concatenate([p, gru_stack(weights.action, actions)], axis=1))


def attend(weights: AttentionWeights, candidates: Array, encoded: Encoded) -> Array:
    """Return the contexts `(k, 2 * units)` of eq. 10."""
    if not len(encoded.p):
        return np.zeros((len(candidates), encoded.b.shape[1]))
    query = candidates @ weights.query_kernel.astype(np.float64) + weights.query_bias
    key = encoded.p @ weights.key_kernel.astype(np.float64)
    scores = np.tanh(query[:, None] + key[None]) @ weights.scale.astype(np.float64)
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True) @ encoded.b


def score(weights: CrbanWeights, candidates: Array, exposures: Encoded, page_views: Encoded) -> Array:
    """Return the logits `(k,)` of the candidates (eq. 9-11)."""
    c = gru_stack(weights.candidate, candidates)
    head = weights.head
    features = np.concatenate(
        [
            c,
            np.repeat(c[-1:], len(c), axis=0),
            attend(weights.attentions[EXPOSURE], c, exposures),
            attend(weights.attentions[PAGE_VIEW], c, page_views),
        ],
        axis=1,
    )
    hidden = np.maximum(features @ head.hidden_kernel.astype(np.float64) + head.hidden_bias, 0.0)
    return (hidden @ head.output_kernel.astype(np.float64) + head.output_bias)[:, 0]


def _normal(rng: np.random.Generator, *shape: int, deviation: float) -> npt.NDArray[np.float32]:
    return rng.normal(scale=deviation, size=shape).astype(np.float32)


def random_stack(
    rng: np.random.Generator, width: int, *, units: int = 32, depth: int = 3, scale: float = 1.0
) -> GruStackWeights:
    layers = []
    for index in range(depth):
        inputs = width if index == 0 else units
        layers.append(
            GruWeights(
                _normal(rng, inputs, 3 * units, deviation=scale / np.sqrt(inputs)),
                _normal(rng, units, 3 * units, deviation=scale / np.sqrt(units)),
                _normal(rng, 2, 3 * units, deviation=0.2 * scale),
            )
        )
    return tuple(layers)


def random_attention(rng: np.random.Generator, *, units: int = 32, scale: float = 1.0) -> AttentionWeights:
    deviation = scale / np.sqrt(units)
    return AttentionWeights(
        _normal(rng, units, units, deviation=deviation),
        _normal(rng, units, deviation=0.2 * scale),
        _normal(rng, units, units, deviation=deviation),
        _normal(rng, units, deviation=0.7),
    )


def random_hubsm(
    rng: np.random.Generator, action: int, item: int, *, units: int = 32, scale: float = 1.0
) -> HubsmWeights:
    return HubsmWeights(
        random_stack(rng, action, units=units, scale=scale), random_stack(rng, item, units=units, scale=scale)
    )


def random_crban(
    rng: np.random.Generator, item: int, *, units: int = 32, hidden: int = 32, scale: float = 1.0
) -> CrbanWeights:
    return CrbanWeights(
        random_stack(rng, item, units=units, scale=scale),
        {kind: random_attention(rng, units=units, scale=scale) for kind in BEHAVIOUR_KINDS},
        HeadWeights(
            _normal(rng, 6 * units, hidden, deviation=0.5),
            _normal(rng, hidden, deviation=0.2),
            _normal(rng, hidden, 1, deviation=0.5),
            _normal(rng, 1, deviation=0.2),
        ),
    )


def with_attention(weights: CrbanWeights, kind: BehaviourKind, attention: AttentionWeights) -> CrbanWeights:
    """Return `weights` in which the attention over behaviours of `kind` is replaced by `attention`."""
    return replace(weights, attentions={**weights.attentions, kind: attention})


@dataclass(frozen=True)
class Model:
    """The random weights of a small model."""

    ie: HubsmWeights
    ipv: HubsmWeights
    crban: CrbanWeights


def random_model(seed: int, *, scale: float = 1.0, units: int = 32, hidden: int = 32) -> Model:
    """Return a random model with odd input widths: 7 and 12 for actions, 21 for items."""
    rng = np.random.default_rng(seed)
    return Model(
        random_hubsm(rng, 7, 21, units=units, scale=scale),
        random_hubsm(rng, 12, 21, units=units, scale=scale),
        random_crban(rng, 21, units=units, hidden=hidden, scale=scale),
    )
