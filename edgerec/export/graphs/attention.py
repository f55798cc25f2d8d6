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
anything has run; `attention_form` checks that bound. Weights beyond it get the equation as it stands (`product` is
false), which is always right and slower.

Where a candidate's encoding is no GRU's (CRBAN+), queries have no bound of their own and get one: beyond
`largest key + SATURATED` in size, tanh is 1 in float32 whatever the key, so a query is clipped there and no score
moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgerec.export.weights import Array, AttentionWeights

GROUP = 4
SIGNS = 1 << GROUP
# exp(80) = 5.5e34, which leaves three powers of ten for the sum over signs and for |v|.
LARGEST_EXPONENT = 80.0
# A sum of exp(score) <= exp(60) needs no shift by the largest score, and its smallest term is above 1e-27.
LARGEST_SCORE = 60.0
# 1 - tanh(9) = 3e-8: half a unit in the last place of float32.
SATURATED = 9.0


@dataclass(frozen=True)
class AttentionForm:
    """How one attention is computed: what the step graph stores of a behaviour, what the ranker does with it.

    Attributes:
        product: true for the fraction above, false for the tanh of the equation as it stands.
        query_kernel: `(units, key_width)`, on a candidate's encoding.
        key_kernel: `(units, key_width)`, on a behaviour's item encoding.
        query_bias: `(key_width,)`; MNN folds it into the query's product, where it costs nothing.
        numerator: `(key_width,)`: `s.v` of each sign vector for the fraction, `v` for the tanh.
        clip: `(units,)`, the largest size of a query before `signs`, for queries without a bound; else none.
        signs: `(units, key_width)` where `clip` is given: then `query_kernel` and `query_bias` are without them.
    """

    product: bool
    query_kernel: Array
    key_kernel: Array
    query_bias: Array
    numerator: Array
    clip: Array | None = None
    signs: Array | None = None

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


def fits_product(weights: AttentionWeights) -> bool:
    """Say whether no encodings within (-1, 1) can drive the fraction out of float32."""
    signs = sign_matrix(weights.scale.shape[0]).astype(np.float64)
    exponents = (
        np.abs(weights.query_kernel @ signs).sum(axis=0)
        + np.abs(weights.key_kernel @ signs).sum(axis=0)
        + np.abs(weights.query_bias @ signs)
    )
    return float(exponents.max()) <= LARGEST_EXPONENT and _largest_score(weights) <= LARGEST_SCORE


def attention_form(weights: AttentionWeights, *, bounded: bool = True, bias: float = 0.0) -> AttentionForm:
    """Choose the form for these weights; the step graph and the ranker must ask for the same.

    Args:
        weights: of the attention.
        bounded: whether candidates' encodings are within (-1, 1), as a GRU's are.
        bias: largest size of what is added to scores.
    """
    plain = AttentionForm(False, weights.query_kernel, weights.key_kernel, weights.query_bias, weights.scale)
    signs = sign_matrix(weights.scale.shape[0])
    if bounded:
        if not fits_product(weights) or _largest_score(weights) + bias > LARGEST_SCORE:
            return plain
        return AttentionForm(
            True,
            weights.query_kernel @ signs,
            weights.key_kernel @ signs,
            weights.query_bias @ signs,
            weights.scale @ signs,
        )
    largest_key = np.abs(weights.key_kernel).sum(axis=0)
    clip = largest_key + np.float32(SATURATED)
    exponent = float(((clip + largest_key) @ np.abs(signs)).max())
    if exponent > LARGEST_EXPONENT or _largest_score(weights) + bias > LARGEST_SCORE:
        return plain
    return AttentionForm(
        True,
        weights.query_kernel,
        weights.key_kernel @ signs,
        weights.query_bias,
        weights.scale @ signs,
        clip=clip,
        signs=signs,
    )


def _largest_score(weights: AttentionWeights) -> float:
    return float(np.abs(weights.scale.astype(np.float64)).sum())
