"""What training lowers."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def cross_entropy(logits: Any, label: Any, weight: Any, *, exposed: Any) -> Any:
    """Mean cross-entropy of exposed candidates (eq. 11).

    Args:
        logits: (batch, k).
        label: (batch, k), 1 clicked, else 0.
        weight: (batch, k), 1 exposed, else 0.
        exposed: sum of all weights, those of other workers too.
    """
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(label, logits)
    return tf.reduce_sum(entropy * weight) / tf.maximum(exposed, 1.0)


def listwise(logits: Any, label: Any, weight: Any, *, clicks: Any) -> Any:
    """Mean over clicks of ``-log softmax`` among the exposed candidates of their list.

    GAUC compares candidates within a request, and so does this; cross-entropy also has to find each request's level.
    Arguments as of `cross_entropy`;
    `clicks` is the sum of all labels.

    Source: Cao et al., *Learning to Rank: From Pairwise Approach to Listwise Approach*, ICML 2007.
    """
    shares = tf.nn.log_softmax(tf.where(weight > 0, logits, -1e9), axis=-1)
    return -tf.reduce_sum(label * shares) / tf.maximum(clicks, 1.0)
