from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgerec.model.optimizer import RowAdam, summed


def variables(seed: int = 0) -> list[keras.Variable]:
    rng = np.random.default_rng(seed)
    return [
        keras.Variable(rng.normal(size=shape).astype(np.float32), name=name)
        for name, shape in (("kernel", (3, 4)), ("table", (9, 2)))
    ]


def slices(rows: list[int], seed: int) -> tf.IndexedSlices:
    values = np.random.default_rng(seed).normal(size=(len(rows), 2)).astype(np.float32)
    return tf.IndexedSlices(tf.constant(values), tf.constant(rows), tf.constant([9, 2]))


def test_row_adam_equals_adam_if_the_batch_reads_every_row() -> None:
    ours, theirs = variables(), variables()
    adam = keras.optimizers.Adam(0.01, global_clipnorm=2.0)
    adam.build(theirs)
    own = RowAdam(ours, tables=["table"], clip_norm=2.0)
    own.learning_rate.assign(0.01)
    for step in range(5):
        kernel = tf.constant(np.random.default_rng(step).normal(size=(3, 4)).astype(np.float32))
        table = slices([4, 0, 8, 1, 2, 3, 5, 6, 7, 4, 4], step)
        own.apply([kernel, table])
        adam.apply([kernel, tf.convert_to_tensor(table)], theirs)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), atol=2e-6)


def test_rows_that_the_batch_does_not_read_stay_unchanged() -> None:
    ours, before = variables(), variables()
    own = RowAdam(ours, tables=["table"], clip_norm=9.0)
    own.learning_rate.assign(0.1)
    for step in range(3):
        own.apply([tf.zeros((3, 4)), slices([2, 5, 2], step)])
    moved = (ours[1].numpy() != before[1].numpy()).any(axis=1)
    assert np.flatnonzero(moved).tolist() == [2, 5]
    # The original Adam also changes rows that only earlier steps read, because it keeps their moments.
    dense = variables()
    plain = RowAdam(dense, tables=[], clip_norm=9.0)
    plain.learning_rate.assign(0.1)
    plain.apply([tf.zeros((3, 4)), slices([2, 5], 0)])
    after_one = dense[1].numpy().copy()
    plain.apply([tf.zeros((3, 4)), slices([7], 1)])
    assert (dense[1].numpy()[[2, 5]] != after_one[[2, 5]]).all()


def test_gradients_of_a_repeated_row_are_added() -> None:
    found = summed(tf.IndexedSlices(tf.constant([[1.0], [2.0], [4.0]]), tf.constant([3, 1, 3]), tf.constant([5, 1])))
    dense = np.zeros((5, 1))
    dense[found.indices.numpy()] = found.values.numpy()
    assert dense.ravel().tolist() == [0.0, 2.0, 0.0, 5.0, 0.0]


@pytest.mark.parametrize("by_row", [True, False])
def test_gradients_of_all_weights_are_clipped_by_one_norm(by_row: bool) -> None:
    ours = variables()
    own = RowAdam(ours, tables=["table"] if by_row else [], clip_norm=1.0)
    own.learning_rate.assign(1.0)
    kernel, table = tf.fill((3, 4), 30.0), slices([1, 1, 4], 0)
    own.apply([kernel, table])
    norm = np.sqrt((kernel.numpy() ** 2).sum() + (tf.convert_to_tensor(table).numpy() ** 2).sum())
    np.testing.assert_allclose(own._first[0].numpy(), 0.1 * kernel.numpy() / norm, rtol=1e-5)
