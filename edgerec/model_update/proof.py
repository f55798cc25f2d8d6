"""One run of every model of a version, before a client prepares it."""

from __future__ import annotations

import numpy as np

from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.matches import SeenItems
from edgerec.features.behaviours import BEHAVIOUR_KINDS


def prove_model(model: DeviceModel) -> None:
    """Run every step model once, and score one candidate with what they return.

    Raises:
        SessionError, NotFiniteError: a model cannot be run, or it returns numbers that are not finite.
    """
    ids = np.zeros((1, model.ranker.identities), np.int64)
    read = {}
    for kind in BEHAVIOUR_KINDS:
        stepper = model.steppers.get(kind)
        if stepper is not None:
            action, item = np.zeros(stepper.action_width, np.float32), np.zeros(stepper.item_width, np.float32)
            step = stepper.step(action, item, stepper.initial_state())
            seen = SeenItems(ids, np.zeros(1, np.float32)) if model.ranker.identities else None
            read[kind.plural] = Encodings(step.key[None], step.value[None], seen)
    candidate = np.zeros((1, model.ranker.candidate_width), np.float32)
    model.ranker.score(candidate, **read, ids=ids if model.ranker.identities else None)
