"""A learning rate for each user, as in PAML (Yu et al., *Personalized Adaptive Meta Learning*, AAAI 2021, section 3).

The factor of the learning rate is ``softplus(network(h)) + memory(h)``, where h describes the user. `network` is a
small dense network. `memory` is a mean over the most similar users of meta-training; without memory, it is 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import FormatError
from edgerec.core.logistic import sigmoid
from edgerec.personalization.events import Events

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

NEIGHBOURS = 16
MOST_USERS, MOST_UNITS = 4096, 256
LARGEST = 10.0
"""The largest factor. A greater one would undo the bounds that meta-training has set to the rates."""


def describe(events: Events) -> Floats:
    """Return h (rank + 3,), what describes a user: the mean of what a patch reads, click rate, log loss, events.

    The last three numbers are the click rate less the mean predicted one, the mean log loss of the shared model, and
    ``log(1 + events)``.
    """
    logits = events.logits.astype(np.float64)
    loss = np.logaddexp(0, logits) - events.labels * logits
    more = (events.labels.mean() - sigmoid(logits).mean(), loss.mean(), np.log1p(len(events)))
    return np.concatenate([events.phi.mean(axis=0, dtype=np.float64), more])


def scaled_to(described: Floats, mean: NDArray[Any], scale: NDArray[Any]) -> Floats:
    """Return h (..., rank + 3) with the mean 0 and the standard deviation 1 in meta-training, and without outliers."""
    scaled: Floats = np.clip((described - mean) / scale, -5, 5)
    return scaled


def nearest(stored: NDArray[Any], scaled: Floats, *, own: int | None = None) -> tuple[NDArray[np.intp], Floats]:
    """Return the places of the most similar stored users, and their weights, whose sum is 1.

    Args:
        stored: (m, rank + 3) scaled h of stored users.
        scaled: (rank + 3,) scaled h of a user.
        own: the place of this user among the stored ones, which does not count.
    """
    distance = np.square(stored - scaled).sum(axis=1)
    if own is not None:
        distance[own] = np.inf
    near = np.argsort(distance, kind="stable")[:NEIGHBOURS]
    near = near[np.isfinite(distance[near])]
    if not len(near):
        return near, np.zeros(0)
    weights = np.exp(-0.5 * (distance[near] - distance[near[0]]) / len(scaled))
    return near, weights / weights.sum()


@dataclass(frozen=True, eq=False)
class UserRate:
    """The factor of the learning rate. All arrays are float32; `units` is the width of the hidden layer.

    Attributes:
        rate_mean, rate_scale: (rank + 3,) the mean and the standard deviation of h in meta-training.
        rate_kernel: (rank + 3, units), rate_bias: (units,) the hidden layer, with tanh.
        rate_output: (units + 1,) the output layer; its last number is the bias.
        rate_users: (m, rank + 3) scaled h of users of meta-training; m may be 0.
        rate_factors: (m,) what the memory returns for each of them.
    """

    rate_mean: Array
    rate_scale: Array
    rate_kernel: Array
    rate_bias: Array
    rate_output: Array
    rate_users: Array
    rate_factors: Array

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the arrays."""
        return tuple(field.name for field in fields(cls))

    def arrays(self) -> dict[str, Array]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in self.names()}

    def check(self, rank: int) -> None:
        """Check the arrays for a head with this rank.

        Raises:
            FormatError: an array has another shape or type, or is not finite.
        """
        width, units, users = rank + 3, len(np.atleast_1d(self.rate_bias)), len(np.atleast_1d(self.rate_factors))
        shapes: dict[str, tuple[int, ...]] = {
            "rate_mean": (width,),
            "rate_scale": (width,),
            "rate_kernel": (width, units),
            "rate_bias": (units,),
            "rate_output": (units + 1,),
            "rate_users": (users, width),
            "rate_factors": (users,),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            fits = array.dtype == np.float32 and array.shape == shape and np.isfinite(array).all()
            if not fits or units > MOST_UNITS or users > MOST_USERS:
                raise FormatError(
                    f"personal head: {name} should be finite float32 of shape {shape}, with at most {MOST_UNITS} units "
                    f"and {MOST_USERS} users; received {array.dtype} of shape {array.shape}: run `edgerec meta-train` "
                    "again"
                )
        if self.rate_scale.min() <= 0:
            raise FormatError(
                f"personal head: rate_scale should be greater than 0; received {self.rate_scale.min():g}: run "
                "`edgerec meta-train` again"
            )

    def factor(self, described: Floats) -> float:
        """Return the factor of the learning rate, within [0, `LARGEST`], of a user that `describe` describes."""
        scaled = scaled_to(described, self.rate_mean, self.rate_scale)
        hidden = np.tanh(scaled @ self.rate_kernel + self.rate_bias)
        factor = float(np.logaddexp(0, hidden @ self.rate_output[:-1] + self.rate_output[-1]))
        if len(self.rate_factors):
            near, weights = nearest(self.rate_users, scaled)
            factor += float(weights @ self.rate_factors[near])
        return min(max(factor, 0.0), LARGEST)
