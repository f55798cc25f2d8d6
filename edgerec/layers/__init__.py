"""Keras layers for any Keras model. Each layer is imported when it is first used.

This package defines the encoders, the attentions and the feature vectors. The rankers are layers, too; they are defined
in `edgerec.rankers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgerec.core.lazy import importable, lazy_attribute

if TYPE_CHECKING:
    from edgerec.layers.attention import BehaviourAttention
    from edgerec.layers.din import DinAttention, RawBehaviours
    from edgerec.layers.feature_vector import FeatureVector
    from edgerec.layers.gru_stack import GruStack
    from edgerec.layers.hubsm import BehaviourEncoder
    from edgerec.layers.list_context import ListAttention, ListNormalisation
    from edgerec.rankers.crban import Crban
    from edgerec.rankers.crban_plus import CrbanPlus
    from edgerec.rankers.dlcm import Dlcm
    from edgerec.rankers.dnn_rank import DnnRank
    from edgerec.rankers.esan import Esan

_HOME = {
    "BehaviourAttention": "edgerec.layers.attention",
    "BehaviourEncoder": "edgerec.layers.hubsm",
    "Crban": "edgerec.rankers.crban",
    "CrbanPlus": "edgerec.rankers.crban_plus",
    "DinAttention": "edgerec.layers.din",
    "Dlcm": "edgerec.rankers.dlcm",
    "DnnRank": "edgerec.rankers.dnn_rank",
    "Esan": "edgerec.rankers.esan",
    "FeatureVector": "edgerec.layers.feature_vector",
    "GruStack": "edgerec.layers.gru_stack",
    "ListAttention": "edgerec.layers.list_context",
    "ListNormalisation": "edgerec.layers.list_context",
    "RawBehaviours": "edgerec.layers.din",
}

__all__ = [
    "BehaviourAttention",
    "BehaviourEncoder",
    "Crban",
    "CrbanPlus",
    "DinAttention",
    "Dlcm",
    "DnnRank",
    "Esan",
    "FeatureVector",
    "GruStack",
    "ListAttention",
    "ListNormalisation",
    "RawBehaviours",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute("edgerec.layers", _HOME, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *importable(_HOME)})
