"""The trained weights of the rankers beside CRBAN, as plain arrays; `weights.py` has what they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from edgerec.core.errors import ShapeError
from edgerec.export.weights import (
    Array,
    AttentionWeights,
    CrbanWeights,
    DenseWeights,
    GruStack,
    HubsmWeights,
    RawWeights,
    check_stack,
)


@dataclass(frozen=True)
class DnnRankWeights:
    """DNN-rank: dense layers, relu between them, the last one of width 1."""

    layers: tuple[DenseWeights, ...]

    def __post_init__(self) -> None:
        for below, layer in pairwise(self.layers):
            if layer.kernel.shape[0] != below.width:
                raise ShapeError(
                    f"`DnnRankWeights.layers` should each read the one below ({below.width} wide). "
                    f"Received: one that reads {layer.kernel.shape[0]}"
                )


@dataclass(frozen=True)
class DlcmWeights:
    """DLCM: candidate stack, and the network from its last state to the weights of each output.

    Attributes:
        candidate: the stack.
        hidden: layer with tanh.
        output: layer of width `units + 1`: weights of an encoding, and what is added.
    """

    candidate: GruStack
    hidden: DenseWeights
    output: DenseWeights

    def __post_init__(self) -> None:
        check_stack(self, "candidate")
        units = self.candidate[0].units
        received = (self.hidden.kernel.shape[0], self.output.kernel.shape[0], self.output.width)
        if received != (units, self.hidden.width, units + 1):
            raise ShapeError(
                f"`DlcmWeights` should lead from {units} units to {units + 1} weights. Received: layers of {received}"
            )


@dataclass(frozen=True)
class ListAttentionWeights:
    """A block of self-attention over the list (`edgerec.model.list_context.ListAttention`).

    Attributes:
        first_norm, second_norm: scale and offset (units,) of each normalisation.
        projection: queries, keys and values, `3 * units` wide, heads within each.
        merge, widen, narrow: layers of `units`, `2 * units` and `units`.
        heads: number of heads.
    """

    first_norm: tuple[Array, Array]
    projection: DenseWeights
    merge: DenseWeights
    second_norm: tuple[Array, Array]
    widen: DenseWeights
    narrow: DenseWeights
    heads: int


@dataclass(frozen=True)
class CrbanPlusWeights:
    """CRBAN+ (`edgerec.model.crban_plus.CrbanPlus`).

    Attributes:
        number_columns: places of the raw features in an item vector.
        embed: from all that is known of a candidate to its first encoding.
        blocks: encoder of the list.
        attention_ie, attention_ipv: attentions, with the encodings as queries.
        match_bias: `(2, identities)`, added to a score where candidate and behaviour are of one identity.
        hidden: `[c, w, context_ie, context_ipv]` to `2 * units`, relu.
        second_hidden: to `units`, relu.
        output: to 1.
    """

    number_columns: tuple[int, ...]
    embed: DenseWeights
    blocks: tuple[ListAttentionWeights, ...]
    attention_ie: AttentionWeights
    attention_ipv: AttentionWeights
    match_bias: Array
    hidden: DenseWeights
    second_hidden: DenseWeights
    output: DenseWeights

    @property
    def units(self) -> int:
        return self.embed.width

    @property
    def identities(self) -> int:
        return int(self.match_bias.shape[1])

    @property
    def exposure_rows(self) -> Array:
        return self.hidden.kernel[-4 * self.units : -2 * self.units]

    @property
    def page_view_rows(self) -> Array:
        return self.hidden.kernel[-2 * self.units :]


RankerWeights = DnnRankWeights | DlcmWeights | CrbanWeights | CrbanPlusWeights
EncoderWeights = HubsmWeights | RawWeights
