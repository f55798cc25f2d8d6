"""An uplift (a relative change against another bucket) with its interval: cells of tables, and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgerec.reports.cells import p_value

NOT_MEASURED = "not measured"
"""The cell of a value that a document does not have."""


@dataclass(frozen=True)
class Uplift:
    """An uplift in a document. Each value is None if it was not measured.

    Attributes:
        mean: the relative change; 0.05 is 5 % more.
        ci95: ends of its 95 % interval.
        p: the p-value.
        p_adjusted: the p-value, adjusted because several comparisons were made.
        paper: the same metric's uplift in the paper.
    """

    mean: float | None = None
    ci95: tuple[float, float] | None = None
    p: float | None = None
    p_adjusted: float | None = None
    paper: float | None = None

    @property
    def is_clear(self) -> bool:
        """Whether the interval does not contain 0."""
        return self.ci95 is not None and not self.ci95[0] <= 0 <= self.ci95[1]

    def cells(self) -> tuple[str, str, str]:
        """Return the cells of the mean, the interval and the p-value."""
        return change(self.mean), self.interval(), measured_p(self.p)

    def interval(self) -> str:
        """Return the interval in percent."""
        return NOT_MEASURED if self.ci95 is None else "{:+.2f} to {:+.2f} %".format(*(100 * end for end in self.ci95))

    def brief(self, decimals: int = 2) -> str:
        """Return the mean and the interval in one cell."""
        if self.mean is None or self.ci95 is None:
            return change(self.mean)
        mean, low, high = (f"{100 * value:+.{decimals}f}" for value in (self.mean, *self.ci95))
        return f"{mean} % ({low} to {high})"

    def sentence(self, words: str) -> str:
        """Return what happened to the metric as the end of a sentence, such as ``raised clicks by 8.1 % (...)``."""
        if self.mean is None:
            return f"was not measured on {words}"
        if self.ci95 is None:
            return f"changed {words} by {100 * self.mean:+.1f} % (without an interval)"
        decimals = 1 if self.ci95[1] - self.ci95[0] >= 0.005 else 2
        low, high = (100 * end for end in self.ci95)
        if not self.is_clear:
            bounds = f"95 %: {low:+.{decimals}f} to {high:+.{decimals}f} %"
            return f"did not clearly change {words}: {100 * self.mean:+.{decimals}f} % ({bounds})"
        verb = "raised" if self.mean > 0 else "lowered"
        ends = sorted((abs(low), abs(high)))
        bounds = f"95 %: {ends[0]:.{decimals}f} to {ends[1]:.{decimals}f} %"
        return f"{verb} {words} by {100 * abs(self.mean):.{decimals}f} % ({bounds})"


def read_uplift(entry: Mapping[str, Any] | None) -> Uplift:
    """Return the uplift of an entry of a document."""
    found = entry or {}
    ends = found.get("ci95")
    return Uplift(
        mean=found.get("mean"),
        ci95=None if ends is None or None in ends else (ends[0], ends[1]),
        **{name: found.get(name) for name in ("p", "p_adjusted", "paper")},
    )


def change(value: float | None) -> str:
    """Return a relative change in percent, with its sign."""
    return NOT_MEASURED if value is None else f"{100 * value:+.2f} %"


def measured_p(value: float | None) -> str:
    """Return a p-value."""
    return NOT_MEASURED if value is None else p_value(value)
