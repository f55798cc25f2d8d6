"""The events of one user as numbers, and the standardised activations in which all methods learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.model.personalization.activations import Activations
from edgerec.model.personalization.tasks import Task
from edgerec.personalization.events import Events
from edgerec.personalization.gradient import inputs_of
from edgerec.personalization.head import PersonalHead, Training

Floats = NDArray[np.float64]

CLIP = 8.0
"""What a patch reads has the standard deviation 1 and is clipped to this size. A value far outside of the range of
meta-training must not decide."""
_CONSTANT = 1e-3
"""A column with a smaller standard deviation carries nothing."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Labelled events of one user.

    Attributes:
        x: (n, d + 1) what the personal numbers multiply. The last column is 1, for the bias.
        logit: (n,) of the shared model.
        label: (n,) 0 or 1.
    """

    x: Floats
    logit: Floats
    label: Floats

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def of(cls, events: Events) -> Problem:
        """Return the events of a patch."""
        return cls(inputs_of(events), events.logits.astype(np.float64), events.labels.astype(np.float64))


def standard_head(activations: Activations, tasks: Sequence[Task], *, candidate: bool, version_id: str) -> PersonalHead:
    """Return a head that standardises the activations, with a patch of zeros.

    Args:
        activations: the exposures.
        tasks: users of meta-training. Means and standard deviations are those of their exposures.
        candidate: whether the patch reads the candidate vector, too, or the hidden layer alone.
        version_id: the model version.
    """
    mean, deviation = moments(activations, tasks)
    kept = np.flatnonzero(deviation > _CONSTANT)
    if not candidate:
        kept = kept[kept < activations.hidden]
    kernel = np.zeros((len(mean), len(kept)))
    kernel[kept, np.arange(len(kept))] = 1 / deviation[kept]
    return head_of(mean, kernel, version_id=version_id, method="standard")


def moments(activations: Activations, tasks: Sequence[Task]) -> tuple[Floats, Floats]:
    """Return mean and standard deviation (inputs,) of the activations of some users."""
    total, sums, squares = 0, np.zeros(activations.values.shape[1]), np.zeros(activations.values.shape[1])
    for task in tasks:
        part = activations.values[task.all].astype(np.float64)
        total += len(part)
        sums += part.sum(axis=0)
        squares += (part * part).sum(axis=0)
    mean = sums / total
    return mean, np.sqrt(np.maximum(squares / total - mean * mean, 0))


def head_of(
    mean: Floats,
    kernel: Floats,
    *,
    version_id: str,
    method: str,
    start: Floats | None = None,
    rates: Floats | float = 0.0,
    pull: Floats | float = 1.0,
    steps: int = 1,
    optimiser: str = "gradient",
) -> PersonalHead:
    """Return a head with these numbers as float32."""
    numbers = kernel.shape[1] + 1

    def wide(value: Floats | float) -> NDArray[np.float32]:
        array: NDArray[np.float32] = np.broadcast_to(np.asarray(value, np.float32), (numbers,)).copy()
        return array

    training = Training.model_validate(
        {
            "version_id": version_id,
            "method": method,
            "steps": steps,
            "optimiser": optimiser,
            "clip": CLIP,
        }
    )
    return PersonalHead(
        training=training,
        mean=mean.astype(np.float32),
        kernel=kernel.astype(np.float32),
        start=wide(0.0 if start is None else start),
        rates=wide(rates),
        pull=wide(pull),
    )


def events_of(activations: Activations, head: PersonalHead, rows: slice) -> Events:
    """Return the events of `rows` that train a patch: each exposure once, with the newest behaviours of its page."""
    use = np.arange(rows.start, rows.stop)[activations.latest[rows]]
    return Events(
        phi=head.read(activations.values[use]),
        logits=activations.logit[use].astype(np.float32),
        labels=activations.label[use].astype(np.float32),
        requests=activations.page[use],
    )
