"""The splitter: a trained model falls into a step encoder for each kind of behaviour, a ranker and embedding tables.

The model is a composition (``ItemEmbedding -> HUBSM -> CRBAN``), so splitting is taking weights from named layers; no
function is written anew here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgerec.core.errors import ConversionError
from edgerec.data.shards import EXPOSURES, PAGE_VIEWS
from edgerec.export.ranker_weights import (
    CrbanPlusWeights,
    DlcmWeights,
    DnnRankWeights,
    EncoderWeights,
    ListAttentionWeights,
    RankerWeights,
)
from edgerec.export.weights import (
    AttentionWeights,
    CrbanWeights,
    DenseWeights,
    DinWeights,
    GruStack,
    GruWeights,
    HeadWeights,
    HubsmWeights,
    RawWeights,
)
from edgerec.kv.npz import Table
from edgerec.model.attention import BehaviourAttention
from edgerec.model.crban import ATTENTION, Crban
from edgerec.model.crban_plus import CrbanPlus
from edgerec.model.din import DinAttention, RawBehaviours
from edgerec.model.dlcm import Dlcm
from edgerec.model.dnn_rank import DnnRank
from edgerec.model.hubsm import BehaviourEncoder
from edgerec.model.list_context import ListAttention
from edgerec.model.reranker import ENCODER, Reranker
from edgerec.model.runs import Run


@dataclass(frozen=True)
class Parts:
    """A model taken apart.

    Attributes:
        hubsm_ie: encoder of exposures; none where the model does not read them.
        hubsm_ipv: encoder of page-views; likewise.
        ranker: what scores a list.
        tables: embedding tables by name of feature; they go to the cloud, none stays in a device graph.
    """

    hubsm_ie: EncoderWeights | None
    hubsm_ipv: EncoderWeights | None
    ranker: RankerWeights
    tables: dict[str, Table]


def split(run: Run) -> Parts:
    """Take `run`'s model apart.

    Raises:
        ConversionError: a layer that has no device graph, or a GRU layer that MNN would compute wrongly.
    """
    model = run.model
    encoders = {kind: _encoder(getattr(model, ENCODER[kind])) for kind in model.kinds}
    return Parts(
        hubsm_ie=encoders.get(EXPOSURES),
        hubsm_ipv=encoders.get(PAGE_VIEWS),
        ranker=_ranker(model),
        tables={name: _table(run, name) for name in run.vocabularies},
    )


def _ranker(model: Reranker) -> RankerWeights:
    ranker = model.ranker
    if isinstance(ranker, DnnRank):
        return DnnRankWeights(tuple(map(_dense, (ranker.first, ranker.second, ranker.output_layer))))
    if isinstance(ranker, Dlcm):
        return DlcmWeights(_stack(ranker.candidate_stack), _dense(ranker.hidden), _dense(ranker.output_layer))
    if isinstance(ranker, Crban):
        attentions = {kind: _attention(getattr(ranker, ATTENTION[kind])) for kind in ranker.kinds}
        return CrbanWeights(
            candidate=_stack(ranker.candidate_stack),
            attention_ie=attentions.get(EXPOSURES),
            attention_ipv=attentions.get(PAGE_VIEWS),
            head=_head(ranker),
        )
    if isinstance(ranker, CrbanPlus):
        return CrbanPlusWeights(
            number_columns=tuple(number_columns(model)),
            embed=_dense(ranker.embed),
            blocks=tuple(map(_list_attention, ranker.encoder)),
            attention_ie=_additive(ranker.exposure_attention),
            attention_ipv=_additive(ranker.page_view_attention),
            match_bias=_array(ranker.match_bias),
            hidden=_dense(ranker.hidden),
            second_hidden=_dense(ranker.second_hidden),
            output=_dense(ranker.output_layer),
        )
    raise ConversionError(f"layer {ranker.path}: there is no device graph for {type(ranker).__name__}")


def number_columns(model: Reranker) -> list[int]:
    """Places of raw features in an item vector."""
    columns = np.cumsum([0, *(feature.width for feature in model.spec.item)])
    return [int(at) for at, one in zip(columns, model.spec.item, strict=False) if one.kind == "raw"]


def _head(ranker: Crban) -> HeadWeights:
    hidden_kernel, hidden_bias = _arrays(ranker.hidden)
    output_kernel, output_bias = _arrays(ranker.output_layer)
    return HeadWeights(hidden_kernel, hidden_bias, output_kernel, output_bias, contexts=len(ranker.kinds))


def _encoder(layer: Any) -> EncoderWeights:
    if isinstance(layer, BehaviourEncoder):
        return HubsmWeights(action=_stack(layer.action_stack), item=_stack(layer.item_stack))
    if isinstance(layer, RawBehaviours):
        return RawWeights(action=_dense(layer.action), item=_dense(layer.item))
    raise ConversionError(f"layer {layer.path}: there is no device graph for {type(layer).__name__}")


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


def _attention(layer: Any) -> AttentionWeights | DinWeights:
    if isinstance(layer, DinAttention):
        query_kernel, query_bias = _arrays(layer.query_part)
        (key_kernel,) = _arrays(layer.key_part)
        return DinWeights(query_kernel, query_bias, key_kernel, _array(layer.product_part), _array(layer.scale))
    return _additive(layer)


def _additive(layer: BehaviourAttention) -> AttentionWeights:
    query_kernel, query_bias = _arrays(layer.query_projection)
    (key_kernel,) = _arrays(layer.key_projection)
    return AttentionWeights(query_kernel, query_bias, key_kernel, _array(layer.scale))


def _list_attention(layer: ListAttention) -> ListAttentionWeights:
    first, second = (tuple(_arrays(norm)) for norm in (layer.first_norm, layer.second_norm))
    return ListAttentionWeights(
        first_norm=first,
        projection=_dense(layer.projection),
        merge=_dense(layer.merge),
        second_norm=second,
        widen=_dense(layer.widen),
        narrow=_dense(layer.narrow),
        heads=layer.heads,
    )


def _dense(layer: Any) -> DenseWeights:
    return DenseWeights(*_arrays(layer))


def _table(run: Run, name: str) -> Table:
    rows = _array(run.model.item_embedding.tables[name])
    return Table(keys=run.vocabularies[name].keys, values=rows[1:], unknown=rows[0])


def _arrays(layer: Any) -> list[Any]:
    return [_array(weight) for weight in layer.weights if "seed" not in weight.name]


def _array(variable: Any) -> Any:
    return np.ascontiguousarray(variable.numpy(), dtype=np.float32)
