"""Tests of every layer (hand-computed values, config round trip, bad arguments) and of all models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgerec.core.errors import PluginError
from edgerec.data.samples import TRAIN, Samples
from edgerec.features.encoder import Encoded
from edgerec.features.vocabulary import Vocabulary
from edgerec.layers.attention import BehaviourAttention
from edgerec.layers.din import DinAttention, RawBehaviours
from edgerec.layers.feature_vector import FeatureVector
from edgerec.layers.gru_stack import GruStack
from edgerec.layers.hubsm import BehaviourEncoder
from edgerec.layers.list_context import ListAttention, ListNormalisation
from edgerec.model.batches import Shapes, make_batch
from edgerec.model.config import TrainConfig
from edgerec.model.reranker import Reranker
from edgerec.model.runs import model_for
from edgerec.rankers.crban import Crban
from edgerec.rankers.crban_plus import CrbanPlus, match_signals
from edgerec.rankers.dlcm import Dlcm
from edgerec.rankers.dnn_rank import DnnRank
from edgerec.rankers.esan import Esan
from edgerec.rankers.ranker import Ranker
from edgerec.rankers.registry import MODELS
from tests.quicker import quick_gru, some_of
from tests.synthetic import SPEC, whole

LAYERS: list[keras.layers.Layer] = [
    FeatureVector(SPEC.item, rows={"shop": 5}, unknown_rate=0.3),
    GruStack(4, 2),
    BehaviourAttention(4),
    BehaviourEncoder(4, 2),
    Crban(4, 2),
    Crban(4, 1, kinds=("exposures",), din=True),
    CrbanPlus(2, 4, blocks=1),
    DinAttention(4, 3),
    Dlcm(4, 2),
    Esan(["product", "ad"], 4, kinds=("exposures",), around="shuffled", place=False),
    DnnRank(4),
    ListAttention(4, 2),
    ListNormalisation(),
    RawBehaviours(4),
    *(Reranker(SPEC, rows={"shop": 5}, model_name=name, units=4, layers=2, unknown_rate=0.1) for name in MODELS),
]
# `crban_ie` and `crban_ipv` are `crban` with one kind of behaviours.
DIFFERENT = some_of(MODELS, fast=MODELS.keys() - {"crban_ie", "crban_ipv"})


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_a_layer_is_restored_from_its_config(layer: keras.layers.Layer) -> None:
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: GruStack(0, 1), "units"),
        (lambda: GruStack(1, 0), "layers"),
        (lambda: GruStack(gain=0), "gain"),
        (lambda: BehaviourAttention(0), "units"),
        (lambda: Crban(kinds=("clicks",)), "kinds"),
        (lambda: Crban(kinds=()), "kinds"),
        (lambda: ListAttention(5, 2), "units"),
        (lambda: Esan([]), "card_kinds"),
        (lambda: Esan(["ad"], kinds=("clicks",)), "kinds"),
        (lambda: Esan(["ad"], around="some"), "around"),
        (lambda: FeatureVector(SPEC.item, rows={"shop": 5}, unknown_rate=1.0), "unknown_rate"),
        (lambda: FeatureVector(SPEC.item, rows={}).build(), "rows"),
    ],
)
def test_the_error_for_a_bad_argument_names_it(make: Any, argument: str) -> None:
    with pytest.raises(ValueError, match=f"`{argument}`.*Received"):
        make()


def test_attention_equals_values_computed_by_hand() -> None:
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


def test_attention_with_a_bias_equals_values_computed_by_hand() -> None:
    layer = BehaviourAttention(1)
    layer.build((1, 1, 1), (1, None, 1))
    layer.set_weights([np.zeros(1), np.ones((1, 1)), np.zeros(1), np.ones((1, 1))])
    value, bias = np.array([[[10.0], [20.0], [99.0]]]), np.array([[[0.0, np.log(3.0), 50.0]]])
    for layer.kernels in ("keras", "plain", "xla"):
        known, added = tf.constant(value, tf.float32), tf.constant(bias, tf.float32)
        found = layer(tf.zeros((1, 1, 1)), known, known, tf.constant([2]), added)
        assert np.asarray(found) == pytest.approx(10 * 0.25 + 20 * 0.75)


def test_din_attention_equals_values_computed_by_hand() -> None:
    layer = DinAttention(1, 1)
    layer.build((1, 1, 1), (1, None, 1))
    # a(q, k) = relu(2 q + 3 k + 5 q k + 1) * 0.5
    layer.set_weights([np.array([[5.0]]), np.array([0.5]), np.array([[2.0]]), np.array([1.0]), np.array([[3.0]])])
    query, key = np.array([[[1.0]]], np.float32), np.array([[[1.0], [-9.0], [7.0]]], np.float32)
    found = layer(query, key, np.array([[[10.0], [20.0], [30.0]]], np.float32), np.array([2])).numpy()
    # Only two behaviours count. For the second one, the hidden unit is negative, so its weight is zero.
    assert found == pytest.approx(0.5 * 11.0 * 10.0 / np.sqrt(2))


def test_list_normalisation_equals_values_computed_by_hand() -> None:
    inputs = np.array([[[1.0, 4.0], [3.0, 4.0], [99.0, -7.0]]], np.float32)
    found = ListNormalisation()(inputs, np.array([2], np.int32)).numpy()
    np.testing.assert_allclose(found[0, :2], [[-1.0, 0.0], [1.0, 0.0]], atol=1e-5)


def test_a_narrow_column_far_from_zero_is_normalised_as_in_double_precision() -> None:
    """Dividing by the small standard deviation must not enlarge the rounding error of the mean."""
    rng = np.random.default_rng(0)
    inputs = (1000.0 + 1e-3 * rng.normal(size=(1, 100, 4))).astype(np.float32)
    found = ListNormalisation()(inputs, np.array([100], np.int32)).numpy()
    exact = inputs.astype(np.float64)
    exact -= exact.mean(axis=1, keepdims=True)
    exact /= np.sqrt((exact**2).mean(axis=1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_match_signals_equal_values_computed_by_hand() -> None:
    match = np.array([[[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]], np.float32)
    age = np.array([[48.0, 24.0, 1.0, 0.0]], np.float32)
    found = match_signals(match, age, np.array([3])).numpy()
    # Two of the three behaviours match the candidate. The latest match is the latest behaviour, one hour ago.
    np.testing.assert_allclose(found[0, 0], [np.log(3), 1.0, 1 / 13, 0.5, 24 / 25], rtol=1e-6)
    assert not found[0, 1].any()
    np.testing.assert_allclose(found[0, 2], [np.log(2), 0.5, 1 / 289, 1 / 25, 0.5], rtol=1e-6)


def test_list_attention_does_not_depend_on_the_order_of_candidates(samples: Samples) -> None:
    layer = ListAttention(4, 2)
    inputs = np.random.default_rng(0).normal(size=(1, 5, 4)).astype(np.float32)
    order = np.array([3, 0, 2, 1])
    found, moved = (layer(x, np.array([4], np.int32)).numpy()[0, :4] for x in (inputs, inputs[:, [*order, 4]]))
    np.testing.assert_allclose(moved, found[order], atol=1e-6)


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


def test_the_quick_gru_of_tests_equals_the_gru_of_keras() -> None:
    stack = GruStack(3, 2)
    inputs = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    expected = stack(inputs).numpy()
    with quick_gru():
        np.testing.assert_allclose(stack(inputs).numpy(), expected, atol=1e-6)


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


def test_unknown_rate_replaces_ids_in_training_only() -> None:
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


@pytest.mark.usefixtures("quick_gru")
@pytest.mark.parametrize("model_name", DIFFERENT)
def test_scores_of_a_request_do_not_depend_on_its_batch(samples: Samples, model_name: str) -> None:
    """Scores do not change if requests are padded, or if they share behaviours with other requests of the batch."""
    model = model_for(samples, TrainConfig(model=model_name, units=8, layers=1))
    shard = whole(samples, TRAIN)
    rows = np.arange(40)
    together = make_batch(shard, rows)
    scores = _scores(model, together.inputs)
    lengths = together.inputs["exposures"]["length"]
    assert len(set(lengths.tolist())) > 5
    assert 0 in lengths
    assert len(together.inputs["exposures"]["row"]) < 30
    for row in rows[::13]:
        alone = _scores(model, make_batch(shard, rows[row : row + 1]).inputs)
        np.testing.assert_allclose(scores[row, : alone.shape[1]], alone[0], atol=2e-6)


@pytest.mark.usefixtures("quick_gru")
@pytest.mark.parametrize("model_name", DIFFERENT)
def test_padding_to_compiled_shapes_does_not_change_scores(samples: Samples, model_name: str) -> None:
    model = model_for(samples, TrainConfig(model=model_name, units=8, layers=1))
    shard, rows = whole(samples, TRAIN), np.arange(21)
    plain = make_batch(shard, rows)
    shaped = make_batch(shard, rows, shapes=Shapes(32, samples.head.limits))
    assert shaped.weight.shape[0] == 32
    seen, shown = plain.weight > 0, shaped.weight > 0
    assert seen.sum() == shown.sum()
    np.testing.assert_array_equal(plain.label[seen], shaped.label[shown])
    np.testing.assert_allclose(_scores(model, shaped.inputs)[shown], _scores(model, plain.inputs)[seen], atol=2e-6)


@pytest.mark.usefixtures("quick_gru")
@pytest.mark.parametrize("model_name", some_of(["crban_ie", "crban", "crban_plus"], fast=["crban_ie"]))
def test_kernels_give_the_same_scores_and_gradients_as_keras(samples: Samples, model_name: str) -> None:
    model = model_for(samples, TrainConfig(model=model_name, units=8, layers=1))
    batch = make_batch(whole(samples, TRAIN), np.arange(30))

    def score_and_gradients() -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            scores = model(tf.nest.map_structure(tf.convert_to_tensor, batch.inputs))
            loss = tf.reduce_sum(tf.sin(scores) * batch.weight)
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        return [scores.numpy() * batch.weight, *(tf.convert_to_tensor(each).numpy() for each in gradients)]

    expected = score_and_gradients()
    for kernels in ("plain", "xla"):
        with model.computed_by(kernels):
            found = score_and_gradients()
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(other, one, atol=2e-6 + 2e-5 * np.abs(one).max())


@pytest.mark.usefixtures("quick_gru")
@pytest.mark.parametrize("model_name", DIFFERENT)
def test_the_content_of_padding_does_not_change_scores(samples: Samples, model_name: str) -> None:
    model = model_for(samples, TrainConfig(model=model_name, units=8, layers=1))
    batch = make_batch(whole(samples, TRAIN), np.arange(30))
    before = _scores(model, batch.inputs)
    rng = np.random.default_rng(0)
    valid = np.arange(before.shape[1])[None, :] < batch.inputs["candidate_length"][:, None]
    _spoil(batch.inputs["candidates"], ~valid, rng)
    batch.inputs["candidate_row"][~valid] = 7
    for part in ("exposures", "page_views"):
        inputs = batch.inputs[part]
        steps = inputs["row"].shape[1]
        beyond = np.arange(inputs["index"].shape[1])[None, :] >= inputs["length"][:, None]
        # Change what must have no effect: the steps at the end of a segment that no request reads, and the indices
        # beyond the length of each request.
        last = np.full(len(inputs["row"]), -1)
        for index, length in zip(inputs["index"], inputs["length"], strict=True):
            if length:
                last[index[0] // steps] = max(last[index[0] // steps], index[length - 1] % steps)
        unread = np.arange(steps)[None, :] > last[:, None]
        assert beyond.any()
        assert unread.any()
        for group in (inputs["action"], inputs["item"]):
            _spoil(group, unread, rng)
        inputs["row"][unread] = 7
        inputs["age"][beyond] = 99.0
        inputs["index"][beyond] = rng.integers(0, inputs["row"].size, int(beyond.sum()))
    after = _scores(model, batch.inputs)
    np.testing.assert_allclose(after[valid], before[valid], atol=2e-6)


def _spoil(group: dict[str, np.ndarray], where: np.ndarray, rng: np.random.Generator) -> None:
    group["numbers"][where] = rng.normal(size=group["numbers"][where].shape) * 100
    group["codes"][where] = 1
    group["ids"][where] = 1


@pytest.mark.usefixtures("quick_gru")
@pytest.mark.parametrize("model_name", DIFFERENT)
def test_every_weight_gets_a_gradient(samples: Samples, model_name: str) -> None:
    model = model_for(samples, TrainConfig(model=model_name, units=8, layers=2))
    batch = make_batch(whole(samples, TRAIN), np.arange(20, 60))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tf.nest.map_structure(tf.convert_to_tensor, batch.inputs)) * batch.weight)
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert gradient is not None, variable.path
        assert float(tf.reduce_max(tf.abs(tf.convert_to_tensor(gradient)))) > 0, variable.path


@pytest.mark.usefixtures("quick_gru")
@pytest.mark.parametrize("model_name", some_of(MODELS, fast=("crban_plus", "dlcm")))
def test_saved_weights_are_loaded_without_change(tmp_path: Path, samples: Samples, model_name: str) -> None:
    config = TrainConfig(model=model_name, units=8, layers=1)
    first, second = model_for(samples, config), model_for(samples, config)
    inputs = make_batch(whole(samples, TRAIN), np.arange(4)).inputs
    assert np.abs(_scores(first, inputs) - _scores(second, inputs)).max() > 1e-4
    first.save_weights(tmp_path / "m.weights.h5")
    second.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(_scores(first, inputs), _scores(second, inputs))


def test_the_embedding_table_has_a_row_for_each_row_of_the_vocabulary(samples: Samples) -> None:
    assert isinstance(samples.vocabularies["shop"], Vocabulary)
    model = model_for(samples, TrainConfig(units=8, layers=2))
    assert model.item_embedding.tables["shop"].shape == (samples.vocabularies["shop"].rows, 4)


def test_a_ranker_without_its_methods_is_an_error_of_its_package() -> None:
    with pytest.raises(PluginError, match=r"ranker edgerec\.rankers\.ranker\.Ranker should define `create`"):
        Ranker.create(None, name="odd")
    with pytest.raises(PluginError, match="should define `rank`"):
        Ranker(name="odd").rank(None)
