"""One suite for every layer: a value by hand, config round trip, bad arguments; then what the whole must hold to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgerec.data.samples import TRAIN, Samples
from edgerec.features.encoder import Encoded
from edgerec.features.vocabulary import Vocabulary
from edgerec.model.attention import BehaviourAttention
from edgerec.model.batches import make_batch
from edgerec.model.config import TrainConfig
from edgerec.model.crban import Crban
from edgerec.model.feature_vector import FeatureVector
from edgerec.model.gru_stack import GruStack
from edgerec.model.hubsm import BehaviourEncoder
from edgerec.model.reranker import Reranker
from edgerec.model.runs import model_for
from tests.synthetic import SPEC, whole

LAYERS: list[keras.layers.Layer] = [
    FeatureVector(SPEC.item, rows={"shop": 5}, unknown_rate=0.3),
    GruStack(4, 2),
    BehaviourAttention(4),
    BehaviourEncoder(4, 2),
    Crban(4, 2),
    Reranker(SPEC, rows={"shop": 5}, units=4, layers=2, unknown_rate=0.1),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_config_round_trip(layer: keras.layers.Layer) -> None:
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: GruStack(0, 1), "units"),
        (lambda: GruStack(1, 0), "layers"),
        (lambda: GruStack(gain=0), "gain"),
        (lambda: BehaviourAttention(0), "units"),
        (lambda: FeatureVector(SPEC.item, rows={"shop": 5}, unknown_rate=1.0), "unknown_rate"),
        (lambda: FeatureVector(SPEC.item, rows={}).build(), "rows"),
    ],
)
def test_bad_arguments_are_named(make: Any, argument: str) -> None:
    with pytest.raises(ValueError, match=f"`{argument}`.*Received"):
        make()


def test_attention_by_hand() -> None:
    layer = BehaviourAttention(1)
    layer.build((1, 1, 1), (1, None, 1))
    layer.set_weights([np.ones(1), np.ones((1, 1)), np.zeros(1), np.ones((1, 1))])
    key, value = np.array([[[0.0], [1.0], [9.0]]]), np.array([[[10.0], [20.0], [99.0]]])
    found = layer(np.zeros((1, 1, 1)), key, value, np.array([2])).numpy()
    weight = np.exp(np.tanh(1.0)) / (1.0 + np.exp(np.tanh(1.0)))
    assert found == pytest.approx(10 + 10 * weight)


def test_attention_without_behaviours_is_zero() -> None:
    layer = BehaviourAttention(3)
    found = layer(np.ones((2, 4, 3)), np.ones((2, 5, 3)), np.ones((2, 5, 6)), np.array([0, 5])).numpy()
    assert not found[0].any()
    assert found[1] == pytest.approx(1.0)


def test_gru_stack_equals_the_equations() -> None:
    rng = np.random.default_rng(0)
    stack = GruStack(3, 2)
    inputs = rng.normal(size=(2, 5, 4)).astype(np.float32)
    found = stack(inputs).numpy()
    expected = inputs
    for gru in stack.grus:
        kernel, recurrent, bias = gru.get_weights()
        state, steps = np.zeros((2, 3)), []
        for t in range(5):
            x, h = expected[:, t] @ kernel + bias[0], state @ recurrent + bias[1]
            z, r = (1 / (1 + np.exp(-(x[:, i : i + 3] + h[:, i : i + 3]))) for i in (0, 3))
            state = z * state + (1 - z) * np.tanh(x[:, 6:] + r * h[:, 6:])
            steps.append(state)
        expected = np.stack(steps, axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_feature_vector_equals_the_numpy_encoder(samples: Samples) -> None:
    encoder = samples.item_encoder()
    requests = whole(samples, TRAIN).requests
    encoded = Encoded(
        *(np.asarray(array[:50]) for array in (requests.item.ids, requests.item.codes, requests.item.numbers))
    )
    layer = FeatureVector(samples.head.spec.item, rows={"shop": samples.vocabularies["shop"].rows})
    layer.build()
    table = layer.tables["shop"].numpy()
    found = layer(encoded.ids, encoded.codes, encoded.numbers).numpy()
    assert len(np.unique(encoded.ids)) > 3
    np.testing.assert_array_equal(found, encoder.expand(encoded, {"shop": table[encoded.ids[:, 0]]}))


def test_unknown_rate_hides_identities_in_training_only() -> None:
    layer = FeatureVector(SPEC.item, rows={"shop": 3}, unknown_rate=0.5)
    layer.build()
    layer.tables["shop"].assign(np.repeat([[0.0], [1.0], [2.0]], 4, axis=1))
    ids, codes, numbers = (
        np.full((1000, 1), 2, np.int32),
        np.zeros((1000, 1), np.uint8),
        np.zeros((1000, 1), np.float32),
    )
    assert (layer(ids, codes, numbers)[:, 0].numpy() == 2).all()
    hidden = layer(ids, codes, numbers, training=True)[:, 0].numpy()
    assert set(hidden.tolist()) == {0.0, 2.0}
    assert 0.4 < (hidden == 0).mean() < 0.6


def _scores(model: Reranker, inputs: dict[str, Any]) -> np.ndarray:
    return np.asarray(model(tf.nest.map_structure(tf.convert_to_tensor, inputs)))


def test_padding_has_no_influence(samples: Samples) -> None:
    """A request scored alone equals the same request scored among longer ones."""
    model = model_for(samples, TrainConfig(units=8, layers=2))
    shard = whole(samples, TRAIN)
    rows = np.arange(40)
    together = make_batch(shard, rows)
    scores = _scores(model, together.inputs)
    lengths = together.inputs["exposures"]["length"]
    assert len(set(lengths.tolist())) > 5
    assert 0 in lengths
    for row in rows:
        alone = _scores(model, make_batch(shard, rows[row : row + 1]).inputs)
        np.testing.assert_allclose(scores[row, : alone.shape[1]], alone[0], atol=2e-6)


def test_padded_content_has_no_influence(samples: Samples) -> None:
    model = model_for(samples, TrainConfig(units=8, layers=2))
    batch = make_batch(whole(samples, TRAIN), np.arange(30))
    before = _scores(model, batch.inputs)
    rng = np.random.default_rng(0)
    for part, length in (("candidates", batch.inputs["candidate_length"]), ("exposures", None), ("page_views", None)):
        groups = (
            [batch.inputs[part]] if length is not None else [batch.inputs[part]["action"], batch.inputs[part]["item"]]
        )
        length = batch.inputs[part]["length"] if length is None else length
        for group in groups:
            padded = np.arange(group["numbers"].shape[1])[None, :] >= length[:, None]
            assert padded.any()
            group["numbers"][padded] = rng.normal(size=group["numbers"][padded].shape) * 100
            group["codes"][padded] = 1
    after = _scores(model, batch.inputs)
    valid = np.arange(before.shape[1])[None, :] < batch.inputs["candidate_length"][:, None]
    np.testing.assert_allclose(after[valid], before[valid], atol=2e-6)


def test_every_weight_learns(samples: Samples) -> None:
    model = model_for(samples, TrainConfig(units=8, layers=2))
    batch = make_batch(whole(samples, TRAIN), np.arange(20, 60))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tf.nest.map_structure(tf.convert_to_tensor, batch.inputs)) * batch.weight)
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert gradient is not None, variable.path
        assert float(tf.reduce_max(tf.abs(tf.convert_to_tensor(gradient)))) > 0, variable.path


def test_save_and_load(tmp_path: Path, samples: Samples) -> None:
    config = TrainConfig(units=8, layers=2)
    first, second = model_for(samples, config), model_for(samples, config)
    inputs = make_batch(whole(samples, TRAIN), np.arange(4)).inputs
    assert np.abs(_scores(first, inputs) - _scores(second, inputs)).max() > 1e-4
    first.save_weights(tmp_path / "m.weights.h5")
    second.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(_scores(first, inputs), _scores(second, inputs))


def test_vocabulary_rows_match_the_table(samples: Samples) -> None:
    assert isinstance(samples.vocabularies["shop"], Vocabulary)
    model = model_for(samples, TrainConfig(units=8, layers=2))
    assert model.item_embedding.tables["shop"].shape == (samples.vocabularies["shop"].rows, 4)
