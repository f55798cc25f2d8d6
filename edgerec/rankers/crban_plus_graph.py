"""Device graph of CRBAN+."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from edgerec.features.behaviours import BehaviourKind, Limits
from edgerec.graphs.attention import AttentionForm, AttentionWeights
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.list_context import ListAttentionWeights, add_list_attention, add_list_normalisation
from edgerec.graphs.ranking import RankerGraph, Reading, add_hidden, behaviour_inputs
from edgerec.graphs.weights import Array, DenseWeights

HALF_LIVES_H = (1 / 12, 1.0, 24.0)
"""The same half-lives as in the Keras layer. They are repeated here because graphs are built without TensorFlow; the
parity check fails if they differ."""
SIGNALS = 2 + len(HALF_LIVES_H)


@dataclass(frozen=True)
class CrbanPlusWeights(RankerGraph):
    """The weights of CRBAN+ (`edgerec.rankers.crban_plus.CrbanPlus`).

    Attributes:
        number_columns: columns of the raw features in an item vector.
        embed: dense layer from the features `w` of a candidate to the first encoding of the candidate.
        blocks: self-attention over the list. It turns the first encodings into the encodings `c`.
        attentions: the attention over each kind of behaviour. Its queries are the encodings `c`.
        match_bias: `(2, identities)`, for each kind of behaviour and each ID. It is added to an attention score if
            candidate and behaviour have the same ID.
        hidden: dense layer of width `2 * units` with ReLU. It reads `[c, w, contexts]`.
        second_hidden: dense layer of width `units` with ReLU.
        output: dense layer of width 1.
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
        """Return the form in which each attention is computed. Its queries have no bound, unlike those of CRBAN."""
        return {
            kind: attention.form(bounded=False, bias=float(np.abs(self.match_bias[index]).sum()))
            for index, (kind, attention) in enumerate(self.attentions.items())
        }

    @property
    def hidden_width(self) -> int:
        return self.second_hidden.width

    def build(self, limits: Limits, *, hidden: bool = False) -> onnx.ModelProto:
        """Build the graph of CRBAN+. Inputs and output are those of `CrbanWeights.build` without `last`, and these:

        | name | shape | what |
        |---|---|---|
        | in `valid` | `(k, 1)` | 1 for a candidate, 0 for padding |
        | in `exposure_match` | `(identities, k, m)` | 1 where candidate and behaviour have the same ID; 0 in padding |
        | in `exposure_age` | `(1, m)` | hours since each behaviour; not negative, 0 in padding |
        | in `page_view_match`, `page_view_age` | n behaviours | the same for page-views |
        """
        candidates = limits.candidates
        signal_width = 2 * self.identities * SIGNALS
        width = self.embed.kernel.shape[0] - 2 * signal_width - len(self.number_columns)
        units, hidden_width = self.units, self.hidden.width

        graph = GraphBuilder()
        items = graph.reshape("candidates", (candidates, width))
        signals = graph.node(
            "Concat",
            *(_signals(graph, kind, self.identities, candidates, limits.of(kind)) for kind in self.attentions),
            axis=1,
        )
        numbers = signals
        if self.number_columns:
            chosen = np.eye(width)[:, list(self.number_columns)]
            numbers = graph.node("Concat", graph.node("MatMul", items, graph.constant(chosen)), signals, axis=1)
        features = graph.node("Concat", items, signals, add_list_normalisation(graph, numbers), axis=1)
        encodings = graph.dense(features, self.embed.kernel, self.embed.bias)
        for block in self.blocks:
            encodings = add_list_attention(graph, block, encodings, candidates=candidates)

        candidate = graph.node("Concat", encodings, features, axis=1)
        total = graph.dense(candidate, self.hidden.kernel[: -4 * units], self.hidden.bias)
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
            total = graph.node("Add", total, context)
            inputs |= behaviour_inputs(kind, length, form.key_width, hidden_width)
            inputs[f"{name}_match"] = (self.identities, candidates, length)
            inputs[f"{name}_age"] = (1, length)
        second = graph.dense(graph.node("Relu", total), self.second_hidden.kernel, self.second_hidden.bias, then="Relu")
        logits = graph.dense(second, self.output.kernel, self.output.bias)
        graph.reshape(logits, (candidates, 1), out="logits")
        more = add_hidden(graph, second, candidates=candidates, width=self.hidden_width) if hidden else {}
        return graph.model("crban_plus", inputs, {"logits": (candidates, 1), **more})


def _signals(graph: GraphBuilder, kind: BehaviourKind, identities: int, candidates: int, length: int) -> str:
    """Add the signals `match_signals` of every ID. Shape `(k, identities * SIGNALS)`.

    The age of the last match is computed once, as `r = 1 / (1 + age)`. The signal of each half-life `h` follows from r:
    `1 / (1 + age / h) = r / (r (1 - 1 / h) + 1 / h)`. If there is no match, r is 0, and the signal is 0, too.
    """
    name = kind.name
    match, one = f"{name}_match", graph.constant(1.0)
    axis = graph.constant(np.array([2]))
    count = graph.node("ReduceSum", match, axis, keepdims=0)
    signals = [graph.node("Log", graph.node("Add", count, one))]
    # The number of behaviours between each behaviour and the request: 0 for the latest behaviour.
    valid = graph.node("ReduceSum", f"{name}_mask", graph.constant(np.array([0])), keepdims=1)
    steps = graph.node("Sub", valid, graph.constant(1.0 + np.arange(length)[np.newaxis]))
    steps = graph.node("Max", steps, graph.constant(np.zeros((1, 1))))
    largest = []
    for distance in (steps, f"{name}_age"):
        recency = graph.reshape(graph.node("Reciprocal", graph.node("Add", distance, one)), (1, 1, length))
        largest.append(graph.node("ReduceMax", graph.node("Mul", match, recency), axes=[2], keepdims=0))
    by_steps, by_age = largest
    signals.append(by_steps)
    for half_life in HALF_LIVES_H:
        if half_life == 1:
            signals.append(by_age)
            continue
        slope, level = (graph.constant(value) for value in (1 - 1 / half_life, 1 / half_life))
        signals.append(graph.node("Div", by_age, graph.node("Add", graph.node("Mul", by_age, slope), level)))
    parts = [graph.reshape(signal, (1, identities, candidates)) for signal in signals]
    stacked = graph.node("Concat", *parts, axis=0)
    return graph.reshape(graph.node("Transpose", stacked, perm=[2, 1, 0]), (candidates, identities * SIGNALS))
