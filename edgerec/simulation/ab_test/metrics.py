"""The metrics of an A/B test, each a ratio of two sums over users."""

from __future__ import annotations

from dataclasses import dataclass

from edgerec.core.errors import ConfigurationError
from edgerec.core.text import did_you_mean, shown


@dataclass(frozen=True)
class Metric:
    """A metric: the sum of `numerator` over users, divided by the sum of `denominator`, or by the number of users.

    Attributes:
        name: name in the document.
        numerator: column of the table of users.
        denominator: column of the table of users, or None for a mean for each user.
        paper: relative uplift of the paper's online test (section 4.3).
    """

    name: str
    numerator: str
    denominator: str | None
    paper: float

    @property
    def covariate(self) -> str:
        """The numerator of the same metric in the pre-period."""
        return f"pre_{self.numerator}"

    @property
    def covariate_denominator(self) -> str | None:
        """The denominator of the same metric in the pre-period, or None."""
        return None if self.denominator is None else f"pre_{self.denominator}"


METRICS = (
    Metric("pv", "pv", None, 0.0157),
    Metric("ctr", "clicks", "pv", 0.0718),
    Metric("click", "clicks", None, 0.0887),
    Metric("gmv", "gmv", None, 0.1092),
)
"""PV, CLICK and GMV are the exposures, clicks and money of a user. CTR is all clicks divided by all exposures."""
PRIMARY = "click"
"""The metric that decides the test. The others are secondary."""


def check_metric(name: str, what: str) -> None:
    """Check that `name` is the name of a metric. `what` names the setting in the error text.

    Raises:
        ConfigurationError: there is no such metric.
    """
    names = [metric.name for metric in METRICS]
    if name not in names:
        received = shown(str(name)[:80])
        question = did_you_mean(received, names)
        raise ConfigurationError(f"{what} should be one of {', '.join(names)}; received {received}{question}")
