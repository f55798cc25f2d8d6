"""The registry of models by name: the models of Table 2, our own model, and models of other packages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgerec.core.errors import ConfigurationError, PluginError
from edgerec.core.plugins import check_own_name, import_subclass, load_plugin, plugin_names
from edgerec.core.text import did_you_mean
from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE, PAGE_VIEW, BehaviourKind

if TYPE_CHECKING:
    from edgerec.layers.encoder import Encoder
    from edgerec.rankers.ranker import Ranker

ENTRY_POINTS = "edgerec.models"
"""The group of entry points by which other packages add models. Each entry point names a `Model`."""

HUBSM = "edgerec.layers.hubsm:BehaviourEncoder"
CRBAN = "edgerec.rankers.crban:Crban"


@dataclass(frozen=True)
class Model:
    """The parts of a model, and its defaults.

    Attributes:
        ranker: `module:Class` of its `Ranker`.
        what: description in one line.
        behaviour_kinds: the kinds of behaviour that the model reads.
        encoder: `module:Class` of the `Encoder` of each kind of behaviour.
        listwise: default weight of the listwise loss, which is added to the cross-entropy.
        small_epochs: default number of epochs for small samples (`model/defaults.py`).
        options: further keyword arguments for `Ranker.create`.
    """

    ranker: str
    what: str
    behaviour_kinds: tuple[BehaviourKind, ...] = ()
    encoder: str = HUBSM
    listwise: float = 0.0
    small_epochs: int = 6
    options: dict[str, Any] = field(default_factory=dict)

    def ranker_class(self) -> type[Ranker]:
        """Import Keras, and return the ranker's class.

        Raises:
            PluginError: `ranker` cannot be imported, or is not a subclass of `Ranker`.
        """
        from edgerec.rankers.ranker import Ranker

        return import_subclass(self.ranker, Ranker)

    def encoder_class(self) -> type[Encoder]:
        """Import Keras, and return the encoder's class.

        Raises:
            PluginError: `encoder` cannot be imported, is not a subclass of `Encoder`, or lacks a method.
        """
        from edgerec.layers.encoder import Encoder, check_methods

        found = import_subclass(self.encoder, Encoder)
        check_methods(found)
        return found


MODELS: dict[str, Model] = {
    "dnn_rank": Model("edgerec.rankers.dnn_rank:DnnRank", "scores each candidate alone, from cloud features"),
    "dlcm": Model("edgerec.rankers.dlcm:Dlcm", "GRU over the list, from cloud features"),
    "crban_ie": Model(CRBAN, "exposures only", (EXPOSURE,)),
    "crban_ipv": Model(CRBAN, "page-views only", (PAGE_VIEW,)),
    "crban_din": Model(
        CRBAN,
        "DIN attention over raw behaviours instead of HUBSM",
        BEHAVIOUR_KINDS,
        encoder="edgerec.layers.din:RawBehaviours",
        options={"din": True},
    ),
    "crban": Model(CRBAN, "the paper's full model", BEHAVIOUR_KINDS),
    "crban_plus": Model(
        "edgerec.rankers.crban_plus:CrbanPlus",
        "exact matches, inputs normalised in the list, self-attention",
        BEHAVIOUR_KINDS,
        listwise=1.0,
        # On ten thousand requests, its validation GAUC was best after three of six epochs.
        small_epochs=4,
    ),
}
"""The models of this package, in the order of Table 2."""

ESAN = "edgerec.rankers.esan:Esan"
MIXED_MODELS: dict[str, Model] = {
    "esan": Model(ESAN, "click rates given the cards around a card", BEHAVIOUR_KINDS),
    "esan_alone": Model(ESAN, "esan without surroundings", BEHAVIOUR_KINDS, options={"around": "none"}),
    "esan_no_behaviour": Model(ESAN, "esan without behaviours"),
    "esan_no_place": Model(ESAN, "esan without the place", BEHAVIOUR_KINDS, options={"place": False}),
    "esan_shuffled": Model(ESAN, "esan with wrong surroundings", BEHAVIOUR_KINDS, options={"around": "shuffled"}),
}
"""The models of mixed feeds: ESAN, and its ablations (`edgerec mix ablate`). The items need the kind of each card."""
_OWN = {**MODELS, **MIXED_MODELS}


def model_names() -> list[str]:
    """Return the names of all installed models. The models of this package come first."""
    return [*_OWN, *sorted(set(plugin_names(ENTRY_POINTS)) - set(_OWN))]


def find_model(name: str) -> Model:
    """Return the model with this name.

    Raises:
        ConfigurationError: there is no such model.
        PluginError: the model's entry point does not name a `Model`, cannot be imported, or has a name that is in use.
    """
    if name in _OWN:
        check_own_name(ENTRY_POINTS, name)
        return _OWN[name]
    model = load_plugin(ENTRY_POINTS, name)
    if model is None:
        raise ConfigurationError(
            f"there is no model {name!r}{did_you_mean(name, model_names())}; there are: {', '.join(model_names())}, "
            "and the models of packages that you install"
        )
    if not isinstance(model, Model):
        raise PluginError(
            f"entry point {name!r} of {ENTRY_POINTS} should be an edgerec.rankers.registry.Model; received {model!r}"
        )
    return model
