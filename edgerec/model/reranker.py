"""The model that is trained as a whole, ``ItemEmbedding -> HUBSM -> ranker``. The export splits it into its parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE, BehaviourKind
from edgerec.features.card_kind import card_kind_feature
from edgerec.features.encoded import FIELDS
from edgerec.features.kinds import Feature
from edgerec.features.spec import FeatureSpec
from edgerec.layers.attention import BehaviourAttention
from edgerec.layers.encoder import Encoder
from edgerec.layers.feature_vector import FeatureVector
from edgerec.layers.gru_stack import GruStack
from edgerec.layers.kernels.form import Kernels
from edgerec.layers.settings import ModelSettings
from edgerec.mixing.surroundings import SPAN
from edgerec.model.plugin_layers import calls, check_result, create, original_errors
from edgerec.rankers.ranker import BehaviourWindow, Ranker, RankInputs, ShownKinds
from edgerec.rankers.registry import find_model

SESSION_HOURS = 0.5
"""An exposure at most this long before a request counts as one of the same session, for the cards before a list."""


@keras.saving.register_keras_serializable("edgerec")
class Reranker(keras.Model):
    """The model that scores the candidates of a request from their features and the user's behaviours (section 3).

    Args:
        spec: the feature specification.
        rows: number of rows of each embedding table, by name of the feature.
        model_name: name of the model in the registry.
        units: width of every recurrent layer, of the attention and of the hidden layer.
        layers: depth of every recurrent stack.
        unknown_rate: see `FeatureVector`.
        gain: scale of the initial weights. GRU kernels: see `GruStack`; embedding tables have the standard deviation
            ``gain / 4``.

    Call arguments:
        inputs: as `edgerec.model.batches.Batch.inputs`.

    Returns:
        logits (batch, s) of the candidates at the positions `inputs["scored"]`. In training, they are those of
        `Ranker.rank_shown`.
    """

    def __init__(
        self,
        spec: FeatureSpec | Mapping[str, Any],
        *,
        rows: Mapping[str, int],
        model_name: str = "crban",
        units: int = 32,
        layers: int = 3,
        unknown_rate: float = 0.0,
        gain: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spec = spec if isinstance(spec, FeatureSpec) else FeatureSpec.model_validate(spec)
        self.rows = dict(rows)
        self.model_name = model_name
        self.units = units
        self.layers_per_stack = layers
        self.unknown_rate = unknown_rate
        self.gain = gain
        model = find_model(model_name)
        self.behaviour_kinds = model.behaviour_kinds
        self.item_embedding = FeatureVector(
            self.spec.item, rows=rows, unknown_rate=unknown_rate, standard_deviation=gain / 4, name="item_embedding"
        )
        for kind in BEHAVIOUR_KINDS:
            name = f"{kind.name}_action"
            setattr(self, name, FeatureVector(self.spec.actions(kind), rows={}, name=name))
        # A model without these groups has no such layers, so that older weights fit.
        self.relations = _layer(self.spec.relations, "relations")
        self.context = _layer(self.spec.context, "context")
        more = [layer for layer in (self.relations, self.context) if layer is not None]
        item_width = self.item_embedding.width
        card_kind = card_kind_feature(self.spec.item)
        self.card_kind_column = None if card_kind is None else card_kind[0]
        self.settings = ModelSettings(
            units=units,
            layers=layers,
            gain=gain,
            behaviour_kinds=self.behaviour_kinds,
            item_width=item_width,
            candidate_width=item_width + sum(layer.width for layer in more),
            number_columns=_number_columns(self.spec),
            identities=1 + len(self.spec.embeddings),
            card_kinds=() if card_kind is None else card_kind[1],
        )
        for kind in self.behaviour_kinds:
            setattr(self, kind.step_model, create(model.encoder_class(), self.settings, name=kind.step_model))
        ranker = model.ranker_class()
        self.ranker = create(ranker, self.settings, name=ranker.layer_name, **model.options)

    def action_of(self, kind: BehaviourKind) -> FeatureVector:
        """Return the layer that computes the action vectors of one kind of behaviour."""
        layer: FeatureVector = getattr(self, f"{kind.name}_action")
        return layer

    def encoder_of(self, kind: BehaviourKind) -> Encoder:
        """Return the layer that encodes one kind of behaviour."""
        encoder: Encoder = getattr(self, kind.step_model)
        return encoder

    def build(self, input_shape: Any = None) -> None:
        item = (None, None, self.item_embedding.width)
        for layer in (self.item_embedding, self.relations, self.context, *map(self.action_of, BEHAVIOUR_KINDS)):
            if layer is not None:
                layer.build()
        for kind in self.behaviour_kinds:
            encoder = self.encoder_of(kind)
            with calls(type(encoder), "build"):
                encoder.build((None, None, self.action_of(kind).width), item)
        with calls(type(self.ranker), "build"):
            self.ranker.build_for(self.settings)
        self.built = True

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        # Otherwise Keras would change the `PluginError` of a ranker.
        with original_errors():
            return super().__call__(*arguments, **options)

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> Any:
        read = self.read(inputs, training=training)
        return self.rank_shown(read, training=True) if training else self.rank(read)

    def in_list(self, inputs: Mapping[str, Any]) -> Any:
        """Return logits (batch, s) given that the candidates are shown in the order of the list."""
        return self.rank_shown(self.read(inputs))

    def read(self, inputs: Mapping[str, Any], *, training: bool = False) -> RankInputs:
        """Return what the ranker reads."""
        shown = None
        if self.ranker.reads_kinds and self.card_kind_column is not None:
            shown = shown_kinds_of(inputs, self.card_kind_column)
        return RankInputs(
            candidates=self._candidates(inputs, training),
            numbers=numbers_of(inputs),
            candidate_length=inputs["candidate_length"],
            scored=inputs["scored"],
            behaviours={kind: self._window(kind, inputs, training) for kind in self.behaviour_kinds},
            shown=shown,
        )

    def _candidates(self, inputs: Mapping[str, Any], training: bool) -> Any:
        """Return the candidate vectors (batch, k, candidate_width)."""
        items = self.item_embedding(**inputs["candidates"], training=training)
        parts = [items]
        if self.relations is not None:
            parts.append(self.relations(**inputs["relations"]))
        if self.context is not None:
            context = self.context(**inputs["context"])
            parts.append(ops.repeat(context[:, None, :], ops.shape(items)[1], axis=1))
        return ops.concatenate(parts, axis=-1) if len(parts) > 1 else items

    def rank(self, inputs: RankInputs) -> Any:
        """Return the ranker's logits (batch, s).

        Raises:
            PluginError: the ranker of another package fails, or returns something else.
        """
        with calls(type(self.ranker), "rank"):
            logits = self.ranker.rank(inputs)
        check_result(self.ranker, "rank", logits, tuple(inputs.scored.shape), "a logit for each scored candidate")
        return logits

    def hidden_and_logits(self, inputs: RankInputs) -> tuple[Any, Any]:
        """Return what the ranker's output layer reads of each candidate, (batch, s, width), and its logits (batch, s).

        Raises:
            ConversionError: the ranker has no hidden layer for patches.
            PluginError: the ranker of another package fails, or returns something else.
        """
        with calls(type(self.ranker), "hidden_and_logits"):
            hidden, logits = self.ranker.hidden_and_logits(inputs)
        shape = tuple(inputs.scored.shape)
        what = "the hidden layer of each scored candidate"
        check_result(self.ranker, "hidden_and_logits", hidden, (*shape, None), what)
        check_result(self.ranker, "hidden_and_logits", logits, shape, "a logit for each scored candidate")
        return hidden, logits

    def rank_shown(self, inputs: RankInputs, *, training: bool = False) -> Any:
        """Return the ranker's logits (batch, s) given that the candidates are shown in the order of the list.

        Raises:
            PluginError: the ranker of another package fails, or returns something else.
        """
        if type(self.ranker).rank_shown is Ranker.rank_shown:
            return self.rank(inputs)  # An error names the method that the ranker defines.
        with calls(type(self.ranker), "rank_shown"):
            logits = self.ranker.rank_shown(inputs, training=training)
        shape = tuple(inputs.scored.shape)
        check_result(self.ranker, "rank_shown", logits, shape, "a logit for each scored candidate")
        return logits

    def reseed(self, seed: int) -> None:
        """Set the seed of everything that is random in training."""
        self.item_embedding.reseed(seed)
        self.ranker.reseed(seed)

    def encode(self, kind: BehaviourKind, action: Any, item: Any) -> Any:
        """Return the encodings (batch, time, 2 * units) of behaviours of one kind.

        Raises:
            PluginError: the encoder of another package fails, or returns something else.
        """
        encoder = self.encoder_of(kind)
        with calls(type(encoder), "call"):
            encoded = encoder(action, item)
        shape = (*action.shape[:2], 2 * self.units)
        check_result(encoder, "call", encoded, shape, "the encodings of the behaviours")
        return encoded

    def _window(self, kind: BehaviourKind, inputs: Mapping[str, Any], training: bool) -> BehaviourWindow:
        """Encode the behaviours of one kind, and gather the window of each request."""
        behaviours = inputs[kind.plural]
        action = self.action_of(kind)(**behaviours["action"])
        item = self.item_embedding(**behaviours["item"], training=training)
        fused = windows_of(self.encode(kind, action, item), behaviours["index"])
        if not self.ranker.reads_matches:
            return BehaviourWindow(fused, behaviours["length"])
        return BehaviourWindow(fused, behaviours["length"], matches_of(inputs, kind), behaviours["age"])

    @contextlib.contextmanager
    def computed_by(self, kernels: Kernels) -> Iterator[None]:
        """Within the block, let `kernels` compute recurrences and attention. The results stay the same.

        A traced function keeps the kernels with which it was traced.
        """
        before = [(layer, layer.kernels) for layer in self._flatten_layers(include_self=False) if _has_kernels(layer)]
        for layer, _ in before:
            layer.kernels = kernels
        try:
            yield
        finally:
            for layer, value in before:
                layer.kernels = value

    def input_signature(self) -> dict[str, Any]:
        """Return the shapes and types of `inputs` for a traced function. Batches of any lengths share one trace."""

        def encoded(
            features: Sequence[Feature], *, leading: tuple[None, ...] = (None, None)
        ) -> dict[str, tf.TensorSpec]:
            widths = _widths(features)
            return {
                "ids": tf.TensorSpec((*leading, widths["ids"]), tf.int32),
                "codes": tf.TensorSpec((*leading, widths["codes"]), tf.uint8),
                "numbers": tf.TensorSpec((*leading, widths["numbers"]), tf.float32),
            }

        length = tf.TensorSpec((None,), tf.int32)
        integers = tf.TensorSpec((None, None), tf.int32)
        item = encoded(self.spec.item)

        def behaviours(kind: BehaviourKind) -> dict[str, Any]:
            return {
                "action": encoded(self.spec.actions(kind)),
                "item": item,
                "row": integers,
                "index": integers,
                "age": tf.TensorSpec((None, None), tf.float32),
                "length": length,
            }

        return {
            "candidates": item,
            "relations": encoded(self.spec.relations),
            "context": encoded(self.spec.context, leading=(None,)),
            "candidate_row": integers,
            "scored": integers,
            "candidate_length": length,
            **{kind.plural: behaviours(kind) for kind in BEHAVIOUR_KINDS},
        }

    def get_config(self) -> dict[str, Any]:
        return {
            "spec": self.spec.model_dump(mode="json"),
            "rows": self.rows,
            "model_name": self.model_name,
            "units": self.units,
            "layers": self.layers_per_stack,
            "unknown_rate": self.unknown_rate,
            "gain": self.gain,
        }


def _number_columns(spec: FeatureSpec) -> tuple[int, ...]:
    """Return the columns of the raw features of items and relations in a candidate vector."""
    features = (*spec.item, *spec.relations)
    starts = np.cumsum([0, *(feature.width for feature in features)])
    return tuple(int(start) for start, feature in zip(starts, features, strict=False) if feature.field == "numbers")


def numbers_of(inputs: Mapping[str, Any]) -> Any:
    """Return the raw features (batch, k, numbers) of the candidates and of their relations."""
    return ops.concatenate([inputs["candidates"]["numbers"], inputs["relations"]["numbers"]], axis=-1)


def _has_kernels(layer: Any) -> bool:
    return isinstance(layer, (GruStack, BehaviourAttention))


def _layer(features: Sequence[Feature], name: str) -> FeatureVector | None:
    return FeatureVector(features, rows={}, name=name) if features else None


def _widths(features: Sequence[Feature]) -> dict[str, int]:
    """Return the number of columns of each array of the encoded `features`."""
    return {field: sum(feature.field == field for feature in features) for field in FIELDS}


def windows_of(segments: Any, index: Any) -> Any:
    """Return the window of each request, (batch, time, ...), from the shared segments (segments, steps, ...)."""
    flat = ops.reshape(segments, (-1, *ops.shape(segments)[2:]))
    return ops.take(flat, index, axis=0)


def matches_of(inputs: Mapping[str, Any], kind: BehaviourKind) -> Any:
    """Return exact matches (batch, identities, k, time) float32: 1 if candidate and behaviour have the same ID, else 0.

    The first ID is the item's own, the others are those of the embedding features. Unknown IDs (row 0) never match,
    because two unknown IDs need not be the same.
    """
    behaviours = inputs[kind.plural]
    index = behaviours["index"]
    valid = (ops.arange(ops.shape(index)[1])[None, :] < behaviours["length"][:, None])[:, None, :]
    pairs = [(inputs["candidate_row"], behaviours["row"], valid)]
    ids = inputs["candidates"]["ids"]
    for column in range(ids.shape[-1]):
        known = ids[..., column] > 0
        pairs.append((ids[..., column], behaviours["item"]["ids"][..., column], valid & known[:, :, None]))
    matches = [
        (candidate[:, :, None] == windows_of(behaviour, index)[:, None, :]) & allowed
        for candidate, behaviour, allowed in pairs
    ]
    return ops.cast(ops.stack(matches, axis=1), "float32")


def shown_kinds_of(inputs: Mapping[str, Any], column: int) -> ShownKinds:
    """Return the kinds of the cards of each list, and of the exposures of the last `SESSION_HOURS` before it.

    `column` is the column of the codes that has the kind of a card.
    """
    exposures = inputs[EXPOSURE.plural]
    kinds = ops.cast(windows_of(exposures["item"]["codes"][..., column], exposures["index"]), "int32")
    age, length = exposures["age"], exposures["length"][:, None]
    recent = (ops.arange(ops.shape(kinds)[1])[None, :] < length) & (age <= SESSION_HOURS)
    kinds = ops.where(recent, kinds, -1)
    # The last behaviour of a window is at `length - 1`.
    index = length - SPAN + ops.arange(SPAN)[None, :]
    latest = ops.take_along_axis(kinds, ops.maximum(index, 0), axis=1)
    return ShownKinds(
        codes=ops.cast(inputs["candidates"]["codes"][..., column], "int32"),
        seen=ops.where(index >= 0, latest, -1),
        seen_count=ops.sum(ops.cast(recent, "int32"), axis=1),
    )
