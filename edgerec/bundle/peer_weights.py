"""The trained weights as plain arrays, from which the NumPy and the Keras peer compute the equations of the paper.

`edgerec export --peers` writes them to one npz file of the bundle. The file is read without pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgerec.bundle.bounds import MAX_CASE_BYTES
from edgerec.bundle.layout import PEERS
from edgerec.core.arrays import read_members, save_members
from edgerec.core.errors import FormatError
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind

Array = npt.NDArray[np.float32]

FILE = f"{PEERS}/weights.npz"
_LAYERS, _MOST_LAYERS = "layers", 100
_ADVICE = "export the bundle again"


class Gru(NamedTuple):
    """One GRU layer: kernel (d, 3 units), recurrent kernel (units, 3 units), and two biases (2, 3 units).

    The gates are in the order z, r, h. The first bias belongs to the kernel, the second to the recurrent kernel, as in
    `keras.layers.GRU(reset_after=True)`.
    """

    kernel: Array
    recurrent_kernel: Array
    bias: Array


Stack = tuple[Gru, ...]
"""GRU layers, the lowest first."""


class Attention(NamedTuple):
    """Additive attention (eq. 10): query and key kernels (units, units), query bias (units,) and scale (units,)."""

    query_kernel: Array
    query_bias: Array
    key_kernel: Array
    scale: Array


class Head(NamedTuple):
    """The scoring MLP (eq. 11): kernels (6 units, hidden) and (hidden, 1), biases (hidden,) and (1,)."""

    hidden_kernel: Array
    hidden_bias: Array
    output_kernel: Array
    output_bias: Array


@dataclass(frozen=True)
class Weights:
    """The weights of the paper's full model.

    Attributes:
        actions: the stack over the actions of each kind of behaviour (eq. 3-8).
        items: the stack over the items of each kind.
        attentions: the attention over each kind.
        candidates: the stack over the candidates (eq. 9).
        head: the scoring MLP.
    """

    actions: Mapping[BehaviourKind, Stack]
    items: Mapping[BehaviourKind, Stack]
    attentions: Mapping[BehaviourKind, Attention]
    candidates: Stack
    head: Head


def save_weights(weights: Weights, bundle: Path) -> None:
    """Write the weights into the bundle."""
    stacks = {"candidates": weights.candidates}
    parts: dict[str, Any] = {"head": weights.head}
    for kind in BEHAVIOUR_KINDS:
        stacks |= {f"{kind.name}_action": weights.actions[kind], f"{kind.name}_item": weights.items[kind]}
        parts[f"{kind.name}_attention"] = weights.attentions[kind]
    for name, stack in stacks.items():
        parts |= {f"{name}_{index}": layer for index, layer in enumerate(stack)}
    arrays = {f"{part}.{field}": array for part, of in parts.items() for field, array in of._asdict().items()}
    layers = np.array(len(weights.candidates))
    save_members(bundle / FILE, {_LAYERS: layers, **arrays}, what="export")


def read_weights(bundle: Path) -> Weights:
    """Read the weights that `edgerec export --peers` wrote into the bundle.

    Raises:
        FormatError: the file is missing or damaged.
    """
    path = bundle / FILE
    layers = _read(path, [_LAYERS])[_LAYERS]
    if layers.shape != () or not 1 <= layers <= _MOST_LAYERS:
        raise FormatError(f"bench: {path} should have 1 to {_MOST_LAYERS} layers; received {layers}: {_ADVICE}")

    def part(name: str, fields: tuple[str, ...]) -> list[Array]:
        arrays = _read(path, [f"{name}.{field}" for field in fields])
        return [np.ascontiguousarray(array, np.float32) for array in arrays.values()]

    def stack(name: str) -> Stack:
        return tuple(Gru(*part(f"{name}_{index}", Gru._fields)) for index in range(int(layers)))

    return Weights(
        actions={kind: stack(f"{kind.name}_action") for kind in BEHAVIOUR_KINDS},
        items={kind: stack(f"{kind.name}_item") for kind in BEHAVIOUR_KINDS},
        attentions={kind: Attention(*part(f"{kind.name}_attention", Attention._fields)) for kind in BEHAVIOUR_KINDS},
        candidates=stack("candidates"),
        head=Head(*part("head", Head._fields)),
    )


def _read(path: Path, names: list[str]) -> dict[str, Any]:
    return read_members(path, names, what="bench: weights of peers", advice=_ADVICE, most=MAX_CASE_BYTES)
