"""All graphs of a model that run on the device, by name of device model; and the same by the book."""

from __future__ import annotations

import onnx

from edgerec.bundle.manifest import CRBAN, HUBSM_IE, HUBSM_IPV
from edgerec.export.graphs.attention import AttentionForm
from edgerec.export.graphs.baselines import build_dlcm, build_dnn_rank
from edgerec.export.graphs.crban import build_crban
from edgerec.export.graphs.crban_plus import build_crban_plus, plus_forms
from edgerec.export.graphs.din import build_raw_step
from edgerec.export.graphs.hubsm_step import build_hubsm_step
from edgerec.export.graphs.reference import build_reference_crban, build_reference_step
from edgerec.export.ranker_weights import CrbanPlusWeights, DlcmWeights, DnnRankWeights, EncoderWeights
from edgerec.export.split import Parts
from edgerec.export.weights import Array, AttentionWeights, CrbanWeights, DinWeights, HubsmWeights, RawWeights
from edgerec.features.behaviours import Limits


def device_graphs(parts: Parts, limits: Limits) -> dict[str, onnx.ModelProto]:
    """The step graph of each kind of behaviour that the model reads, and its ranking graph."""
    ranker = parts.ranker
    if isinstance(ranker, DnnRankWeights):
        return {CRBAN: build_dnn_rank(ranker, candidates=limits.candidates)}
    if isinstance(ranker, DlcmWeights):
        return {CRBAN: build_dlcm(ranker, candidates=limits.candidates)}
    lengths = limits.model_dump()
    forms: dict[str, AttentionForm] = {}
    if isinstance(ranker, CrbanPlusWeights):
        forms = plus_forms(ranker)
        exposure_rows, page_view_rows = ranker.exposure_rows, ranker.page_view_rows
        ranking = build_crban_plus(ranker, **lengths)
    else:
        exposure_rows, page_view_rows = ranker.head.exposure_rows, ranker.head.page_view_rows
        ranking = build_crban(ranker, **lengths)
    steps = {
        HUBSM_IE: _step(parts.hubsm_ie, ranker.attention_ie, exposure_rows, forms.get("exposure")),
        HUBSM_IPV: _step(parts.hubsm_ipv, ranker.attention_ipv, page_view_rows, forms.get("page_view")),
    }
    return {**{name: graph for name, graph in steps.items() if graph is not None}, CRBAN: ranking}


def _step(
    encoder: EncoderWeights | None,
    attention: AttentionWeights | DinWeights | None,
    value_kernel: Array,
    form: AttentionForm | None,
) -> onnx.ModelProto | None:
    if isinstance(encoder, HubsmWeights) and isinstance(attention, AttentionWeights):
        return build_hubsm_step(encoder, attention=attention, value_kernel=value_kernel, form=form)
    if isinstance(encoder, RawWeights) and isinstance(attention, DinWeights):
        return build_raw_step(encoder, attention=attention, value_kernel=value_kernel)
    return None


def reference_graphs(parts: Parts, limits: Limits) -> dict[str, onnx.ModelProto]:
    """The same functions by the book, for peers to run; of the paper's full model alone."""
    ranker = parts.ranker
    if not (
        isinstance(ranker, CrbanWeights)
        and isinstance(parts.hubsm_ie, HubsmWeights)
        and isinstance(parts.hubsm_ipv, HubsmWeights)
        and isinstance(ranker.attention_ie, AttentionWeights)
        and isinstance(ranker.attention_ipv, AttentionWeights)
    ):
        return {}
    return {
        HUBSM_IE: build_reference_step(parts.hubsm_ie, attention=ranker.attention_ie),
        HUBSM_IPV: build_reference_step(parts.hubsm_ipv, attention=ranker.attention_ipv),
        CRBAN: build_reference_crban(ranker, **limits.model_dump()),
    }
