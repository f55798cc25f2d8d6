"""Device graph of ESAN. It returns relevance, and the vectors from which the device computes surroundings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from edgerec.core.errors import ShapeError
from edgerec.features.behaviours import BehaviourKind, Limits
from edgerec.graphs.attention import AttentionForm, AttentionWeights
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.ranking import RankerGraph, Reading, add_hidden, behaviour_inputs
from edgerec.graphs.weights import Array, DenseWeights, check_array


@dataclass(frozen=True)
class EsanWeights(RankerGraph):
    """The weights of ESAN (`edgerec.rankers.esan.Esan`) without the tables of surroundings.

    Attributes:
        query: dense layer with ReLU from a candidate to its query `q`.
        attentions: the attention over each kind of behaviour that the model reads.
        hidden: dense layer that reads `[q, contexts]`.
        before, after: `(units, hidden)`, on the query of the card before and of the card after.
        output: dense layer of width 1.

    Raises:
        ShapeError: the shapes do not fit each other.
    """

    query: DenseWeights
    attentions: Mapping[BehaviourKind, AttentionWeights]
    hidden: DenseWeights
    before: Array
    after: Array
    output: DenseWeights

    def __post_init__(self) -> None:
        units = self.query.width
        for name in ("before", "after"):
            check_array(self, name, (units, self.hidden.width))
        rows = (1 + 2 * len(self.attentions)) * units
        if self.hidden.kernel.shape[0] != rows or self.output.kernel.shape != (self.hidden.width, 1):
            raise ShapeError(
                f"`EsanWeights.hidden` should have {rows} rows, and `output` as many rows as `hidden` has columns. "
                f"Received: shapes {self.hidden.kernel.shape} and {self.output.kernel.shape}"
            )

    def _forms(self) -> dict[BehaviourKind, AttentionForm]:
        """Return the form in which each attention is computed. Queries have no upper bound."""
        return {kind: attention.form(bounded=False) for kind, attention in self.attentions.items()}

    def readings(self) -> dict[BehaviourKind, Reading]:
        units, kernel = self.query.width, self.hidden.kernel
        return {
            kind: Reading(form, kernel[(1 + 2 * index) * units : (3 + 2 * index) * units])
            for index, (kind, form) in enumerate(self._forms().items())
        }

    @property
    def hidden_width(self) -> int:
        return self.hidden.width

    def build(self, limits: Limits, *, hidden: bool = False) -> onnx.ModelProto:
        """Build the graph of ESAN. The inputs are those of `CrbanWeights.build` without `last`.

        | name | shape | what |
        |---|---|---|
        | out `logits` | `(k, 1)` | relevance: the logit of each candidate without surroundings and place |
        | out `vectors` | `(k, 3 * hidden)` | `own`, `before` and `after`, one after the other |
        | out `hidden` | `(k, hidden)` | `relu(own)`, which the output layer reads; if asked for |

        `own` is the hidden layer before its activation, without surroundings. `before` and `after` are what the
        candidate adds to the hidden layer of the card after it, and of the card before it.
        """
        candidates, (width, units) = limits.candidates, self.query.kernel.shape
        graph = GraphBuilder()
        query = graph.dense(
            graph.reshape("candidates", (candidates, width)), self.query.kernel, self.query.bias, then="Relu"
        )
        own = graph.dense(query, self.hidden.kernel[:units], self.hidden.bias)
        inputs: dict[str, tuple[int, ...]] = {"candidates": (candidates, 1, width)}
        contexts = []
        for kind, form in self._forms().items():
            length = limits.of(kind)
            contexts.append(form.add_context(graph, query, kind, candidates=candidates, length=length))
            inputs |= behaviour_inputs(kind, length, form.key_width, self.hidden.width)
        for context in contexts:
            own = graph.node("Add", own, context)
        around = (graph.node("MatMul", query, graph.constant(kernel)) for kernel in (self.before, self.after))
        # MNN has no output that another operation reads, so the hidden layer cannot be an output itself.
        graph.node("Concat", own, *around, axis=1, out="vectors")
        read = graph.node("Relu", own)
        logits = graph.node("MatMul", read, graph.constant(self.output.kernel))
        graph.node("Add", logits, graph.constant(self.output.bias[None]), out="logits")
        outputs = {"logits": (candidates, 1), "vectors": (candidates, 3 * self.hidden.width)}
        more = add_hidden(graph, read, candidates=candidates, width=self.hidden.width) if hidden else {}
        return graph.model("esan", inputs, {**outputs, **more})
