"""Adam that updates only those rows of an embedding table that the batch reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7
"""The defaults of Keras."""


class RowAdam(tf.Module):
    """Adam (Kingma and Ba, 2015) over dense weights and embedding tables.

    The gradient of a table is zero except in the rows that the batch reads. The original Adam still changes every row
    at every step, because the moments of every row decay. So the cost of a step grows with the size of the table. This
    optimizer changes only the rows that the batch reads, and their moments, so the cost of a step grows only with the
    batch. (Padding reads row 0.) For dense weights it is the original Adam.

    Args:
        variables: the trainable variables.
        tables: paths of those variables that are embedding tables.
        clip_norm: largest global norm of the gradients; larger gradients are scaled down.
        average: decay of a running average of all weights, including all rows of tables. 0 means no average.

    Attributes:
        learning_rate: learning rate of the next step.
        iterations: number of steps so far.
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
        """Apply one step with `gradients`, which are dense or, for tables, `tf.IndexedSlices`."""
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
            # The average starts with the weights after the first step.
            decay = tf.where(steps > 1, self._average, 0.0)
            average.assign(decay * average + (1 - decay) * value)


def summed(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """Return `gradient` without repeated rows. The values of a repeated row are added."""
    rows, index = tf.unique(gradient.indices)
    total = tf.math.unsorted_segment_sum(gradient.values, index, tf.size(rows))
    return tf.IndexedSlices(total, rows, gradient.dense_shape)


def _step_rows(value: Any, gradient: tf.IndexedSlices, first: Any, second: Any, rate: Any) -> None:
    rows, values = gradient.indices, gradient.values
    new_first = BETA_1 * tf.gather(first, rows) + (1 - BETA_1) * values
    new_second = BETA_2 * tf.gather(second, rows) + (1 - BETA_2) * values * values
    first.scatter_update(tf.IndexedSlices(new_first, rows))
    second.scatter_update(tf.IndexedSlices(new_second, rows))
    value.scatter_sub(tf.IndexedSlices(rate * new_first / (tf.sqrt(new_second) + EPSILON), rows))


def table_paths(model: keras.Model) -> list[str]:
    """Return the paths of the embedding tables of `model`."""
    return [table.path for table in model.item_embedding.tables.values()]
