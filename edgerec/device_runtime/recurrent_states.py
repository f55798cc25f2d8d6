"""The two recurrences of one kind of behaviour, moved by one step for each behaviour."""

from __future__ import annotations

import numpy as np

from edgerec.device_runtime.hubsm import Array, HubsmStepper, Step
from edgerec.device_runtime.store.rows import Encoding, States


class TwoRecurrences:
    """Steps each behaviour in the recurrence of its own segment and in that of the segment before.

    A segment has `limit` ordinals (`edgerec.features.recurrences`). At the first behaviour of a segment, the own
    recurrence becomes the previous one, and a new own recurrence starts with zeros. Behaviours of the first segment
    have no previous recurrence; nothing reads it, so its numbers are those of the own one. The same holds for an
    encoder without recurrence (DIN).

    Args:
        stepper: the step model. None for a kind that the ranker does not read: its encodings have width 0.
        limit: the number of ordinals in a segment.
        states: the states after the behaviour `through`; None at the start.
        through: the ordinal of the latest encoded behaviour; -1 if there is none.
    """

    def __init__(self, stepper: HubsmStepper | None, limit: int, states: States | None, through: int) -> None:
        self._stepper, self._limit = stepper, limit
        zeros = np.zeros((0, 0), np.float32) if stepper is None else stepper.initial_state()
        self._zeros, self.through = zeros, through
        self.states = States(zeros, zeros) if states is None else states

    def zeros(self) -> Encoding:
        """Return an encoding of zeros, which has the widths of all encodings."""
        widths = (0, 0) if self._stepper is None else (self._stepper.key_width, self._stepper.hidden)
        key, value = (np.zeros(width, np.float32) for width in widths)
        return Encoding(key, value, key, value)

    def step(self, ordinal: int, action: Array, item: Array) -> tuple[Encoding, States]:
        """Return the encoding of the behaviour `ordinal`, and the new states. `commit` makes them the present ones."""
        if self._stepper is None:
            return self.zeros(), self.states
        states = self._before(ordinal)
        own = self._stepper.step(action, item, states.own)
        previous: Step = own
        if ordinal >= self._limit and self._zeros.size:
            previous = self._stepper.step(action, item, states.previous)
        return Encoding(own.key, own.value, previous.key, previous.value), States(own.state, previous.state)

    def commit(self, ordinal: int, states: States) -> None:
        """Set the states after the behaviour `ordinal`. Call it when they are stored."""
        self.through, self.states = ordinal, states

    def _before(self, ordinal: int) -> States:
        """Return the states before the behaviour `ordinal`."""
        passed = ordinal // self._limit - self.through // self._limit
        if passed == 0:
            return self.states
        # If a whole segment is missing, its recurrence has made no step.
        return States(self._zeros, self.states.own if passed == 1 else self._zeros)
