"""The result of a method of meta-training: how the patch of a user is made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import TrainingError
from edgerec.personalization.events import Events
from edgerec.personalization.head import PersonalHead
from edgerec.personalization.training import train
from edgerec.personalization.user_rate import describe

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Learned:
    """How a method makes patches.

    Attributes:
        head: what all users share.
        trains: whether a user's events train the patch. If not, each user has the start.
        rate_of_other: the learning rate is that of the other user (a control).
        events_of_other: the whole patch is that of the other user (a control).
        first_bias: the head that fits the user's bias before the weights are trained; None: all are trained together.
        settings: the tuned settings, for people.
    """

    head: PersonalHead
    trains: bool = True
    rate_of_other: bool = False
    events_of_other: bool = False
    first_bias: PersonalHead | None = None
    settings: dict[str, float] | None = None

    def patch(self, own: Events, other: Events) -> Array:
        """Return the patch of a user with the events `own`. `other` has the events of another user, for controls.

        If the events cannot train a patch, for example because there are too few, it is the start.
        """
        if not self.trains:
            return self.head.start
        head, events = self.head, other if self.events_of_other else own
        if self.rate_of_other and head.user_rate is not None:
            factor = np.float32(head.user_rate.factor(describe(other)))
            head = replace(head, rates=head.rates * factor, user_rate=None)
        bias = np.float32(0.0)
        if self.first_bias is not None:
            bias = tried(self.first_bias, replace(events, phi=np.zeros((len(events), 1), np.float32)))[-1]
            events = replace(events, logits=events.logits + bias)
        theta: Array = tried(head, events).copy()
        theta[-1] += bias
        return theta


def tried(head: PersonalHead, events: Events) -> Array:
    """Return the patch that the device trains; the start if the device refuses to train."""
    try:
        return train(head, events)
    except TrainingError:
        return head.start
