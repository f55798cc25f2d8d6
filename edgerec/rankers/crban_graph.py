"""Device graph of CRBAN. It reads candidates and stored encodings of behaviours, and returns the candidates' logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from edgerec.core.errors import ShapeError
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind, Limits
from edgerec.graphs.attention import AttentionWeights
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.din import DinWeights
from edgerec.graphs.gru import GruStackWeights, add_gru_stack, check_stack
from edgerec.graphs.hubsm_step import HubsmWeights
from edgerec.graphs.ranking import EncoderGraph, RankerGraph, Reading, add_hidden, behaviour_inputs
from edgerec.graphs.weights import Array, check_array
from edgerec.rankers.crban_reference import build_reference_crban, build_reference_step


@dataclass(frozen=True)
class HeadWeights:
    """The weights of the scoring MLP, `relu([c, s, contexts] W1 + b1) W2 + b2` (eq. 11).

    `c` is the candidate's encoding, and `s` is the local ranking context.

    Attributes:
        hidden_kernel: `((2 + 2 * contexts) * units, hidden)`. The first `units` rows read `c`, and the next `units`
            rows read `s`. Then, for each kind of behaviour, `2 * units` rows read its context.
        hidden_bias: `(hidden,)`.
        output_kernel: `(hidden, 1)`.
        output_bias: `(1,)`.
        contexts: number of kinds of behaviour that the model reads.

    Raises:
        ShapeError: the shapes do not fit each other, or a value is not finite float32.
    """

    hidden_kernel: Array
    hidden_bias: Array
    output_kernel: Array
    output_bias: Array
    contexts: int = 2

    def __post_init__(self) -> None:
        check_array(self, "hidden_bias", (None,))
        hidden = self.hidden_bias.shape[0]
        check_array(self, "hidden_kernel", (None, hidden))
        if self.hidden_kernel.shape[0] % self._parts:
            raise ShapeError(
                f"the number of rows of `HeadWeights.hidden_kernel` should be a multiple of {self._parts}. "
                f"Received: {self.hidden_kernel.shape[0]}"
            )
        check_array(self, "output_kernel", (hidden, 1))
        check_array(self, "output_bias", (1,))

    @property
    def _parts(self) -> int:
        return 2 + 2 * self.contexts

    @property
    def units(self) -> int:
        return int(self.hidden_kernel.shape[0]) // self._parts

    @property
    def hidden(self) -> int:
        return int(self.hidden_bias.shape[0])

    @property
    def candidate_rows(self) -> Array:
        """The rows of the hidden kernel that are multiplied by the candidate. Shape (units, hidden)."""
        return self.hidden_kernel[: self.units]

    @property
    def local_rows(self) -> Array:
        """The rows of the hidden kernel that are multiplied by the local ranking context. Shape (units, hidden)."""
        return self.hidden_kernel[self.units : 2 * self.units]

    def context_rows(self, index: int) -> Array:
        """Return the rows `(2 * units, hidden)` of the hidden kernel that read the context of the kind at `index`."""
        start = 2 * (1 + index) * self.units
        return self.hidden_kernel[start : start + 2 * self.units]


@dataclass(frozen=True)
class CrbanWeights(RankerGraph):
    """The weights of CRBAN (eq. 9-11).

    Attributes:
        candidate: the GRU stack over the candidates.
        attentions: the attention over each kind of behaviour that the model reads.
        head: the scoring MLP.
    """

    candidate: GruStackWeights
    attentions: Mapping[BehaviourKind, AttentionWeights | DinWeights]
    head: HeadWeights

    def __post_init__(self) -> None:
        check_stack(self, "candidate")
        units = self.candidate[0].units
        for kind, attention in self.attentions.items():
            if attention.query_kernel.shape[0] != units:
                raise ShapeError(
                    f"`CrbanWeights.attentions` should read candidate encodings of {units} units. "
                    f"Received: a query_kernel for {kind.plural} with {attention.query_kernel.shape[0]} rows"
                )
        if self.head.units != units:
            raise ShapeError(
                f"`CrbanWeights.head` should read encodings of {units} units. Received: a head for {self.head.units}"
            )
        if self.head.contexts != len(self.attentions):
            raise ShapeError(
                f"`CrbanWeights.head` should read one context for each of {len(self.attentions)} attentions. "
                f"Received: a head for {self.head.contexts} contexts"
            )

    def readings(self) -> dict[BehaviourKind, Reading]:
        return {
            kind: Reading(attention.form(), self.head.context_rows(index))
            for index, (kind, attention) in enumerate(self.attentions.items())
        }

    @property
    def hidden_width(self) -> int:
        return self.head.hidden

    def build(self, limits: Limits, *, hidden: bool = False) -> onnx.ModelProto:
        """Build the graph of CRBAN (eq. 9-11). It reads the key and the value of each behaviour from the step graph.

        | name | shape | what |
        |---|---|---|
        | in `candidates` | `(k, 1, d_c)` | candidate vectors, padded on the right with any finite number |
        | in `last` | `(1, k)` | one-hot row of the last valid candidate |
        | in `exposure_keys` | `(m, key_width)` | `key` of each exposure's step; any finite positive number in padding |
        | in `exposure_values` | `(m, hidden)` | `value` of each exposure's step; zeros in padding |
        | in `exposure_mask` | `(m, 1)` | 1 for a behaviour, 0 for padding |
        | in `page_view_keys`, `page_view_values`, `page_view_mask` | n rows | the same for page-views |
        | out `logits` | `(k, 1)` | a logit for each candidate; it has no meaning in padding |
        | out `hidden` | `(k, hidden)` | the hidden layer of each candidate, if asked for |

        A model that reads only one kind of behaviour has only the inputs of that kind.
        """
        head, candidates = self.head, limits.candidates
        width = self.candidate[0].input_width
        graph = GraphBuilder()
        encodings = add_gru_stack(graph, "candidates", self.candidate, time=candidates)
        local = graph.node("MatMul", graph.node("MatMul", "last", encodings), graph.constant(head.local_rows))
        total = graph.node(
            "Add",
            graph.node("MatMul", encodings, graph.constant(head.candidate_rows)),
            graph.node("Add", local, graph.constant(head.hidden_bias[np.newaxis])),
        )
        inputs: dict[str, tuple[int, ...]] = {"candidates": (candidates, 1, width), "last": (1, candidates)}
        for kind, attention in self.attentions.items():
            form, length = attention.form(), limits.of(kind)
            context = form.add_context(graph, encodings, kind, candidates=candidates, length=length)
            total = graph.node("Add", total, context)
            inputs |= behaviour_inputs(kind, length, form.key_width, head.hidden)
        read = graph.node("Relu", total)
        logits = graph.node("MatMul", read, graph.constant(head.output_kernel))
        graph.node("Add", logits, graph.constant(head.output_bias[np.newaxis]), out="logits")
        more = add_hidden(graph, read, candidates=candidates, width=head.hidden) if hidden else {}
        return graph.model("crban", inputs, {"logits": (candidates, 1), **more})

    def reference(self, encoders: Mapping[BehaviourKind, EncoderGraph], limits: Limits) -> dict[str, onnx.ModelProto]:
        """Build the reference graphs of the paper's full model. The result is empty for the ablations."""
        attentions = {kind: one for kind, one in self.attentions.items() if isinstance(one, AttentionWeights)}
        hubsm = {kind: encoder for kind, encoder in encoders.items() if isinstance(encoder, HubsmWeights)}
        if not set(attentions) == set(hubsm) == set(BEHAVIOUR_KINDS):
            return {}
        steps = {
            kind.step_model: build_reference_step(encoder, attention=attentions[kind])
            for kind, encoder in hubsm.items()
        }
        return {**steps, "crban": build_reference_crban(self, attentions, limits)}
