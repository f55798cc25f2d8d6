"""The device models of one version together, and encoding behaviours with one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgerec.core.errors import SessionError
from edgerec.device_runtime.crban import CrbanRanker, Encodings
from edgerec.device_runtime.hubsm import Array, HubsmStepper
from edgerec.device_runtime.session import check_rows
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW, Limits
from edgerec.features.spec import FeatureSpec


@dataclass(frozen=True)
class DeviceModel:
    """The device models of one version. `edgerec.bundle.load.load_device_model` reads them from a bundle.

    Attributes:
        version_id: the version.
        spec: the feature specification.
        limits: the longest sequences that the models read.
        hubsm_ie: stepper of item exposures; None if the ranker does not read them.
        hubsm_ipv: stepper of item page-views; None if the ranker does not read them.
        crban: ranker.
    """

    version_id: str
    spec: FeatureSpec
    limits: Limits
    hubsm_ie: HubsmStepper | None
    hubsm_ipv: HubsmStepper | None
    crban: CrbanRanker

    @property
    def steppers(self) -> dict[str, HubsmStepper]:
        """The steppers that are not None, by name of device model."""
        found = {EXPOSURE.step_model: self.hubsm_ie, PAGE_VIEW.step_model: self.hubsm_ipv}
        return {name: stepper for name, stepper in found.items() if stepper is not None}


def encode_behaviours(stepper: HubsmStepper, action: Array, item: Array) -> Encodings:
    """Make one step for each behaviour, from the initial state, oldest behaviour first.

    Args:
        stepper: the stepper of this kind of behaviour.
        action: (t, d_a) float32.
        item: (t, d_x) float32.

    Returns:
        Keys and values of all t steps.

    Raises:
        SessionError: `stepper` is not a stepper, or an array has another shape, type or length.
        NotFiniteError: the model returned a number that is not finite.
    """
    if not isinstance(stepper, HubsmStepper):
        raise SessionError(f"`stepper` should be a HubsmStepper. Received: {type(stepper).__name__}")
    check_rows("action", action, stepper.action_width)
    check_rows("item", item, stepper.item_width)
    if len(action) != len(item):
        raise SessionError(f"`item` should have as many rows as `action`. Received: {len(item)} and {len(action)}")
    keys = np.empty((len(action), stepper.key_width), np.float32)
    values = np.empty((len(action), stepper.hidden), np.float32)
    state = stepper.initial_state()
    for at in range(len(action)):
        keys[at], values[at], state = stepper.step(action[at], item[at], state)
    return Encodings(keys, values)
