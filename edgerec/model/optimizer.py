"""Adam that touches of an embedding table the rows of the batch and no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7
"""Keras' defaults."""


class RowAdam(tf.Module):
    """Adam (Kingma and Ba, 2015) over dense weights and tables.

    A table's gradient says something about the rows of the batch. Adam as it stands moves every row at every step, for
    its moments fade everywhere: a step then costs as much as the table is large. Here moments and rows that the batch
    does not read (padding reads its first) stay as they are, and a step costs what the batch costs; for dense weights
    it is Adam to the letter.

    Args:
        variables: what is learnt.
        tables: those of them, by path, that are read by rows.
        clip_norm: gradients are scaled down to this global norm.
        average: share that a running average of every weight keeps at each step; 0: none. It is kept of whole tables.

    Attributes:
        learning_rate: of the next step.
        iterations: steps taken.
    """

    def __init__(
        self, variables: Sequence[Any], *, tables: Sequence[str], clip_norm: float, average: float = 0.0
    ) -> None:
        super().__init__(name="row_adam")
        self._variables = [variable.value for variable in variables]
        self._by_row = [variable.path in set(tables) for variable in variables]
        self._clip_norm = clip_norm
        self._average = average
        self.learning_rate = tf.Variable(0.0, trainable=False, name="learning_rate")
        self.iterations = tf.Variable(0, dtype=tf.int64, trainable=False, name="iterations")
        self._first = [tf.Variable(tf.zeros_like(value), trainable=False) for value in self._variables]
        self._second = [tf.Variable(tf.zeros_like(value), trainable=False) for value in self._variables]
        self.averages = [tf.Variable(value, trainable=False) for value in self._variables] if average else []

    def apply(self, gradients: Sequence[Any]) -> None:
        """Take one step along `gradients`, dense or (of tables) `tf.IndexedSlices`."""
        gradients = [summed(each) if isinstance(each, tf.IndexedSlices) else each for each in gradients]
        gradients, _ = tf.clip_by_global_norm(gradients, self._clip_norm)
        steps = tf.cast(self.iterations.assign_add(1), tf.float32)
        rate = self.learning_rate * tf.sqrt(1 - BETA_2**steps) / (1 - BETA_1**steps)
        for value, by_row, gradient, first, second in zip(
            self._variables, self._by_row, gradients, self._first, self._second, strict=True
        ):
            if isinstance(gradient, tf.IndexedSlices) and by_row:
                _step_rows(value, gradient, first, second, rate)
            else:
                dense = tf.convert_to_tensor(gradient)
                first.assign(BETA_1 * first + (1 - BETA_1) * dense)
                second.assign(BETA_2 * second + (1 - BETA_2) * dense * dense)
                value.assign_sub(rate * first / (tf.sqrt(second) + EPSILON))
        for value, average in zip(self._variables, self.averages, strict=False):
            # It begins with what the first step made.
            share = tf.where(steps > 1, self._average, 0.0)
            average.assign(share * average + (1 - share) * value)


def summed(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """`gradient` with every row once, ascending."""
    rows, place = tf.unique(gradient.indices)
    total = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))
    return tf.IndexedSlices(total, rows, gradient.dense_shape)


def _step_rows(value: Any, gradient: tf.IndexedSlices, first: Any, second: Any, rate: Any) -> None:
    rows, change = gradient.indices, gradient.values
    moved = BETA_1 * tf.gather(first, rows) + (1 - BETA_1) * change
    spread = BETA_2 * tf.gather(second, rows) + (1 - BETA_2) * change * change
    first.scatter_update(tf.IndexedSlices(moved, rows))
    second.scatter_update(tf.IndexedSlices(spread, rows))
    value.scatter_sub(tf.IndexedSlices(rate * moved / (tf.sqrt(spread) + EPSILON), rows))


def table_paths(model: keras.Model) -> list[str]:
    """Paths of the embedding tables of `model`."""
    return [table.path for table in model.item_embedding.tables.values()]
