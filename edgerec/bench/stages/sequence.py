"""The stage `sequence`: what one new behaviour costs after t behaviours, with a stored state and without one.

`step` is one step from the stored state. `full` encodes all t behaviours from the start, by t steps of the same model.
A device that stores no state has to do that for every new behaviour. Peers that can run a whole sequence at once are
measured, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.bench.engine import engine_sequence, engine_step
from edgerec.bench.peers.comparison import PEER_TOLERANCE, check_names, check_outputs, run_sequence
from edgerec.bench.peers.onnx import REFERENCE, ReferenceGraphs
from edgerec.bench.peers.peer import Calls
from edgerec.bench.stages.stage import ENGINE, Loaded, Others, Stage
from edgerec.bundle.golden import encode_case
from edgerec.core.errors import InputError
from edgerec.device_runtime.session import Session
from edgerec.features.behaviours import EXPOSURE

SEQUENCE = "sequence"
STEP, FULL = "step", "full"
CALLS = 10
SWEEP = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""The lengths of the sequences, as far as the bundle's limit allows."""

Array = npt.NDArray[np.float32]


def sequence_stages(loaded: Loaded, others: Others) -> list[Stage]:
    """Return a stage for each length. The outputs of peers are compared with those of MNN first.

    Raises:
        InputError: the model encodes no exposures.
    """
    stepper = loaded.model.steppers.get(EXPOSURE)
    if stepper is None:
        raise InputError(f"bench: {loaded.bundle} has no sequences to measure: its model encodes no exposures")
    action, item, _, _ = loaded.case.of(EXPOSURE)
    limit = len(action)
    lengths = sorted({length for length in SWEEP if length < limit} | {limit})
    ours = encode_case(loaded.model, loaded.case)[EXPOSURE.plural]
    stages = {
        length: {
            STEP: _one_step(stepper.session, action[:length], item[:length]),
            FULL: engine_sequence(stepper.session, action[:length], item[:length]),
        }
        for length in lengths
    }
    reference = ReferenceGraphs(loaded.bundle)
    tolerance = PEER_TOLERANCE[loaded.manifest.precision]
    for name, peer in others.measuring(SEQUENCE).items():
        with others.failures.of(name):
            calls: dict[int, Calls] = {}
            for length in lengths:
                calls[length] = peer.sequence(EXPOSURE, loaded.case, length)
                check_names(calls[length], stages[length])
                encodings, by = (
                    (reference.encode(EXPOSURE, loaded.case), REFERENCE) if peer.stores_fused else (ours, ENGINE)
                )
                expected = {"keys": (by, encodings.keys[:length]), "values": (by, encodings.values[:length])}
                for implementation, call in calls[length].items():
                    found = run_sequence(call, length)
                    check_outputs(EXPOSURE.step_model, implementation, found, expected, tolerance)
            for length in lengths:
                stages[length].update(calls[length])
    return [
        Stage(SEQUENCE, calls, CALLS, reference=STEP, apart=(), parameters={"length": length})
        for length, calls in stages.items()
    ]


def _one_step(session: Session, action: Array, item: Array) -> Callable[[], Any]:
    """Return a function that makes one step. Its state has read all behaviours at least once."""
    step = engine_step(session, action, item)
    for _ in action:
        step()
    return step
