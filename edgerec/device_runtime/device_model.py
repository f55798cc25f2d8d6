"""The device models of one version together, and encoding behaviours with one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgerec.core.errors import SessionError
from edgerec.device_runtime.crban import CrbanRanker
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.hubsm import Array, HubsmStepper, Step
from edgerec.device_runtime.raw_values import RawEncoder, Values
from edgerec.device_runtime.session import check_rows
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW, BehaviourKind, Limits
from edgerec.features.kinds import Feature
from edgerec.features.spec import FeatureSpec


class BehaviourModel:
    """One kind of behaviour on the device, from raw values to a step.

    Attributes:
        actions: makes the vector of an action.
        stepper: makes the step.
    """

    def __init__(self, features: Sequence[Feature], stepper: HubsmStepper) -> None:
        self.actions = RawEncoder(features)
        self.stepper = stepper

    def initial_state(self) -> Array:
        """Return the state before the user's first behaviour of this kind: zeros."""
        return self.stepper.initial_state()

    def encode(self, values: Values, item_vector: Array, state: Array) -> Step:
        """Encode one behaviour.

        Args:
            values: raw values of the action, by source column, as in the logs.
            item_vector: (d_x,) float32, of the item: a row of `DeviceModel.items.vectors`.
            state: from the step before, or `initial_state()`.

        Returns:
            What to store: key and value with the behaviour, the state with the user.

        Raises:
            SpecificationError: a value that its feature cannot read.
            SessionError, NotFiniteError: as `HubsmStepper.step`.
        """
        return self.stepper.step(self.actions.vector(values), item_vector, state)


@dataclass(frozen=True)
class DeviceModel:
    """The device models of one version. `edgerec.load_device_model` reads them from a bundle.

    Attributes:
        version_id: the version.
        spec: the feature specification.
        limits: the longest sequences that the models read.
        steppers: the stepper of each kind of behaviour that the ranker reads.
        crban: ranker.
    """

    version_id: str
    spec: FeatureSpec
    limits: Limits
    steppers: Mapping[BehaviourKind, HubsmStepper]
    crban: CrbanRanker

    @cached_property
    def items(self) -> RawEncoder:
        """Makes item vectors, of candidates and of behaviours' items, from raw values and the rows of the cloud."""
        return RawEncoder(self.spec.item)

    @cached_property
    def exposures(self) -> BehaviourModel:
        """Encodes item exposures. A SessionError if the ranker does not read them."""
        return self._behaviours(EXPOSURE)

    @cached_property
    def page_views(self) -> BehaviourModel:
        """Encodes item page-views. A SessionError if the ranker does not read them."""
        return self._behaviours(PAGE_VIEW)

    def _behaviours(self, kind: BehaviourKind) -> BehaviourModel:
        if kind not in self.steppers:
            raise SessionError(f"this model does not read {kind.plural}: version {self.version_id}")
        return BehaviourModel(self.spec.actions(kind), self.steppers[kind])


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
