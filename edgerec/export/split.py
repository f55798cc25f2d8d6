"""The splitter: it splits a trained model into an encoder for each kind of behaviour, a ranker and embedding tables.

The model is a composition of layers (``ItemEmbedding -> HUBSM -> ranker``). So the splitter only takes the weights of
named layers. Each layer returns its own weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from edgerec.bundle.manifest import RANKING_MODEL
from edgerec.core.errors import ConversionError
from edgerec.core.plugins import errors_of
from edgerec.features.behaviours import BehaviourKind, Limits
from edgerec.graphs.ranking import EncoderGraph, RankerGraph
from edgerec.kv.npz import Table
from edgerec.layers.device_weights import array
from edgerec.mixing.head import SurroundingsHead
from edgerec.model.runs import Run


@dataclass(frozen=True)
class SplitModel:
    """The weights of a model, grouped by the part of the bundle that gets them.

    Attributes:
        encoders: the encoder of each kind of behaviour that the model reads.
        ranker: the ranker.
        tables: the embedding tables by name of feature. They go to the cloud. No device graph contains their rows.
        head: what computes click rates from the cards around a card; None for a model without surroundings.
    """

    encoders: Mapping[BehaviourKind, EncoderGraph]
    ranker: RankerGraph
    tables: dict[str, Table]
    head: SurroundingsHead | None = None


def split(run: Run) -> SplitModel:
    """Split the model of `run`.

    Raises:
        ConversionError: MNN would compute a GRU layer of the model wrongly.
    """
    model = run.model
    encoders = {}
    for kind in model.behaviour_kinds:
        encoder = model.encoder_of(kind)
        with errors_of(type(encoder)):
            encoders[kind] = encoder.device_weights()
    with errors_of(type(model.ranker)):
        ranker = model.ranker.device_graph(model.settings)
        if not isinstance(ranker, RankerGraph):
            raise TypeError(f"`device_graph` returned {type(ranker).__name__}")
        head = model.ranker.surroundings(model.settings)
        if head is not None and not isinstance(head, SurroundingsHead):
            raise TypeError(f"`surroundings` returned {type(head).__name__}")
    return SplitModel(encoders, ranker, {name: _table(run, name) for name in run.vocabularies}, head)


def device_graphs(parts: SplitModel, limits: Limits, *, hidden: bool = False) -> dict[str, onnx.ModelProto]:
    """Build the device graphs by name of device model: a step for each kind of behaviour, and the ranker.

    Args:
        parts: the weights of the model.
        limits: the maximum lengths of sequences.
        hidden: whether the ranker has the output `hidden`, which a user's patch reads.

    Raises:
        ConversionError: the ranker's graph does not read the kinds of behaviour that the model reads, or it has no
            hidden layer for patches.
    """
    readings = parts.ranker.readings()
    if readings.keys() != parts.encoders.keys():
        expected, received = ([kind.plural for kind in kinds] for kinds in (parts.encoders, readings))
        raise ConversionError(
            f"`{type(parts.ranker).__name__}.readings` should have the kinds of behaviour that the model names: "
            f"{expected}; received {received}"
        )
    steps = {kind.step_model: encoder.step(readings[kind]) for kind, encoder in parts.encoders.items()}
    if not hidden:
        return {**steps, RANKING_MODEL: parts.ranker.build(limits)}
    if parts.ranker.hidden_width is None:
        raise ConversionError(
            f"`{type(parts.ranker).__name__}` has no hidden layer for patches: it should define `hidden_width`, and "
            "`build` should add the output `hidden` (docs/extending.md)"
        )
    return {**steps, RANKING_MODEL: parts.ranker.build(limits, hidden=True)}


def reference_graphs(parts: SplitModel, limits: Limits) -> dict[str, onnx.ModelProto]:
    """Build reference graphs, which compute the same functions with the operations of the paper, for benchmarks.

    The result is empty if the ranker has no reference graphs.
    """
    return parts.ranker.reference(parts.encoders, limits)


def _table(run: Run, name: str) -> Table:
    rows = array(run.model.item_embedding.tables[name])
    return Table(keys=run.vocabularies[name].keys, values=rows[1:], unknown=rows[0])
