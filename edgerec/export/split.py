"""The splitter: a trained model falls into one step encoder for each kind of behaviour, a ranker and embedding tables.

The model is a composition (``ItemEmbedding -> HUBSM -> CRBAN``). So splitting means taking the weights of named layers;
each layer says how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from edgerec.bundle.manifest import CRBAN
from edgerec.features.behaviours import BehaviourKind, Limits
from edgerec.graphs.ranking import EncoderGraph, RankerGraph
from edgerec.kv.npz import Table
from edgerec.layers.device_weights import array
from edgerec.model.runs import Run


@dataclass(frozen=True)
class SplitModel:
    """The weights of a model, by where they go.

    Attributes:
        encoders: the encoder of each kind of behaviour that the model reads.
        ranker: what scores a list.
        tables: embedding tables by name of feature. They go to the cloud; no device graph has a row of them.
    """

    encoders: Mapping[BehaviourKind, EncoderGraph]
    ranker: RankerGraph
    tables: dict[str, Table]


def split(run: Run) -> SplitModel:
    """Split the model of `run`.

    Raises:
        ConversionError: a GRU layer that MNN would compute wrongly.
    """
    model = run.model
    return SplitModel(
        encoders={kind: model.encoder_of(kind).device_weights() for kind in model.behaviour_kinds},
        ranker=model.ranker.device_graph(model.settings),
        tables={name: _table(run, name) for name in run.vocabularies},
    )


def device_graphs(parts: SplitModel, limits: Limits) -> dict[str, onnx.ModelProto]:
    """Build the graphs of the device, by name of device model: a step for each kind of behaviour, and the ranker."""
    readings = parts.ranker.readings()
    steps = {kind.step_model: encoder.step(readings[kind]) for kind, encoder in parts.encoders.items()}
    return {**steps, CRBAN: parts.ranker.build(limits)}


def reference_graphs(parts: SplitModel, limits: Limits) -> dict[str, onnx.ModelProto]:
    """Build the same functions operation by operation, for benchmarks; none where the ranker has no reference."""
    return parts.ranker.reference(parts.encoders, limits)


def _table(run: Run, name: str) -> Table:
    rows = array(run.model.item_embedding.tables[name])
    return Table(keys=run.vocabularies[name].keys, values=rows[1:], unknown=rows[0])
