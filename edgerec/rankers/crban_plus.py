"""CRBAN+, our own model: exact matches of candidates with behaviours, inputs normalised in the list, self-attention.

Attention over embeddings cannot recognise an ID that is not in the training data, and in many feeds most items of
tomorrow are new. But the device knows whether the same item, brand or category was exposed or opened before, how often,
and how long ago. The model needs no embedding table for this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind
from edgerec.layers.attention import BehaviourAttention
from edgerec.layers.device_weights import array, dense_weights
from edgerec.layers.list_context import ListAttention, ListNormalisation, at_positions
from edgerec.layers.settings import ModelSettings
from edgerec.rankers.ranker import Ranker, RankInputs

if TYPE_CHECKING:
    from edgerec.rankers.crban_plus_graph import CrbanPlusWeights

HALF_LIVES_H = (1 / 12, 1.0, 24.0)
"""Ages in hours at which a match counts half. They separate matches of the last minutes, hours and days."""
SIGNALS = 2 + len(HALF_LIVES_H)
"""Number of signals that describe the matches of one ID with one kind of behaviour."""


def match_signals(match: Any, age: Any, length: Any) -> Any:
    """Return signals that show how often, and how recently, the ID of a candidate was seen before.

    Args:
        match: (batch, k, time), 1 if candidate and behaviour have the same ID, else 0.
        age: (batch, time), hours from behaviour to request.
        length: (batch,), number of valid behaviours.

    Returns:
        (batch, k, SIGNALS). The signals are ``log(1 + number of matches)``, ``1 / (1 + behaviours since the last
        match)``, and for each of `HALF_LIVES_H`, ``1 / (1 + age of the last match / half-life)``. If there is no match,
        all signals are 0.
    """
    steps = ops.cast(length, "float32")[:, None] - 1.0 - ops.arange(ops.shape(match)[2], dtype="float32")[None, :]
    recent = [1.0 / (1.0 + ops.maximum(steps, 0.0)), *(1.0 / (1.0 + age / half_life) for half_life in HALF_LIVES_H)]
    signals = [ops.log1p(ops.sum(match, axis=2)), *(ops.max(match * each[:, None, :], axis=2) for each in recent)]
    return ops.stack(signals, axis=-1)


def all_match_signals(matches: Mapping[str, tuple[Any, Any]], lengths: Mapping[str, Any]) -> Any:
    """Return the `match_signals` of all ID features and kinds of behaviour, concatenated. Shape (batch, k, signals).

    Args:
        matches: for each kind, the matches (batch, identities, k, time), 0 or 1, and the ages (batch, time) in hours.
        lengths: for each kind, the number of valid behaviours (batch,).
    """
    return ops.concatenate(
        [
            match_signals(match[:, identity], age, lengths[kind])
            for kind, (match, age) in matches.items()
            for identity in range(match.shape[1])
        ],
        axis=-1,
    )


@keras.saving.register_keras_serializable("edgerec")
class CrbanPlus(Ranker):
    """CRBAN with exact matches, inputs normalised in the list, and self-attention as the encoder of the list.

    The features of a candidate x are ``w = [x, matches, normalised numbers and matches]``. They are encoded in the
    list, ``c = ListAttention(Dense(w))``. `BehaviourAttention` computes the contexts. Its query is c, and each ID that
    matches adds a trained bias to the score. Then ``logit = MLP([c, w, contexts])``.

    The keys of the behaviours do not depend on the candidates, so the device still computes each behaviour only once.

    Args:
        identities: number of IDs that can match between a candidate and a behaviour: the item's own ID and the ID of
            each embedding feature.
        units: width of candidate encoding, attention and hidden layer.
        blocks: number of `ListAttention` blocks.
        heads: number of attention heads of each block.

    Call arguments:
        candidates: (batch, k, item_dim).
        numbers: (batch, k, numbers), the raw features of the candidates.
        candidate_length: (batch,) int32, at least 1.
        scored: (batch, s) int32, positions of the candidates to score; the others are context.
        behaviours: for each kind, the fused encodings (batch, time, 2 * units), and the number of valid ones (batch,)
            int32.
        matches: for each kind, the matches (batch, identities, k, time), 0 or 1, and the ages (batch, time) in hours.

    Returns:
        logits (batch, s).

    Example:
        >>> import numpy as np
        >>> from edgerec.layers import CrbanPlus
        >>> candidates = np.random.normal(size=(2, 10, 12)).astype("float32")
        >>> scored = np.tile(np.arange(10), (2, 1))
        >>> encodings = np.random.normal(size=(2, 50, 16)).astype("float32")
        >>> same_item = np.random.randint(2, size=(2, 1, 10, 50)).astype("float32")
        >>> hours = np.random.uniform(size=(2, 50)).astype("float32")
        >>> behaviours = dict.fromkeys(["exposures", "page_views"], (encodings, np.array([50, 7], "int32")))
        >>> matches = dict.fromkeys(["exposures", "page_views"], (same_item, hours))
        >>> layer = CrbanPlus(identities=1, units=8, blocks=1)
        >>> logits = layer(candidates, candidates[..., :3], np.array([10, 4], "int32"), scored, behaviours, matches)
        >>> tuple(logits.shape)
        (2, 10)
    """

    layer_name = "crban_plus"
    reads_matches = True

    def __init__(self, identities: int, units: int = 32, *, blocks: int = 2, heads: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.identities = identities
        self.units = units
        self.blocks = blocks
        self.heads = heads
        self.normalise = ListNormalisation(name="normalise")
        self.embed = keras.layers.Dense(units, name="embed")
        self.encoder = [ListAttention(units, heads, name=f"block_{i}") for i in range(blocks)]
        for kind in BEHAVIOUR_KINDS:
            setattr(self, f"{kind.name}_attention", BehaviourAttention(units, name=f"{kind.name}_attention"))
        self.hidden = keras.layers.Dense(2 * units, activation="relu", name="hidden")
        self.second_hidden = keras.layers.Dense(units, activation="relu", name="second_hidden")
        self.output_layer = keras.layers.Dense(1, name="output")

    def attention_of(self, kind: BehaviourKind) -> BehaviourAttention:
        """Return the attention over one kind of behaviour."""
        layer: BehaviourAttention = getattr(self, f"{kind.name}_attention")
        return layer

    def build(self, candidates_shape: Any, numbers_shape: Any, *rest: Any, **named: Any) -> None:
        batch, k, width = candidates_shape
        signals = len(BEHAVIOUR_KINDS) * self.identities * SIGNALS
        features = width + signals + signals + numbers_shape[-1]
        self.match_bias = self.add_weight(
            shape=(len(BEHAVIOUR_KINDS), self.identities), initializer="ones", name="match_bias"
        )
        self.embed.build((batch, k, features))
        for block in self.encoder:
            block.build((batch, k, self.units))
        for kind in BEHAVIOUR_KINDS:
            self.attention_of(kind).build((batch, k, self.units), (batch, None, self.units))
        self.hidden.build((batch, k, features + 5 * self.units))
        self.second_hidden.build((batch, k, 2 * self.units))
        self.output_layer.build((batch, k, self.units))
        self.built = True

    def call(
        self,
        candidates: Any,
        numbers: Any,
        candidate_length: Any,
        scored: Any,
        behaviours: Mapping[str, tuple[Any, Any]],
        matches: Mapping[str, tuple[Any, Any]],
    ) -> Any:
        return self._logits(self._last_hidden(candidates, numbers, candidate_length, scored, behaviours, matches))

    def _last_hidden(
        self,
        candidates: Any,
        numbers: Any,
        candidate_length: Any,
        scored: Any,
        behaviours: Mapping[str, tuple[Any, Any]],
        matches: Mapping[str, tuple[Any, Any]],
    ) -> Any:
        """Return what the output layer reads, (batch, s, units)."""
        signals = all_match_signals(matches, {kind: length for kind, (_, length) in behaviours.items()})
        normalised = self.normalise(ops.concatenate([numbers, signals], axis=-1), candidate_length)
        features = ops.concatenate([candidates, signals, normalised], axis=-1)
        encoded = self.embed(features)
        for block in self.encoder:
            encoded = block(encoded, candidate_length)
        encoded, features = at_positions(encoded, scored), at_positions(features, scored)
        parts = [encoded, features]
        for index, kind in enumerate(BEHAVIOUR_KINDS):
            fused, length = behaviours[kind.plural]
            bias = at_positions(ops.einsum("bfij,f->bij", matches[kind.plural][0], self.match_bias[index]), scored)
            parts.append(self.attention_of(kind)(encoded, fused[..., : self.units], fused, length, bias))
        return self.second_hidden(self.hidden(ops.concatenate(parts, axis=-1)))

    def _logits(self, hidden: Any) -> Any:
        return self.output_layer(hidden)[..., 0]

    @classmethod
    def create(cls, settings: ModelSettings, *, name: str) -> CrbanPlus:
        heads = 1 if settings.units % 2 else 2
        return cls(settings.identities, settings.units, heads=heads, name=name)

    def build_for(self, settings: ModelSettings) -> None:
        self.build((None, None, settings.candidate_width), (None, None, len(settings.number_columns)))

    def rank(self, inputs: RankInputs) -> Any:
        return self(*_arguments(inputs))

    def hidden_and_logits(self, inputs: RankInputs) -> tuple[Any, Any]:
        hidden = self._last_hidden(*_arguments(inputs))
        return hidden, self._logits(hidden)

    def device_graph(self, settings: ModelSettings) -> CrbanPlusWeights:
        from edgerec.rankers.crban_plus_graph import CrbanPlusWeights

        return CrbanPlusWeights(
            number_columns=settings.number_columns,
            embed=dense_weights(self.embed),
            blocks=tuple(block.device_weights() for block in self.encoder),
            attentions={kind: self.attention_of(kind).device_weights() for kind in BEHAVIOUR_KINDS},
            match_bias=array(self.match_bias),
            hidden=dense_weights(self.hidden),
            second_hidden=dense_weights(self.second_hidden),
            output=dense_weights(self.output_layer),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "identities": self.identities,
            "units": self.units,
            "blocks": self.blocks,
            "heads": self.heads,
        }


def _arguments(inputs: RankInputs) -> tuple[Any, ...]:
    """Return the call arguments."""
    windows = {kind.plural: window for kind, window in inputs.behaviours.items()}
    behaviours = {kind: (window.fused, window.length) for kind, window in windows.items()}
    matches = {kind: (window.match, window.age) for kind, window in windows.items()}
    return inputs.candidates, inputs.numbers, inputs.candidate_length, inputs.scored, behaviours, matches
