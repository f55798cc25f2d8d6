"""Adjust the p-values of the secondary metrics for their number."""

from __future__ import annotations

from collections.abc import Mapping

from edgerec.simulation.ab_test.library import tea_tasting


def adjusted(p_values: Mapping[str, float | None], *, primary: str) -> dict[str, float | None]:
    """Return adjusted p-values. That of the primary metric is unchanged; the others are adjusted by Holm's method.

    If no secondary metric has an effect, the probability that at least one adjusted p-value is below 0.05 is at most
    0.05, however the metrics depend on each other. The primary metric is chosen before the test and decides it alone,
    so it is not adjusted. A missing p-value stays None and does not count.

    Args:
        p_values: the p-value of each metric, or None.
        primary: name of the primary metric.

    Source: Holm, *A Simple Sequentially Rejective Multiple Test Procedure*, Scandinavian Journal of Statistics 6
    (1979), 65-70. tea-tasting computes it.
    """
    secondary = {name: {"pvalue": p} for name, p in p_values.items() if name != primary and p is not None}
    found = dict(p_values)
    if secondary:
        results = tea_tasting.experiment.ExperimentResult(secondary)
        holm = tea_tasting.adjust_fwer(results, arbitrary_dependence=True, method="bonferroni")
        for result in holm.values():
            found.update({name: float(values["pvalue_adj"]) for name, values in result.items()})
    return found
