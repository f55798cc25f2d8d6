"""The settings that the layers of one model share."""

from __future__ import annotations

from dataclasses import dataclass

from edgerec.features.behaviours import BehaviourKind


@dataclass(frozen=True)
class ModelSettings:
    """The settings from which a model creates its encoders and its ranker.

    Attributes:
        units: width of every recurrent layer, of the attention and of the hidden layer.
        layers: depth of every recurrent stack.
        gain: scale of the initial weights, see `GruStack`.
        behaviour_kinds: the kinds of behaviour that the ranker reads.
        item_width: width of an item vector.
        candidate_width: width of a candidate vector: its item vector, then its relations, then the context.
        number_columns: columns of the raw features of items and relations in a candidate vector.
        identities: number of IDs that can match exactly between a candidate and a behaviour: the item's own ID and the
            ID of each embedding feature.
        card_kinds: the kinds of cards, if the items have a `one_hot` feature of the column `card_kind`.
    """

    units: int
    layers: int
    gain: float
    behaviour_kinds: tuple[BehaviourKind, ...]
    item_width: int
    candidate_width: int
    number_columns: tuple[int, ...]
    identities: int
    card_kinds: tuple[str, ...] = ()
