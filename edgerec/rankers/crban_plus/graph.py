"""CRBAN+ on the device: exact matches, numbers within the list, self-attention, contexts of behaviours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from edgerec.features.behaviours import BehaviourKind, Limits
from edgerec.graphs.attention import AttentionForm, AttentionWeights, attention_form
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.list_context import ListAttentionWeights, add_list_attention, add_list_normalisation
from edgerec.graphs.ranking import RankerGraph, Reading, behaviour_inputs
from edgerec.graphs.weights import Array, DenseWeights

FAR_BELOW = 1e9
"""Added to the attention scores of padding, with a minus sign."""
HALF_LIVES_H = (1 / 12, 1.0, 24.0)
"""As in the Keras layer, restated: graphs are built without TensorFlow, and the parity proof compares both."""
SIGNALS = 2 + len(HALF_LIVES_H)


@dataclass(frozen=True)
class CrbanPlusWeights(RankerGraph):
    """CRBAN+ (`edgerec.rankers.crban_plus.layer.CrbanPlus`).

    Attributes:
        number_columns: columns of the raw features in an item vector.
        embed: from all that is known of a candidate to its first encoding.
        blocks: encoder of the list.
        attentions: by kind, with the encodings as queries.
        match_bias: `(2, identities)`, added to a score where candidate and behaviour are of one identity.
        hidden: `[c, w, contexts]` to `2 * units`, relu.
        second_hidden: to `units`, relu.
        output: to 1.
    """

    number_columns: tuple[int, ...]
    embed: DenseWeights
    blocks: tuple[ListAttentionWeights, ...]
    attentions: Mapping[BehaviourKind, AttentionWeights]
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

    def readings(self) -> dict[BehaviourKind, Reading]:
        width, total = 2 * self.units, self.hidden.kernel.shape[0]
        first = total - width * len(self.attentions)
        return {
            kind: Reading(form, self.hidden.kernel[first + index * width : first + (index + 1) * width])
            for index, (kind, form) in enumerate(self._forms().items())
        }

    def _forms(self) -> dict[BehaviourKind, AttentionForm]:
        """Return how each attention is computed. The outputs of the list encoder have no bound."""
        return {
            kind: attention_form(attention, bounded=False, bias=float(np.abs(self.match_bias[index]).sum()))
            for index, (kind, attention) in enumerate(self.attentions.items())
        }

    def build(self, limits: Limits) -> onnx.ModelProto:
        """Build CRBAN+: inputs and output of `CrbanWeights.build` without `last`, and:

        | name | shape | what |
        |---|---|---|
        | in `valid` | `(k, 1)` | 1 for a candidate, 0 for padding |
        | in `exposure_match` | `(identities, k, m)` | 1 where the identities are equal; 0 in padding |
        | in `exposure_age` | `(1, m)` | hours since each behaviour; not negative, 0 in padding |
        | in `page_view_match`, `page_view_age` | n behaviours | the same for page-views |
        """
        candidates = limits.candidates
        signals = 2 * self.identities * SIGNALS
        width = self.embed.kernel.shape[0] - 2 * signals - len(self.number_columns)
        units, hidden_width = self.units, self.hidden.width

        graph = GraphBuilder()
        items = graph.reshape("candidates", (candidates, width))
        met = graph.node(
            "Concat",
            *(_signals(graph, kind, self.identities, candidates, limits.of(kind)) for kind in self.attentions),
            axis=1,
        )
        standing = met
        if self.number_columns:
            chosen = np.eye(width)[:, list(self.number_columns)]
            standing = graph.node("Concat", graph.node("MatMul", items, graph.constant(chosen)), met, axis=1)
        wide = graph.node("Concat", items, met, add_list_normalisation(graph, standing), axis=1)
        encodings = graph.dense(wide, self.embed.kernel, self.embed.bias)
        padding = graph.node("Mul", graph.node("Sub", "valid", graph.constant(1.0)), graph.constant(FAR_BELOW))
        padding = graph.reshape(padding, (1, 1, candidates))
        for block in self.blocks:
            encodings = add_list_attention(graph, block, encodings, padding, candidates=candidates)

        own = graph.node("Concat", encodings, wide, axis=1)
        hidden = graph.dense(own, self.hidden.kernel[: -4 * units], self.hidden.bias)
        inputs: dict[str, tuple[int, ...]] = {"candidates": (candidates, 1, width), "valid": (candidates, 1)}
        for index, (kind, form) in enumerate(self._forms().items()):
            name, length = kind.name, limits.of(kind)
            match = graph.reshape(f"{name}_match", (self.identities, candidates * length))
            bias = graph.node("MatMul", graph.constant(self.match_bias[index : index + 1]), match)
            context = form.add_context(
                graph,
                encodings,
                kind,
                candidates=candidates,
                length=length,
                bias=graph.reshape(bias, (candidates, length)),
            )
            hidden = graph.node("Add", hidden, context)
            inputs |= behaviour_inputs(kind, length, form.key_width, hidden_width)
            inputs[f"{name}_match"] = (self.identities, candidates, length)
            inputs[f"{name}_age"] = (1, length)
        second = graph.dense(
            graph.node("Relu", hidden), self.second_hidden.kernel, self.second_hidden.bias, then="Relu"
        )
        logits = graph.dense(second, self.output.kernel, self.output.bias)
        graph.reshape(logits, (candidates, 1), out="logits")
        return graph.model("crban_plus", inputs, {"logits": (candidates, 1)})


def _signals(graph: GraphBuilder, kind: BehaviourKind, identities: int, candidates: int, length: int) -> str:
    """`match_signals` of every identity, `(k, identities * SIGNALS)`.

    The age of the last match is looked for once, as `r = 1 / (1 + age)`, of which every half-life h makes
    `1 / (1 + age / h) = r / (r (1 - 1 / h) + 1 / h)`: 0 where there is no match, as it should be.
    """
    name = kind.name
    match, one = f"{name}_match", graph.constant(1.0)
    axis = graph.constant(np.array([2]))
    count = graph.node("ReduceSum", match, axis, keepdims=0)
    found = [graph.node("Log", graph.node("Add", count, one))]
    # Behaviours between a match and the request: the latest has none.
    known = graph.node("ReduceSum", f"{name}_mask", graph.constant(np.array([0])), keepdims=1)
    since = graph.node("Sub", known, graph.constant(1.0 + np.arange(length)[np.newaxis]))
    since = graph.node("Max", since, graph.constant(np.zeros((1, 1))))
    nearest = []
    for distance in (since, f"{name}_age"):
        nearness = graph.reshape(graph.node("Reciprocal", graph.node("Add", distance, one)), (1, 1, length))
        nearest.append(graph.node("ReduceMax", graph.node("Mul", match, nearness), axes=[2], keepdims=0))
    last, recent = nearest
    found.append(last)
    for half_life in HALF_LIVES_H:
        if half_life == 1:
            found.append(recent)
            continue
        slope, level = (graph.constant(value) for value in (1 - 1 / half_life, 1 / half_life))
        found.append(graph.node("Div", recent, graph.node("Add", graph.node("Mul", recent, slope), level)))
    parts = [graph.reshape(one_of, (1, identities, candidates)) for one_of in found]
    stacked = graph.node("Concat", *parts, axis=0)
    return graph.reshape(graph.node("Transpose", stacked, perm=[2, 1, 0]), (candidates, identities * SIGNALS))
