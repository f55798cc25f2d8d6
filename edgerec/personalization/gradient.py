"""The loss of a patch, its gradient and its curvature, in closed form.

    loss(theta) = mean_i logloss(label_i, logit_i + x_i . theta) + 1/(2 n) sum_j pull_j (theta_j - start_j)^2

where ``x_i = [phi_i, 1]``. It is convex. The pull counts as a fixed number of events, so it fades as events come in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.core.logistic import sigmoid
from edgerec.personalization.events import Events
from edgerec.personalization.head import PersonalHead

Floats = NDArray[np.float64]


def inputs_of(events: Events) -> Floats:
    """Return (n, rank + 1) what the numbers of a patch multiply: `phi`, and a column of ones for the bias."""
    inputs = np.ones((len(events), events.phi.shape[1] + 1))
    inputs[:, :-1] = events.phi
    return inputs


@dataclass(frozen=True, eq=False)
class PatchLoss:
    """The loss of patches on the events of one user. `of` creates it.

    Attributes:
        inputs: (n, rank + 1) see `inputs_of`.
        logits, labels: (n,) as in `Events`.
        start, pull: (rank + 1,) as in `PersonalHead`.
    """

    inputs: Floats
    logits: Floats
    labels: Floats
    start: Floats
    pull: Floats

    @classmethod
    def of(cls, head: PersonalHead, events: Events) -> PatchLoss:
        """Return the loss on some events, at least one."""
        wide = (array.astype(np.float64) for array in (events.logits, events.labels, head.start, head.pull))
        return cls(inputs_of(events), *wide)

    def each(self, theta: Floats) -> Floats:
        """Return the log loss (n,) of each event, without the pull."""
        logits = self.logits + self.inputs @ theta
        loss: Floats = np.logaddexp(0, logits) - self.labels * logits
        return loss

    def value(self, theta: Floats) -> float:
        """Return the loss."""
        change = theta - self.start
        return float(self.each(theta).mean() + (self.pull * change) @ change / (2 * len(self.labels)))

    def gradient(self, theta: Floats) -> Floats:
        """Return the gradient (rank + 1,) of the loss."""
        rates = sigmoid(self.logits + self.inputs @ theta)
        gradient: Floats = ((rates - self.labels) @ self.inputs + self.pull * (theta - self.start)) / len(self.labels)
        return gradient

    def curvature(self, theta: Floats) -> Floats:
        """Return the matrix (rank + 1, rank + 1) of second derivatives of the loss. It is positive definite."""
        rates = sigmoid(self.logits + self.inputs @ theta)
        # NumPy computes half of the product of a matrix with its own transpose, and copies the other half.
        weighted = self.inputs * np.sqrt(rates * (1 - rates))[:, None]
        matrix: Floats = (weighted.T @ weighted + np.diag(self.pull)) / len(self.labels)
        return matrix
