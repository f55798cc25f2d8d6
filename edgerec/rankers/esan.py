"""ESAN, the surrounding-aware network: click rates of cards given the cards around them (docs/mixing.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from edgerec.core.errors import ConfigurationError, ConversionError
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind
from edgerec.features.card_kind import CARD_KIND
from edgerec.layers.attention import BehaviourAttention
from edgerec.layers.device_weights import array, dense_weights
from edgerec.layers.list_context import at_positions
from edgerec.layers.settings import ModelSettings
from edgerec.mixing.surroundings import PLACES, SPAN, rows_of
from edgerec.rankers.ranker import Ranker, RankInputs, ShownKinds

if TYPE_CHECKING:
    from edgerec.mixing.head import SurroundingsHead
    from edgerec.rankers.esan_graph import EsanWeights

AROUND = ("full", "none", "shuffled")
ALL_UNKNOWN, KINDS_ONLY, NEXT_UNKNOWN = 0.15, 0.15, 0.3
"""In training, the surroundings of this share of the lists are unknown; of this share only the kind of the card before
and the place are known; and in this share of the other lists the card after is unknown. A device meets all these cases:
relevance, the first choice of a solver, and the last card of a plan."""


@dataclass(frozen=True)
class _Around:
    """What is known of the surroundings of the scored cards. See `edgerec.mixing.surroundings.Surroundings`.

    Attributes:
        own: (batch, s) int32, the code of the card's kind.
        rows: the rows (batch, s) int32 of `previous`, `following`, `distance` and `count`; 0 is unknown.
        before: (batch, s, units), the vector `before` of the card before; zero if it is unknown.
        after: (batch, s, units), the vector `after` of the card after; zero if it is unknown.
        place: (batch, s) int32, the row of the place; 0 is unknown.
    """

    own: Any
    rows: Mapping[str, Any]
    before: Any
    after: Any
    place: Any


@keras.saving.register_keras_serializable("edgerec")
class Esan(Ranker):
    """ESAN. It scores a card from the card, similar behaviours of the user, the cards around it, and its place.

    ``q_i = relu(Dense(x_i))`` is the query of an attention over exposures and of another over page-views. Then, for the
    card i at a place, between the cards p and n:

        own_i = W [q_i, context_ie, context_ipv] + b
        hidden = own_i + P q_p + N q_n + previous[kind_i, kind_p] + following[kind_i, kind_n]
               + distance[kind_i, places since the last card of kind_i]
               + count[kind_i, cards of kind_i among the last SPAN]
        logit = w . relu(hidden) + c + place

    What is unknown adds nothing. So relevance, the logit without surroundings and place, is ``w . relu(own_i) + c``.

    Args:
        card_kinds: the kinds of cards; their codes are 1, 2, ...
        units: width of query, attention and hidden layer.
        kinds: the kinds of behaviour that the layer reads: `exposures`, `page_views`, both or none.
        around: `full`; `none` for no surroundings; `shuffled` for the surroundings of other cards of the batch.
        place: whether the logit depends on the place.

    Call arguments:
        candidates: (batch, k, item_dim).
        candidate_length: (batch,) int32, at least 1.
        scored: (batch, s) int32, positions of the candidates to score.
        behaviours: for each kind, the fused encodings (batch, time, 2 * units), and the number of valid ones (batch,)
            int32.
        shown: the kinds of the cards in the order shown; None for relevance.
        training: whether some surroundings are left out at random.

    Returns:
        logits (batch, s) float32.

    Example:
        >>> import numpy as np
        >>> from edgerec.layers import Esan
        >>> candidates = np.random.normal(size=(2, 10, 12)).astype("float32")
        >>> scored = np.tile(np.arange(10), (2, 1))
        >>> encodings = np.random.normal(size=(2, 50, 16)).astype("float32")
        >>> behaviours = {"exposures": (encodings, np.array([50, 7], "int32"))}
        >>> layer = Esan(["product", "ad"], units=8, kinds=["exposures"])
        >>> tuple(layer(candidates, np.array([10, 4], "int32"), scored, behaviours).shape)
        (2, 10)

    Source: the idea of ESAN is from the EdgeRec article; the form is our own, so that a device can try many orders.
    """

    layer_name = "esan"
    reads_kinds = True

    def __init__(
        self,
        card_kinds: Sequence[str],
        units: int = 32,
        *,
        kinds: Sequence[str] = ("exposures", "page_views"),
        around: str = "full",
        place: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        known = {kind.plural: kind for kind in BEHAVIOUR_KINDS}
        unknown = [kind for kind in kinds if kind not in known]
        if unknown:
            raise ValueError(f"`kinds` should name {', '.join(known)} or nothing. Received: {list(kinds)}")
        if around not in AROUND:
            raise ValueError(f"`around` should be one of {', '.join(AROUND)}. Received: {around!r}")
        if not card_kinds:
            raise ValueError("`card_kinds` should have at least one kind. Received: none")
        self.card_kinds = tuple(card_kinds)
        self.units = units
        self.kinds = tuple(known[kind] for kind in kinds)
        self.around = around
        self.place = place
        self.query = keras.layers.Dense(units, activation="relu", name="query")
        for kind in self.kinds:
            setattr(self, f"{kind.name}_attention", BehaviourAttention(units, name=f"{kind.name}_attention"))
        self.hidden = keras.layers.Dense(units, name="hidden")
        self.before = keras.layers.Dense(units, use_bias=False, name="before")
        self.after = keras.layers.Dense(units, use_bias=False, name="after")
        self.output_layer = keras.layers.Dense(1, name="output")
        self.tables: dict[str, Any] = {}
        self._seeds = keras.random.SeedGenerator()

    @property
    def codes(self) -> int:
        """Number of codes of kinds, code 0 included."""
        return len(self.card_kinds) + 1

    def attention_of(self, kind: BehaviourKind) -> BehaviourAttention:
        """Return the attention over one kind of behaviour."""
        layer: BehaviourAttention = getattr(self, f"{kind.name}_attention")
        return layer

    def build(self, candidates_shape: Any, *rest: Any, **named: Any) -> None:
        batch, k = candidates_shape[:2]
        encoded = (batch, k, self.units)
        self.query.build(candidates_shape)
        for kind in self.kinds:
            self.attention_of(kind).build(encoded, (batch, None, self.units))
        self.hidden.build((batch, k, (1 + 2 * len(self.kinds)) * self.units))
        self.output_layer.build(encoded)
        if self.around != "none":
            self.before.build(encoded)
            self.after.build(encoded)
            # Row 0 (unknown) is always zero, so it is no weight.
            self.tables = {
                name: self.add_weight(shape=(self.codes * (rows - 1), self.units), initializer="zeros", name=name)
                for name, rows in rows_of(self.codes).items()
            }
        if self.place:
            self.place_table = self.add_weight(shape=(PLACES, 1), initializer="zeros", name="place")
        self.built = True

    def call(
        self,
        candidates: Any,
        candidate_length: Any,
        scored: Any,
        behaviours: Mapping[str, tuple[Any, Any]],
        shown: ShownKinds | None = None,
        training: bool = False,
    ) -> Any:
        encoded = self.query(candidates)
        hidden = self._own(at_positions(encoded, scored), behaviours)
        if shown is None:
            return self._logits(ops.relu(hidden))
        around = self._around(encoded, candidate_length, scored, shown)
        if training:
            around = self._with_unknowns(around)
        if self.around == "shuffled":
            around = self._shuffled(around, training)
        if self.around != "none":
            hidden += around.before + around.after
            for name, rows in around.rows.items():
                hidden += self._look_up(name, around.own, rows)
        logits = self._logits(ops.relu(hidden))
        if self.place:
            logits += ops.matmul(ops.one_hot(around.place - 1, PLACES, dtype="float32"), self.place_table)[..., 0]
        return logits

    def _logits(self, hidden: Any) -> Any:
        return self.output_layer(hidden)[..., 0]

    def _look_up(self, name: str, own: Any, rows: Any) -> Any:
        """Return the rows (batch, s, units) of a table. A row of 0 is zero."""
        learnt = rows_of(self.codes)[name] - 1
        index = ops.where(rows > 0, own * learnt + rows - 1, -1)
        # A product with one-hot rows has a cheaper gradient than a gather. The one-hot row of -1 is zero.
        return ops.matmul(ops.one_hot(index, self.codes * learnt, dtype="float32"), self.tables[name])

    def _around(self, encoded: Any, length: Any, scored: Any, shown: ShownKinds) -> _Around:
        """Return the surroundings of the scored cards in the order of the list."""
        line = ops.concatenate([shown.seen, shown.codes], axis=1)

        def kinds_at(index: Any) -> Any:
            last = ops.shape(line)[1] - 1
            flat = ops.reshape(ops.minimum(index, last), (ops.shape(index)[0], -1))
            return ops.reshape(ops.take_along_axis(line, flat, axis=1), ops.shape(index))

        scored = ops.cast(scored, "int32")
        own = kinds_at(scored + SPAN)
        window = kinds_at(scored[..., None] + ops.arange(SPAN))
        same = window == own[..., None]
        distance = ops.min(ops.where(same, SPAN - ops.arange(SPAN), SPAN + 1), axis=-1)
        before = window[..., -1]
        has_next = scored + 1 < ops.cast(length, "int32")[:, None]
        rows = {
            "previous": ops.where(before < 0, 1, 2 + before),
            "following": ops.where(has_next, 1 + kinds_at(scored + SPAN + 1), 0),
            "distance": distance,
            "count": 1 + ops.sum(ops.cast(same, "int32"), axis=-1),
        }
        place = 1 + ops.minimum(shown.seen_count[:, None] + scored, PLACES - 1)
        if self.around == "none":
            return _Around(own, {}, None, None, place)
        # `at_positions` returns zeros for the position -1.
        before_vector = self.before(at_positions(encoded, scored - 1))
        after_vector = self.after(at_positions(encoded, ops.where(has_next, scored + 1, -1)))
        return _Around(own, rows, before_vector, after_vector, place)

    def _with_unknowns(self, around: _Around) -> _Around:
        """Return the surroundings with some of them unknown, see `ALL_UNKNOWN`."""
        shape = (ops.shape(around.place)[0], 1)
        kind, after = (keras.random.uniform(shape, seed=self._seeds) for _ in range(2))
        some = kind >= ALL_UNKNOWN
        more = kind >= ALL_UNKNOWN + KINDS_ONLY
        known = {"previous": some, "following": more & (after >= NEXT_UNKNOWN), "distance": more, "count": more}
        place = ops.where(some, around.place, 0)
        if self.around == "none":
            return replace(around, place=place)
        return replace(
            around,
            rows={name: ops.where(known[name], rows, 0) for name, rows in around.rows.items()},
            before=around.before * ops.cast(more, "float32")[..., None],
            after=around.after * ops.cast(known["following"], "float32")[..., None],
            place=place,
        )

    def _shuffled(self, around: _Around, training: bool) -> _Around:
        """Return the surroundings of other cards of the batch. The kind of the card itself and its place stay."""
        count = ops.shape(around.place)[0] * ops.shape(around.place)[1]
        order = keras.random.shuffle(ops.arange(count), seed=self._seeds if training else 1)

        def shuffled(each: Any) -> Any:
            rest = tuple(each.shape[2:])
            return ops.reshape(ops.take(ops.reshape(each, (-1, *rest)), order, axis=0), ops.shape(each))

        return replace(
            around,
            rows={name: shuffled(rows) for name, rows in around.rows.items()},
            before=shuffled(around.before),
            after=shuffled(around.after),
        )

    @classmethod
    def create(cls, settings: ModelSettings, *, name: str, around: str = "full", place: bool = True) -> Esan:
        """Create the ranker.

        Raises:
            ConfigurationError: the items have no kind of card.
        """
        if not settings.card_kinds:
            raise ConfigurationError(
                f"ESAN reads the kind of each card: the feature specification should have an item feature of the kind "
                f"one_hot with the source {CARD_KIND!r} (docs/mixing.md)"
            )
        kinds = [kind.plural for kind in settings.behaviour_kinds]
        return cls(settings.card_kinds, settings.units, kinds=kinds, around=around, place=place, name=name)

    def rank(self, inputs: RankInputs) -> Any:
        return self._rank(inputs)

    def rank_shown(self, inputs: RankInputs, *, training: bool = False) -> Any:
        return self._rank(inputs, inputs.shown, training=training)

    def hidden_and_logits(self, inputs: RankInputs) -> tuple[Any, Any]:
        """Return ``relu(own)`` and relevance, both without surroundings and place."""
        encoded = self.query(inputs.candidates)
        hidden = ops.relu(self._own(at_positions(encoded, inputs.scored), _behaviours(inputs)))
        return hidden, self._logits(hidden)

    def _rank(self, inputs: RankInputs, shown: ShownKinds | None = None, *, training: bool = False) -> Any:
        lists = inputs.candidates, inputs.candidate_length, inputs.scored
        return self(*lists, _behaviours(inputs), shown=shown, training=training)

    def card_vectors(self, inputs: RankInputs) -> tuple[Any, Any, Any]:
        """Return the vectors `own`, `before` and `after` of the scored candidates, (batch, s, units) each.

        They are those of `edgerec.mixing.head.CardVectors`, which the device graph computes.
        """
        encoded = at_positions(self.query(inputs.candidates), inputs.scored)
        own = self._own(encoded, _behaviours(inputs))
        if self.around == "none":
            return own, ops.zeros_like(encoded), ops.zeros_like(encoded)
        return own, self.before(encoded), self.after(encoded)

    def _own(self, encoded: Any, behaviours: Mapping[str, tuple[Any, Any]]) -> Any:
        """Return the hidden layer (batch, s, units) of cards before its activation, without surroundings."""
        parts = [encoded]
        for kind in self.kinds:
            fused, length = behaviours[kind.plural]
            parts.append(self.attention_of(kind)(encoded, fused[..., : self.units], fused, length))
        return self.hidden(ops.concatenate(parts, axis=-1))

    def reseed(self, seed: int) -> None:
        self._seeds.state.assign([seed, 1])

    def surroundings(self, settings: ModelSettings) -> SurroundingsHead:
        from edgerec.mixing.head import SurroundingsHead

        tables = {}
        for name, rows in rows_of(self.codes).items():
            tables[name] = np.zeros((self.codes, rows, self.units), np.float32)
            if name in self.tables:
                tables[name][:, 1:] = array(self.tables[name]).reshape(self.codes, rows - 1, self.units)
        place = np.zeros(PLACES + 1, np.float32)
        if self.place:
            place[1:] = array(self.place_table)[:, 0]
        output = dense_weights(self.output_layer)
        return SurroundingsHead(self.card_kinds, **tables, place=place, output=output.kernel[:, 0], bias=output.bias)

    def device_graph(self, settings: ModelSettings) -> EsanWeights:
        """Return the trained weights for the device.

        Raises:
            ConversionError: the model was trained with the surroundings of other cards.
        """
        if self.around == "shuffled":
            raise ConversionError(
                "esan_shuffled was trained with wrong surroundings, to show that right ones matter; it is not for "
                "devices: export a run of the model esan"
            )
        from edgerec.rankers.esan_graph import EsanWeights

        nothing = np.zeros((self.units, self.units), np.float32)
        none = self.around == "none"
        return EsanWeights(
            query=dense_weights(self.query),
            attentions={kind: self.attention_of(kind).device_weights() for kind in self.kinds},
            hidden=dense_weights(self.hidden),
            before=nothing if none else array(self.before.kernel),
            after=nothing if none else array(self.after.kernel),
            output=dense_weights(self.output_layer),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "card_kinds": list(self.card_kinds),
            "units": self.units,
            "kinds": [kind.plural for kind in self.kinds],
            "around": self.around,
            "place": self.place,
        }


def _behaviours(inputs: RankInputs) -> dict[str, tuple[Any, Any]]:
    """Return the call argument `behaviours`."""
    return {kind.plural: (window.fused, window.length) for kind, window in inputs.behaviours.items()}
