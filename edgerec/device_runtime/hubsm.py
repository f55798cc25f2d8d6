"""HUBSM on the device: one behaviour at a time, state in and state out."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SessionError
from edgerec.device_runtime import forks
from edgerec.device_runtime.finite import Joined, check_finite, not_finite
from edgerec.device_runtime.session import Session, Shape, check_array

Array = npt.NDArray[np.float32]


class Step(NamedTuple):
    """What one behaviour leaves behind.

    Attributes:
        key: `(key_width,)`, for attention over this behaviour; to be stored.
        value: `(hidden,)`, the behaviour's share of a candidate's hidden layer; to be stored.
        state: `(2 * depth, units)`, for the next step.
    """

    key: Array
    value: Array
    state: Array


class HubsmStepper:
    """The step function of one behaviour encoder (eq. 3-8), `step(behaviour, h) -> h`.

    It keeps nothing between steps: the same arguments give the same bytes. An encoder without recurrence (DIN) has a
    state of no rows.

    Args:
        model: the step model, a file or its bytes.
        threads: number of threads of a run.

    Attributes:
        action_width: d_a, number of action features.
        item_width: d_x, number of item features.
        state_shape: `(2 * depth, units)`.
        key_width: length of a key.
        hidden: length of a value.
        session: the MNN session underneath; whoever writes to it directly does so without checks.

    Raises:
        SessionError: the model cannot be loaded, or is no step model.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        session = Session(model, threads=threads)
        recurrent = "state" in session.inputs
        state = session.inputs.get("state", (0,))
        rows, units = state[0], state[-1]
        self.state_shape = (rows, units)
        self.action_width = session.inputs.get("action", (0,))[-1]
        self.item_width = session.inputs.get("item", (0,))[-1]
        self.key_width = session.outputs.get("key", (0,))[0]
        self.hidden = session.outputs.get("value", (0,))[0]
        inputs: dict[str, Shape] = {"action": (1, 1, self.action_width), "item": (1, 1, self.item_width)}
        outputs: dict[str, Shape] = {"key": (self.key_width, 1), "value": (self.hidden, 1)}
        if recurrent:
            inputs["state"] = outputs["new_state"] = (rows, 1, units)
        if (inputs, outputs) != (session.inputs, session.outputs):
            raise SessionError(
                "a step model should have inputs `action`, `item` and outputs `key`, `value`, and perhaps `state` and "
                "`new_state`. "
                f"Received: {dict(session.inputs)} and {dict(session.outputs)}"
            )
        self.session = session
        self._lock, self._forks = threading.Lock(), forks.forks
        self._action = session.view("action").reshape(-1)
        self._item = session.view("item").reshape(-1)
        self._state = session.view("state").reshape(self.state_shape) if recurrent else self.initial_state()
        self._key = session.view("key").reshape(-1)
        self._value = session.view("value").reshape(-1)
        self._new_state = session.view("new_state").reshape(self.state_shape) if recurrent else self._state
        self._given, self._made = (
            Joined(*(view.shape for view in views))
            for views in ((self._action, self._item, self._state), (self._key, self._value, self._new_state))
        )
        self._given_action, self._given_item, self._given_state = self._given.parts
        self._made_key, self._made_value, self._made_state = self._made.parts

    def initial_state(self) -> Array:
        """Give the state before the first behaviour: zeros."""
        return np.zeros(self.state_shape, np.float32)

    def step(self, action: Array, item: Array, state: Array) -> Step:
        """Encode one behaviour.

        Args:
            action: `(d_a,)` float32, the behaviour's action features.
            item: `(d_x,)` float32, the features of its item.
            state: `(2 * depth, units)` float32, from the step before.

        Returns:
            Arrays that are the caller's own.

        Raises:
            SessionError: an array of another shape or type, or one that is not finite; or this process was forked after
                the model was loaded.
            NotFiniteError: what the model gave is not finite; numbers of the arguments are too large.
        """
        check_array("action", action, self._action.shape)
        check_array("item", item, self._item.shape)
        check_array("state", state, self.state_shape)
        if self._forks != forks.forks:
            raise forks.forked()
        with self._lock:
            self._given_action[...] = action
            self._given_item[...] = item
            self._given_state[...] = state
            if not self._given.finite():
                for name, array in (("action", action), ("item", item), ("state", state)):
                    check_finite(name, array)
            self._action[...] = self._given_action
            self._item[...] = self._given_item
            self._state[...] = self._given_state
            self.session.execute()
            self._made_key[...] = self._key
            self._made_value[...] = self._value
            self._made_state[...] = self._new_state
            if not self._made.finite():
                outputs = {"key": self._made_key, "value": self._made_value, "state": self._made_state}
                raise not_finite(outputs, {"action": action, "item": item, "state": state})
            return Step(self._made_key.copy(), self._made_value.copy(), self._made_state.copy())
