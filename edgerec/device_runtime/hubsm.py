"""The HUBSM encoder on the device. It encodes one behaviour at a time: it takes a state and returns the new state."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SessionError
from edgerec.device_runtime import forks
from edgerec.device_runtime.arguments import Shape, check_array
from edgerec.device_runtime.finite import Joined, check_finite, not_finite
from edgerec.device_runtime.session import Session

Array = npt.NDArray[np.float32]


class Step(NamedTuple):
    """The result of encoding one behaviour.

    Attributes:
        key: `(key_width,)`, the key for attention over this behaviour. Store it with the behaviour.
        value: `(hidden,)`, the behaviour's contribution to the ranker's hidden layer. Store it with the behaviour.
        state: `(2 * depth, units)`, the state for the next step. Store it with the user.
    """

    key: Array
    value: Array
    state: Array


class HubsmStepper:
    """The step function of one behaviour encoder (eq. 3-8), `step(behaviour, h) -> h`.

    It stores nothing between steps, so equal arguments give equal bytes. If the encoder has no recurrence (DIN), the
    state has 0 rows.

    Args:
        model: the path of the MNN file of the step model, or the content of that file.
        threads: number of threads that a run uses.

    Attributes:
        action_width: d_a, number of action features.
        item_width: d_x, number of item features.
        state_shape: `(2 * depth, units)`.
        key_width: length of a key.
        hidden: length of a value.
        session: the MNN session of the model. If you write to it directly, nothing checks the arrays.

    Raises:
        SessionError: the model cannot be loaded, or it is not a step model.
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
                "a step model should have the inputs `action` and `item` and the outputs `key` and `value`; if it is "
                "recurrent, also the input `state` and the output `new_state`. "
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
        self._action_shape, self._item_shape = self._action.shape, self._item.shape
        self._inputs, self._outputs = (
            Joined(*(view.shape for view in views))
            for views in ((self._action, self._item, self._state), (self._key, self._value, self._new_state))
        )
        self._input_action, self._input_item, self._input_state = self._inputs.parts
        self._output_key, self._output_value, self._output_state = self._outputs.parts

    def initial_state(self) -> Array:
        """Return the state before the first behaviour: zeros."""
        return np.zeros(self.state_shape, np.float32)

    def step(self, action: Array, item: Array, state: Array) -> Step:
        """Encode one behaviour.

        Args:
            action: `(d_a,)` float32, the behaviour's action features.
            item: `(d_x,)` float32, the features of its item.
            state: `(2 * depth, units)` float32, the state that the previous step returned.

        Returns:
            The step, in new arrays.

        Raises:
            SessionError: an array has the wrong shape or type, or is not finite, or this process was forked after the
                model was loaded.
            NotFiniteError: an output is not finite, because numbers in the arguments are too large.
        """
        check_array("action", action, self._action_shape)
        check_array("item", item, self._item_shape)
        check_array("state", state, self.state_shape)
        if self._forks != forks.forks:
            raise forks.forked()
        with self._lock:
            self._input_action[...] = action
            self._input_item[...] = item
            self._input_state[...] = state
            if not self._inputs.finite():
                for name, array in (("action", action), ("item", item), ("state", state)):
                    check_finite(name, array)
            self._action[...] = self._input_action
            self._item[...] = self._input_item
            self._state[...] = self._input_state
            self.session.execute()
            self._output_key[...] = self._key
            self._output_value[...] = self._value
            self._output_state[...] = self._new_state
            if not self._outputs.finite():
                outputs = {"key": self._output_key, "value": self._output_value, "state": self._output_state}
                raise not_finite(outputs, {"action": action, "item": item, "state": state})
            return Step(self._output_key.copy(), self._output_value.copy(), self._output_state.copy())
