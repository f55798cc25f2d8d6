"""The splitter: a trained model falls into two step encoders, a ranker and embedding tables.

The model is a composition (``ItemEmbedding -> HUBSM -> CRBAN``), so splitting is taking weights from named layers; no
function is written anew here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgerec.core.errors import ConversionError
from edgerec.export.weights import (
    AttentionWeights,
    CrbanWeights,
    GruStack,
    GruWeights,
    HeadWeights,
    HubsmWeights,
)
from edgerec.kv.npz import Table
from edgerec.model.runs import Run


@dataclass(frozen=True)
class Parts:
    """A model taken apart.

    Attributes:
        hubsm_ie: encoder of exposures.
        hubsm_ipv: encoder of page-views.
        crban: ranker.
        tables: embedding tables by name of feature; they go to the cloud, none stays in a device graph.
    """

    hubsm_ie: HubsmWeights
    hubsm_ipv: HubsmWeights
    crban: CrbanWeights
    tables: dict[str, Table]


def split(run: Run) -> Parts:
    """Take `run`'s model apart.

    Raises:
        ConversionError: a model that has no device graphs, or a GRU layer that MNN would compute wrongly.
    """
    model = run.model
    if model.kind != "crban":
        raise ConversionError(
            f"export: there are no device graphs for {model.kind} yet: export a run of crban (train --model crban)"
        )
    crban = model.ranker
    hidden_kernel, hidden_bias = _arrays(crban.hidden)
    output_kernel, output_bias = _arrays(crban.output_layer)
    return Parts(
        hubsm_ie=HubsmWeights(action=_stack(model.hubsm_ie.action_stack), item=_stack(model.hubsm_ie.item_stack)),
        hubsm_ipv=HubsmWeights(action=_stack(model.hubsm_ipv.action_stack), item=_stack(model.hubsm_ipv.item_stack)),
        crban=CrbanWeights(
            candidate=_stack(crban.candidate_stack),
            attention_ie=_attention(crban.exposure_attention),
            attention_ipv=_attention(crban.page_view_attention),
            head=HeadWeights(hidden_kernel, hidden_bias, output_kernel, output_bias),
        ),
        tables={name: _table(run, name) for name in run.vocabularies},
    )


def _stack(stack: Any) -> GruStack:
    return tuple(_gru(layer) for layer in stack.grus)


def _gru(layer: Any) -> GruWeights:
    config = layer.get_config()
    # MNN computes other forms silently wrong: the candidate state before the reset gate, other activations, backwards.
    wanted = {"reset_after": True, "activation": "tanh", "recurrent_activation": "sigmoid", "go_backwards": False}
    for name, value in wanted.items():
        if config[name] != value:
            raise ConversionError(f"layer {layer.path}: {name} should be {value!r} for MNN; received {config[name]!r}")
    return GruWeights(*_arrays(layer))


def _attention(layer: Any) -> AttentionWeights:
    query_kernel, query_bias = _arrays(layer.query_projection)
    (key_kernel,) = _arrays(layer.key_projection)
    return AttentionWeights(query_kernel, query_bias, key_kernel, _array(layer.scale))


def _table(run: Run, name: str) -> Table:
    rows = _array(run.model.item_embedding.tables[name])
    return Table(keys=run.vocabularies[name].keys, values=rows[1:], unknown=rows[0])


def _arrays(layer: Any) -> list[Any]:
    return [_array(weight) for weight in layer.weights if "seed" not in weight.name]


def _array(variable: Any) -> Any:
    return np.ascontiguousarray(variable.numpy(), dtype=np.float32)
