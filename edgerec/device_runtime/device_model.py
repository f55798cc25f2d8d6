"""All device models of one version, and functions that encode behaviours with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgerec.core.errors import SessionError
from edgerec.device_runtime.arguments import check_vectors
from edgerec.device_runtime.candidates import CandidateEncoder
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.hubsm import Array, HubsmStepper, Step
from edgerec.device_runtime.ranker import DeviceRanker
from edgerec.device_runtime.raw_values import RawEncoder
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW, BehaviourKind, Limits
from edgerec.features.encoder import Values
from edgerec.features.kinds import Feature
from edgerec.features.spec import FeatureSpec
from edgerec.mixing.head import SurroundingsHead
from edgerec.mixing.settings import MixSettings
from edgerec.personalization.head import PersonalHead


class BehaviourModel:
    """The encoder of one kind of behaviour on the device. It makes a `Step` from raw values.

    Attributes:
        actions: makes the vector of an action from raw values.
        stepper: makes the step from vectors.
    """

    def __init__(self, features: Sequence[Feature], stepper: HubsmStepper) -> None:
        self.actions = RawEncoder(features)
        self.stepper = stepper

    def initial_state(self) -> Array:
        """Return the state before the user's first behaviour of this kind. All its numbers are zero."""
        return self.stepper.initial_state()

    def encode(self, values: Values, item_vector: Array, state: Array) -> Step:
        """Encode one behaviour.

        Args:
            values: raw values of the action by source column, as in the logs. The keys are exactly the columns that
                the action's features read. A missing value is None.
            item_vector: (d_x,) float32, the vector of the item: a row of `DeviceModel.items.vectors`.
            state: the state that the previous step returned, or `initial_state()`.

        Returns:
            The step. Store its key and value with the behaviour, and its state with the user.

        Raises:
            SpecificationError: a key is unknown or absent, or a feature cannot read its value.
            SessionError, NotFiniteError: the same errors as in `HubsmStepper.step`.
        """
        return self.stepper.step(self.actions.vector(values), item_vector, state)


@dataclass(frozen=True)
class DeviceModel:
    """The device models of one version. `edgerec.load_device_model` loads them from a bundle.

    Attributes:
        version_id: the version.
        spec: the feature specification.
        limits: the maximal lengths of the sequences that the models read.
        steppers: the stepper of each kind of behaviour that the ranker reads.
        ranker: the ranker.
        mixing: the rules of a mixed feed; None: the order of the ranker is shown.
        head: what computes click rates from the cards around a card; None for a model without surroundings.
        personal: how patches of one user are trained, and what they read of `Scored`; None for a model without patches.
    """

    version_id: str
    spec: FeatureSpec
    limits: Limits
    steppers: Mapping[BehaviourKind, HubsmStepper]
    ranker: DeviceRanker
    mixing: MixSettings | None = None
    head: SurroundingsHead | None = None
    personal: PersonalHead | None = None

    @cached_property
    def items(self) -> RawEncoder:
        """Return the encoder of items. It makes item vectors from raw values and from the cloud's embedding rows."""
        return RawEncoder(self.spec.item)

    @cached_property
    def candidates(self) -> CandidateEncoder:
        """Return the encoder of candidates. It adds relations and the context of the request to item vectors."""
        return CandidateEncoder(self.spec, self.limits)

    @cached_property
    def exposures(self) -> BehaviourModel:
        """Return the encoder of item exposures, or raise a `SessionError` if the ranker does not read them."""
        return self._behaviours(EXPOSURE)

    @cached_property
    def page_views(self) -> BehaviourModel:
        """Return the encoder of item page-views, or raise a `SessionError` if the ranker does not read them."""
        return self._behaviours(PAGE_VIEW)

    def _behaviours(self, kind: BehaviourKind) -> BehaviourModel:
        if kind not in self.steppers:
            raise SessionError(
                f"the ranker of version {self.version_id} does not read {kind.plural}: do not encode them"
            )
        return BehaviourModel(self.spec.actions(kind), self.steppers[kind])


def encode_behaviours(stepper: HubsmStepper, action: Array, item: Array) -> Encodings:
    """Encode a user's behaviours one after the other, starting from the initial state.

    Args:
        stepper: the stepper of this kind of behaviour.
        action: (t, d_a) float32, oldest behaviour first.
        item: (t, d_x) float32, in the same order.

    Returns:
        Keys and values of all t steps.

    Raises:
        SessionError: `stepper` is not a stepper, or an array has the wrong shape, type or length.
        NotFiniteError: the model returned a number that is not finite.
    """
    if not isinstance(stepper, HubsmStepper):
        raise SessionError(f"`stepper` should be a HubsmStepper. Received: {type(stepper).__name__}")
    check_vectors("action", action, stepper.action_width)
    check_vectors("item", item, stepper.item_width)
    if len(action) != len(item):
        raise SessionError(f"`item` should have as many rows as `action`. Received: {len(item)} and {len(action)}")
    keys = np.empty((len(action), stepper.key_width), np.float32)
    values = np.empty((len(action), stepper.hidden), np.float32)
    state = stepper.initial_state()
    for index in range(len(action)):
        keys[index], values[index], state = stepper.step(action[index], item[index], state)
    return Encodings(keys, values)
