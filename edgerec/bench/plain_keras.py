"""The plain Keras model of `edgerec bench train`: HUBSM and CRBAN in the Keras functional API.

Requests do not share behaviours: each request has a copy of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from edgerec.core.errors import ConfigurationError
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.encoded import FIELDS
from edgerec.features.kinds import Feature
from edgerec.model.batches import Batch
from edgerec.model.reranker import Reranker


def plain_model(model: Reranker, *, learning_rate: float, clip_norm: float) -> keras.Model:
    """Return a compiled Keras model that computes the same function as `model` (a `crban`) with the same weights.

    `plain_inputs` makes its inputs. The loss is the weighted sum of the cross-entropies of the candidates, so the
    weights should sum to 1.
    """
    spec, units, depth = model.spec, model.units, model.layers_per_stack
    if spec.relations or spec.context:
        raise ConfigurationError(
            "bench train: the plain model reads no relations and no context: measure on samples without them"
        )
    tables = {
        feature.name: layers.Embedding(model.rows[feature.name], feature.dimension, name=f"table_{feature.name}")
        for feature in spec.embeddings
    }
    inputs: dict[str, Any] = {}

    def sequence(name: str, features: Sequence[Feature]) -> Any:
        counts = {field: sum(feature.field == field for feature in features) for field in FIELDS}
        arrays = {
            field: layers.Input((None, counts[field]), dtype=dtype, name=f"{name}_{field}")
            for field, dtype in (("ids", "int32"), ("codes", "int32"), ("numbers", "float32"))
        }
        inputs.update({f"{name}_{field}": array for field, array in arrays.items()})
        parts, next_columns = [], dict.fromkeys(FIELDS, 0)
        for feature in features:
            column = arrays[feature.field][..., next_columns[feature.field]]
            next_columns[feature.field] += 1
            if feature.has_table:
                parts.append(tables[feature.name](column))
            elif feature.layout == "one_hot":
                parts.append(ops.one_hot(column, feature.width, dtype="float32"))
            else:
                parts.append(ops.cast(column, "float32")[..., None])
        return layers.Concatenate()(parts) if len(parts) > 1 else parts[0]

    def stack(sequence_: Any, name: str) -> Any:
        for layer in range(depth):
            sequence_ = layers.GRU(units, return_sequences=True, name=f"{name}_{layer}")(sequence_)
        return sequence_

    encoded = stack(sequence("candidates", spec.item), "candidate")
    last = layers.Input((), dtype="int32", name="candidate_length")
    inputs["candidate_length"] = last
    parts = [encoded, layers.Lambda(_last, output_shape=(None, units), name="context")([encoded, last])]
    for behaviour_kind in BEHAVIOUR_KINDS:
        kind, actions = behaviour_kind.plural, spec.actions(behaviour_kind)
        length = layers.Input((), dtype="int32", name=f"{kind}_length")
        inputs[f"{kind}_length"] = length
        item = stack(sequence(f"{kind}_item", spec.item), f"{kind}_item")
        fused = layers.Concatenate()([item, stack(sequence(f"{kind}_action", actions), f"{kind}_action")])
        query = layers.Dense(units, name=f"{kind}_query")(encoded)
        key = layers.Dense(units, use_bias=False, name=f"{kind}_key")(item)
        pairs = ops.tanh(query[:, :, None, :] + key[:, None, :, :])
        score = layers.Dense(1, use_bias=False, name=f"{kind}_scale")(pairs)[..., 0]
        parts.append(
            layers.Lambda(_attend, output_shape=(None, 2 * units), name=f"{kind}_attend")([score, fused, length])
        )
    hidden = layers.Dense(units, activation="relu", name="hidden")(layers.Concatenate()(parts))
    plain = keras.Model(inputs, layers.Dense(1, name="output")(hidden))
    _copy(model, plain)
    plain.compile(
        optimizer=keras.optimizers.Adam(learning_rate, global_clipnorm=clip_norm),
        loss=keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum"),
        # Nearly every batch has a new shape, so compilation by XLA would take longer than it saves.
        jit_compile=False,
    )
    return plain


def plain_inputs(batch: Batch) -> tuple[dict[str, Any], Any, Any]:
    """Return the inputs, labels and weights of a batch. Each request gets its own copy of its behaviours."""
    inputs: dict[str, Any] = {}
    for name, group in [
        ("candidates", batch.inputs["candidates"]),
        *(
            (f"{kind.plural}_{part}", _windows(batch, kind.plural, part))
            for kind in BEHAVIOUR_KINDS
            for part in ("item", "action")
        ),
    ]:
        inputs |= {f"{name}_{field}": array for field, array in group.items()}
        inputs[f"{name}_codes"] = inputs[f"{name}_codes"].astype(np.int32)
    inputs["candidate_length"] = batch.inputs["candidate_length"]
    for kind in BEHAVIOUR_KINDS:
        inputs[f"{kind.plural}_length"] = batch.inputs[kind.plural]["length"]
    weight = batch.weight / max(float(batch.weight.sum()), 1.0)
    return inputs, batch.label[..., None], weight


def _last(arguments: list[Any]) -> Any:
    """Return the state after the last valid candidate, repeated for each candidate."""
    encoded, length = arguments
    last = ops.one_hot(length - 1, ops.shape(encoded)[1], dtype="float32")
    return ops.broadcast_to(ops.matmul(last[:, None, :], encoded), ops.shape(encoded))


def _attend(arguments: list[Any]) -> Any:
    """Return the context of each candidate: the mean of the valid values, weighted by the softmax of the scores."""
    score, value, length = arguments
    valid = (ops.arange(ops.shape(value)[1])[None, :] < length[:, None])[:, None, :]
    weights = ops.where(valid, ops.softmax(ops.where(valid, score, -1e9), axis=-1), 0.0)
    return ops.matmul(weights, value)


def _windows(batch: Batch, kind: str, part: str) -> dict[str, Any]:
    inputs = batch.inputs[kind]
    return {
        field: array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])[inputs["index"]]
        for field, array in inputs[part].items()
    }


def _copy(model: Reranker, plain: keras.Model) -> None:
    """Copy the weights of `model` to `plain`."""
    ranker: Any = model.ranker
    stacks = {"candidate": ranker.candidate_stack}
    dense = {"hidden": ranker.hidden, "output": ranker.output_layer}
    for behaviour_kind in model.behaviour_kinds:
        kind, attention = behaviour_kind.plural, ranker.attention_of(behaviour_kind)
        encoder: Any = model.encoder_of(behaviour_kind)
        stacks |= {f"{kind}_item": encoder.item_stack, f"{kind}_action": encoder.action_stack}
        dense |= {f"{kind}_query": attention.query_projection, f"{kind}_key": attention.key_projection}
        plain.get_layer(f"{kind}_scale").set_weights([attention.scale.numpy()[:, None]])
    for name, stack in stacks.items():
        for layer, gru in enumerate(stack.grus):
            plain.get_layer(f"{name}_{layer}").set_weights([weight.numpy() for weight in gru.cell.weights[:3]])
    for name, layer_ in dense.items():
        plain.get_layer(name).set_weights([weight.numpy() for weight in layer_.weights])
    for name, table in model.item_embedding.tables.items():
        plain.get_layer(f"table_{name}").set_weights([table.numpy()])
