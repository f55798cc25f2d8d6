"""Additive attention without a tanh for every pair of candidate and behaviour.

A score of eq. 10 is `sum_u v_u tanh(x_u)` with `x_u = q_u + k_u`, `q` from the candidate and `k` from the behaviour.
Over a group of four units that is one fraction,

    sum_u v_u tanh(x_u) = sum_s (sum_u s_u v_u) e^(s.x) / sum_s e^(s.x),   s over all 16 sign vectors (+-1)^4,

because the denominator is `prod_u 2 cosh(x_u)` and the numerator its derivative along `v`. Since
`e^(s.x) = e^(s.q) e^(s.k)`, both are inner products of 16 numbers that depend on the candidate alone with 16 that
depend on the behaviour alone. So the pairs cost two matrix products and one division for every four units instead of
four tanh, and what depends on the behaviour alone is computed once, in the step graph. Nothing is approximated: every
denominator is at least 16, and rounding errors stay those of the plain sum, a few units in the last place of
`sum_u |v_u|`.

The exponentials must stay inside float32. GRU outputs are within (-1, 1), so the weights bound every exponent before
anything has run, and `attention_form` checks that bound.

Where queries are beyond it, or have no bound at all (the candidates' encodings of CRBAN+ are no GRU's), both sums are
divided by `e^(|q_1| + ... + |q_4|)`, which cancels but for rounding:

    s.q - sum_u |q_u| = -2 sum_u relu(-s_u q_u),

at most 0, and 0 for the signs of `q` itself. So no query can overflow, one term of each denominator is `e^(s.k)` with
its query's factor 1, so that denominators are at least e^-35 (`LARGEST_KEY_EXPONENT`), and what underflows is too small
to be seen beside it. The product's constant has -2 and 0 alone, which rounded weights hold, too. This costs a Relu and
that product, and asks only that keys be bounded.

Keys beyond that, or scores that a softmax could not take without looking for the largest, get the equation as it stands
(`product` is false), which is always right and slower.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgerec.export.weights import Array, AttentionWeights

GROUP = 4
SIGNS = 1 << GROUP
# exp(80) = 5.5e34, which leaves three powers of ten for the sum over signs and for |v|.
LARGEST_EXPONENT = 80.0
# A denominator of exp(-35) = 6e-16 is 5e22 times the smallest float32, so that a term which is lost was below exp(-17)
# of it even where its key is exp(35).
LARGEST_KEY_EXPONENT = 35.0
# A sum of exp(score) <= exp(60) needs no shift by the largest score, and its smallest term is above 1e-27.
LARGEST_SCORE = 60.0


@dataclass(frozen=True)
class AttentionForm:
    """How one attention is computed: what the step graph stores of a behaviour, what the ranker does with it.

    Attributes:
        product: true for the fraction above, false for the tanh of the equation as it stands.
        query_kernel: on a candidate's encoding, `(units, key_width)`; before `fold`, `(units, 2 * units)`.
        key_kernel: `(units, key_width)`, on a behaviour's item encoding.
        query_bias: as wide as `query_kernel`; MNN folds it into the query's product, where it costs nothing.
        numerator: `(key_width,)`: `s.v` of each sign vector for the fraction, `v` for the tanh.
        fold: where queries have no bound, `(2 * units, key_width)`, on the Relu of `q` and `-q` side by side: gives
            `s.q - sum_u |q_u|`; else none.
    """

    product: bool
    query_kernel: Array
    key_kernel: Array
    query_bias: Array
    numerator: Array
    fold: Array | None = None

    @property
    def key_width(self) -> int:
        return int(self.numerator.shape[0])

    @property
    def groups(self) -> int:
        return self.key_width // SIGNS


def sign_matrix(units: int) -> Array:
    """Give the matrix `(units, groups * 16)` that turns `x` into `s.x` of every group and sign vector.

    The last group is filled up with units that are always zero: their `cosh` is 1 and their `v` counts as 0.
    """
    signs = 1 - 2 * ((np.arange(SIGNS)[np.newaxis] >> np.arange(GROUP)[:, np.newaxis]) & 1)
    groups = -(-units // GROUP)
    return np.kron(np.eye(groups), signs)[:units].astype(np.float32)


def attention_form(weights: AttentionWeights, *, bounded: bool = True, bias: float = 0.0) -> AttentionForm:
    """Choose the form for these weights; the step graph and the ranker must ask for the same.

    Args:
        weights: of the attention.
        bounded: whether candidates' encodings are within (-1, 1), as a GRU's are.
        bias: largest size of what is added to scores.
    """
    signs = sign_matrix(weights.scale.shape[0])
    key_exponents = np.abs(weights.key_kernel @ signs.astype(np.float64)).sum(axis=0)
    query_exponents = np.abs(weights.query_kernel @ signs.astype(np.float64)).sum(axis=0)
    query_exponents += np.abs(weights.query_bias @ signs.astype(np.float64))
    query_kernel, query_bias, fold = weights.query_kernel @ signs, weights.query_bias @ signs, None
    if not bounded or float((query_exponents + key_exponents).max()) > LARGEST_EXPONENT:
        query_kernel = np.concatenate([weights.query_kernel, -weights.query_kernel], axis=1)
        query_bias = np.concatenate([weights.query_bias, -weights.query_bias])
        fold = np.concatenate([signs - np.abs(signs), -signs - np.abs(signs)])
    if _largest_score(weights) + bias > LARGEST_SCORE or (
        fold is not None and float(key_exponents.max()) > LARGEST_KEY_EXPONENT
    ):
        return AttentionForm(False, weights.query_kernel, weights.key_kernel, weights.query_bias, weights.scale)
    return AttentionForm(True, query_kernel, weights.key_kernel @ signs, query_bias, weights.scale @ signs, fold)


def _largest_score(weights: AttentionWeights) -> float:
    return float(np.abs(weights.scale.astype(np.float64)).sum())
