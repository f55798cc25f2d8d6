"""One training step: loss, gradients and update, summed over the workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from edgerec.layers.kernels.form import Kernels
from edgerec.model.losses import cross_entropy, listwise
from edgerec.model.optimizer import RowAdam
from edgerec.model.reranker import Reranker
from edgerec.model.workers import Workers


def train_step(
    model: Reranker, optimizer: RowAdam, listwise_weight: float, team: Workers, kernels: Kernels
) -> Callable[[Any, Any, Any], Any]:
    """Return a function of (inputs, label, weight) that applies one training step with this worker's part of a batch.

    `kernels` compute recurrences and attention. All workers call the function at the same time. It returns the loss and
    the number of exposed candidates of the whole batch.
    """
    variables = [variable.value for variable in model.trainable_variables]
    labels = tf.TensorSpec((None, None), tf.float32)

    def share(inputs: Any, label: Any, weight: Any) -> Any:
        exposed, clicks = team.sum([tf.reduce_sum(weight), tf.reduce_sum(label)])
        with tf.GradientTape() as tape, model.computed_by(kernels):
            logits = model(inputs, training=True)
            loss = cross_entropy(logits, label, weight, exposed=exposed)
            total = loss
            if listwise_weight:
                total += listwise_weight * listwise(logits, label, weight, clicks=clicks)
        *gradients, loss = team.sum([*tape.gradient(total, variables), loss])
        optimizer.apply(gradients)
        return loss, exposed

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[model.input_signature(), labels, labels], autograph=False
    )
    def step(inputs: Any, label: Any, weight: Any) -> Any:
        return team.on_each(share)(inputs, label, weight)

    return step  # type: ignore[no-any-return]
