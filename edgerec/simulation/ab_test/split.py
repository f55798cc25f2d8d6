"""The uplift of the split design, in which each user is in one bucket. tea-tasting computes it."""

from __future__ import annotations

from typing import Any

import polars as pl

from edgerec.simulation.ab_test.aggregates import has_covariate, has_spread, has_value, read_aggregates
from edgerec.simulation.ab_test.library import tea_tasting
from edgerec.simulation.ab_test.metrics import METRICS, Metric
from edgerec.simulation.ab_test.uplift import UNKNOWN, Uplift


def split_uplifts(control: pl.DataFrame, treatment: pl.DataFrame, *, cuped: bool = True) -> dict[str, Uplift]:
    """Return the uplift of `treatment` against `control` in each metric.

    Args:
        control: users of the control.
        treatment: users of the treatment.
        cuped: whether the pre-period reduces the variance.
    """
    one, other = read_aggregates(control), read_aggregates(treatment)
    return {metric.name: aggregates_uplift(one, other, metric, cuped=cuped) for metric in METRICS}


def aggregates_uplift(control: Any, treatment: Any, metric: Metric, *, cuped: bool) -> Uplift:
    """Return the uplift of a metric from the aggregates of two groups of users.

    `tea_tasting.RatioOfMeans` computes it. The variance of a ratio is that of the delta method. The p-value is that of
    Welch's test of the difference. The interval of the relative uplift uses the delta method on the logarithm of the
    ratio, so it is not symmetric.

    With CUPED, the covariate is the same metric in the pre-period, for CTR a ratio, too. What it predicts is
    subtracted, so the variance is smaller and the expected uplift is the same.

    Args:
        control: the `tea_tasting.aggr.Aggregates` of the control (`aggregates.py`).
        treatment: those of the treatment.
        metric: the metric.
        cuped: whether to use CUPED. It is left out if the covariate has no spread, if the metric is 0 in the treatment,
            or if an adjusted mean is not positive, which happens with a few tens of users.

    Source: Deng, Xu, Kohavi and Walker, *Improving the Sensitivity of Online Controlled Experiments by Utilizing
    Pre-Experiment Data*, WSDM 2013 (CUPED); Deng, Knoblich and Lu, *Applying the Delta Method in Metric Analytics*,
    KDD 2018.
    """
    groups = (control, treatment)
    if not all(has_value(group, metric) for group in groups) or not control.mean(metric.numerator):
        return UNKNOWN
    if not any(has_spread(group, metric) for group in groups):
        return Uplift(mean=float(_value(treatment, metric) / _value(control, metric) - 1))
    adjustable = all(group.mean(metric.numerator) and group.mean(metric.covariate_denominator) for group in groups)
    if cuped and adjustable and has_covariate(control + treatment, metric):
        try:
            adjusted = library_metric(metric, cuped=True).analyze_aggregates(control, treatment)
        except OverflowError:  # An adjusted mean is so near 0 that the interval of the ratio has no upper bound.
            adjusted = None
        if adjusted is not None and adjusted.control > 0 and adjusted.treatment > 0:
            return _uplift(adjusted)
    return _uplift(library_metric(metric, cuped=False).analyze_aggregates(control, treatment))


def library_metric(metric: Metric, *, cuped: bool, use_t: bool = True, **power: Any) -> Any:
    """Return the metric as an object of tea-tasting: two-sided, 95 %, without the assumption of equal variances.

    Args:
        metric: the metric.
        cuped: whether the pre-period is the covariate.
        use_t: whether to use the t distribution instead of the normal distribution.
        power: arguments of `RatioOfMeans` for a power analysis.
    """
    covariate = (metric.covariate, metric.covariate_denominator) if cuped else (None, None)
    return tea_tasting.RatioOfMeans(
        *(metric.numerator, metric.denominator, *covariate),
        alternative="two-sided",
        confidence_level=0.95,
        equal_var=False,
        use_t=use_t,
        **power,
    )


def _value(group: Any, metric: Metric) -> float:
    return float(group.mean(metric.numerator) / group.mean(metric.denominator))


def _uplift(result: Any) -> Uplift:
    if not result.treatment:  # The logarithm of a ratio of 0 has no interval.
        return Uplift.of(result.rel_effect_size, float("nan"), float("nan"), result.pvalue)
    low, high = result.rel_effect_size_ci_lower, result.rel_effect_size_ci_upper
    return Uplift.of(result.rel_effect_size, low, high, result.pvalue)
