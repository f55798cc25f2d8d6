"""The sizes that the layers of one model share."""

from __future__ import annotations

from dataclasses import dataclass

from edgerec.features.behaviours import BehaviourKind


@dataclass(frozen=True)
class ModelSettings:
    """The sizes of a model, from which its encoders and its ranker are made.

    Attributes:
        units: width of every recurrent layer, of the attention and of the hidden layer.
        layers: depth of every recurrent stack.
        gain: scale of initial weights, see `GruStack`.
        behaviour_kinds: the kinds of behaviour that the ranker reads.
        item_width: width of an item vector.
        number_columns: columns of the raw features in an item vector.
        identities: in how many ways a candidate and a behaviour can match: as the same item, and by each embedding.
    """

    units: int
    layers: int
    gain: float
    behaviour_kinds: tuple[BehaviourKind, ...]
    item_width: int
    number_columns: tuple[int, ...]
    identities: int
