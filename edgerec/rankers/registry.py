"""The models by name: those of Table 2, our own, and those of other packages."""

from __future__ import annotations

from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any

from edgerec.core.errors import ConfigurationError
from edgerec.core.plugins import load_plugin, plugin_names
from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE, PAGE_VIEW, BehaviourKind

ENTRY_POINTS = "edgerec.models"
"""Entry points of this group add models: each names a `Model`."""

HUBSM = "edgerec.layers.hubsm:BehaviourEncoder"
CRBAN = "edgerec.rankers.crban.layer:Crban"


@dataclass(frozen=True)
class Model:
    """What a model is made of.

    Attributes:
        ranker: `module:Class` of its `Ranker`.
        what: one line for people.
        behaviour_kinds: the behaviours that it reads.
        encoder: `module:Class` of the layer that encodes each kind of behaviour.
        listwise: default weight of the listwise loss beside cross-entropy.
        options: further arguments of `Ranker.create`.
    """

    ranker: str
    what: str
    behaviour_kinds: tuple[BehaviourKind, ...] = ()
    encoder: str = HUBSM
    listwise: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)

    def ranker_class(self) -> Any:
        """Import the ranker's class, and with it Keras."""
        return resolve_name(self.ranker)

    def encoder_class(self) -> Any:
        """Import the encoder's class, and with it Keras."""
        return resolve_name(self.encoder)


MODELS: dict[str, Model] = {
    "dnn_rank": Model("edgerec.rankers.dnn_rank.layer:DnnRank", "each candidate by itself, cloud features alone"),
    "dlcm": Model("edgerec.rankers.dlcm.layer:Dlcm", "GRU over the list, cloud features alone"),
    "crban_ie": Model(CRBAN, "exposures alone", (EXPOSURE,)),
    "crban_ipv": Model(CRBAN, "page-views alone", (PAGE_VIEW,)),
    "crban_din": Model(
        CRBAN,
        "DIN attention over raw behaviours in place of HUBSM",
        BEHAVIOUR_KINDS,
        encoder="edgerec.layers.din:RawBehaviours",
        options={"din": True},
    ),
    "crban": Model(CRBAN, "the paper's full model", BEHAVIOUR_KINDS),
    "crban_plus": Model(
        "edgerec.rankers.crban_plus.layer:CrbanPlus",
        "exact matches, list-normalised inputs, self-attention",
        BEHAVIOUR_KINDS,
        listwise=1.0,
    ),
}
"""The models of this package, in the order of Table 2."""


def model_names() -> list[str]:
    """Return the names of all models that are installed, ours first."""
    return [*MODELS, *sorted(set(plugin_names(ENTRY_POINTS)) - set(MODELS))]


def find_model(name: str) -> Model:
    """Return the model of this name.

    Raises:
        ConfigurationError: there is none, or its entry point names something else.
    """
    if name in MODELS:
        return MODELS[name]
    model = load_plugin(ENTRY_POINTS, name)
    if model is None:
        raise ConfigurationError(f"there is no model {name!r}; there are: {', '.join(model_names())}")
    if not isinstance(model, Model):
        raise ConfigurationError(
            f"model {name}: its entry point should be an edgerec.rankers.registry.Model; received {model!r}"
        )
    return model
