"""The losses that training minimises."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def cross_entropy(logits: Any, label: Any, weight: Any, *, exposed: Any) -> Any:
    """Return the mean cross-entropy of exposed candidates (eq. 11).

    Args:
        logits: (batch, k).
        label: (batch, k), 1 if clicked, else 0.
        weight: (batch, k), 1 if exposed, else 0.
        exposed: sum of the weights over all workers.
    """
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(label, logits)
    return tf.reduce_sum(entropy * weight) / tf.maximum(exposed, 1.0)


def listwise(logits: Any, label: Any, weight: Any, *, clicks: Any) -> Any:
    """Return the listwise softmax loss: the mean of ``-log p`` over all clicked candidates.

    `p` is the softmax of the candidate's logit over the exposed candidates of its list. This loss compares candidates
    within a request, as GAUC does, while cross-entropy must also learn the click rate of each request. The arguments
    are those of `cross_entropy`; `clicks` is the sum of the labels over all workers.

    Source: Cao et al., *Learning to Rank: From Pairwise Approach to Listwise Approach*, ICML 2007.
    """
    shares = tf.nn.log_softmax(tf.where(weight > 0, logits, -1e9), axis=-1)
    return -tf.reduce_sum(label * shares) / tf.maximum(clicks, 1.0)
