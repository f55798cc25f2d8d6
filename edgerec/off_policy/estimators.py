"""Estimators of the click rate that a target policy would have had, with intervals clustered by user.

For a place: a is the shown candidate, p its propensity, y its click, pi the policy, w = pi(a) / p, and q the direct
model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgerec.core.statistics import Z95
from edgerec.off_policy.candidate_orders import Floats, Integers


@dataclass(frozen=True)
class Estimate:
    """An estimate and its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    def document(self) -> dict[str, object]:
        """Return the estimate for a JSON document."""
        return {"mean": self.mean, "ci95": [self.low, self.high]}


def ratio_of_sums(values: Floats, weights: Floats, user: Integers) -> Estimate:
    """Return ``R = sum(v) / sum(w)`` with an interval that allows any dependence between the places of a user.

    The standard error is that of the linearised ratio. With e the sum of ``v - R w`` over the places of a user, and U
    users, it is ``sqrt(U / (U - 1) sum(e^2)) / sum(w)``. If a few users have large weights, the standard error itself
    is uncertain. So the interval has the quantile of Student's t with the degrees of freedom that a variance with the
    kurtosis of e has, ``2 U / (kurtosis - 1)``, and at most U - 1.

    Args:
        values: v (n,).
        weights: w (n,), not all zero.
        user: (n,), the user of each place; at least two different ones.

    Source: Cochran, *Sampling Techniques*, section 6.3 (the ratio estimator); Satterthwaite, *An approximate
    distribution of estimates of variance components*, Biometrics Bulletin 2 (1946).
    """
    total = float(weights.sum())
    ratio = float(values.sum()) / total
    _, index = np.unique(user, return_inverse=True)
    residuals = np.bincount(index, values - ratio * weights)
    count = len(residuals)
    squares = float(residuals @ residuals)
    kurtosis = count * float((residuals**4).sum()) / squares**2 if squares else 3.0
    freedom = min(2 * count / max(kurtosis - 1, 1e-9), count - 1)
    half = t95(freedom) * math.sqrt(squares * count / (count - 1)) / abs(total)
    return Estimate(ratio, ratio - half, ratio + half)


def t95(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t. From 3 degrees of freedom on, it is correct to 1 %.

    Source: Abramowitz and Stegun, *Handbook of Mathematical Functions*, 26.7.5.
    """
    z = Z95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def ips(weights: Floats, clicked: Floats, user: Integers) -> Estimate:
    """Return inverse propensity scoring, ``mean(w y)``. It is unbiased."""
    return ratio_of_sums(weights * clicked, np.ones_like(clicked), user)


def snips(weights: Floats, clicked: Floats, user: Integers) -> Estimate | None:
    """Return the self-normalised estimate ``sum(w y) / sum(w)``, or None if all weights are 0.

    It has a bias of order 1 / n, and mostly a smaller variance than `ips`.

    Source: Swaminathan and Joachims, *The self-normalized estimator for counterfactual learning*, NeurIPS 2015.
    """
    return ratio_of_sums(weights * clicked, weights, user) if weights.any() else None


def doubly_robust(expected: Floats, weights: Floats, residuals: Floats, user: Integers) -> Estimate:
    """Return ``mean(sum_a pi(a) q(a) + w (y - q))``. It is unbiased for any q that was not fitted on the same places.

    Args:
        expected: (n,), the direct model's click rate of the policy, ``sum_a pi(a) q(a)``.
        weights: w (n,).
        residuals: (n,), y - q of the shown candidate.
        user: (n,).

    Source: Dudik, Langford and Li, *Doubly robust policy evaluation and learning*, ICML 2011.
    """
    return ratio_of_sums(expected + weights * residuals, np.ones_like(weights), user)


def effective_sample_size(weights: Floats) -> float:
    """Return ``sum(w)^2 / sum(w^2)``: with so many equally weighted places, an estimate would be about as exact."""
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares else 0.0
