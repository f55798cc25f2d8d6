"""The models of Table 2, and our own, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgerec.data.shards import EXPOSURES, PAGE_VIEWS

Name = Literal["dnn_rank", "dlcm", "crban_ie", "crban_ipv", "crban_din", "crban", "crban_plus"]


@dataclass(frozen=True)
class ModelKind:
    """What a model is made of.

    Attributes:
        ranker: `dnn`, `dlcm`, `crban` or `crban_plus`.
        kinds: the behaviours it reads.
        encoder: how behaviours are encoded: `hubsm`, or `raw` for DIN attention; nothing without behaviours.
        listwise: default weight of the listwise loss beside cross-entropy.
        what: in a line, for people.
    """

    ranker: Literal["dnn", "dlcm", "crban", "crban_plus"]
    kinds: tuple[str, ...]
    encoder: Literal["hubsm", "raw", "none"]
    listwise: float
    what: str


_BOTH = (EXPOSURES, PAGE_VIEWS)

MODELS: dict[Name, ModelKind] = {
    "dnn_rank": ModelKind("dnn", (), "none", 0.0, "each candidate by itself, cloud features alone"),
    "dlcm": ModelKind("dlcm", (), "none", 0.0, "GRU over the list, cloud features alone"),
    "crban_ie": ModelKind("crban", (EXPOSURES,), "hubsm", 0.0, "exposures alone"),
    "crban_ipv": ModelKind("crban", (PAGE_VIEWS,), "hubsm", 0.0, "page-views alone"),
    "crban_din": ModelKind("crban", _BOTH, "raw", 0.0, "DIN attention over raw behaviours in place of HUBSM"),
    "crban": ModelKind("crban", _BOTH, "hubsm", 0.0, "the paper's full model"),
    "crban_plus": ModelKind("crban_plus", _BOTH, "hubsm", 1.0, "exact matches, list-normalised inputs, self-attention"),
}
"""In the order of Table 2."""
