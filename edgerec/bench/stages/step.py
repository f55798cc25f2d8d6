"""The stages `hubsm_ie` and `hubsm_ipv`: one step of an encoder, which runs once for each behaviour."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from edgerec.bench.engine import engine_step
from edgerec.bench.peers.comparison import PEER_TOLERANCE, check_names, check_outputs, run_steps
from edgerec.bench.peers.onnx import REFERENCE, ReferenceGraphs
from edgerec.bench.peers.peer import Calls
from edgerec.bench.stages.stage import ENGINE, RUNTIME, Loaded, Others, Stage
from edgerec.core.errors import InputError
from edgerec.device_runtime.hubsm import HubsmStepper

STEP = "step"
CALLS = 200
"""Number of calls in a round. They take some milliseconds."""


def step_stages(loaded: Loaded, others: Others) -> list[Stage]:
    """Return a stage for each encoder of the bundle. The outputs of all implementations are compared first.

    Raises:
        InputError: the model reads no behaviours.
        ParityError: MNN and the runtime compute different functions.
    """
    case, steppers = loaded.case, loaded.model.steppers
    if not steppers:
        raise InputError(f"bench: {loaded.bundle} has no step to measure: its model reads no behaviours")
    stages: dict[Any, Calls] = {}
    tolerance, outputs = PEER_TOLERANCE[loaded.manifest.precision], {}
    for kind, stepper in steppers.items():
        action, item, _, _ = case.of(kind)
        stages[kind] = {
            ENGINE: engine_step(stepper.session, action, item),
            RUNTIME: _runtime_step(stepper, action, item),
        }
        found = {name: run_steps(call, len(action)) for name, call in stages[kind].items()}
        outputs[kind] = found[ENGINE]
        expected = {what: (ENGINE, array) for what, array in outputs[kind].items()}
        check_outputs(kind.step_model, RUNTIME, found[RUNTIME], expected, tolerance)
    reference = ReferenceGraphs(loaded.bundle)
    for name, peer in others.measuring(STEP).items():
        with others.failures.of(name):
            calls = {kind: peer.step(kind, case) for kind in stages}
            for kind in stages:
                check_names(calls[kind], stages[kind])
                expected = {what: (ENGINE, array) for what, array in outputs[kind].items()}
                if peer.stores_fused:
                    fused = reference.encode(kind, case)
                    expected |= {"keys": (REFERENCE, fused.keys), "values": (REFERENCE, fused.values)}
                for implementation, call in calls[kind].items():
                    steps = run_steps(call, len(case.of(kind)[0]))
                    check_outputs(kind.step_model, implementation, steps, expected, tolerance)
            for kind in stages:
                stages[kind].update(calls[kind])
    for name, other in others.bundles.items():
        for kind, stepper in other.model.steppers.items():
            if kind in stages:
                stages[kind][name] = engine_step(stepper.session, *other.case.of(kind)[:2])
    return [Stage(kind.step_model, implementations, CALLS) for kind, implementations in stages.items()]


def _runtime_step(stepper: HubsmStepper, action: Any, item: Any) -> Callable[[], Any]:
    """Return a function for the benchmark. It calls the public step function, as `engine_step` calls MNN."""
    behaviours = itertools.cycle(list(zip(action, item, strict=True)))
    state = stepper.initial_state()

    def call() -> Any:
        nonlocal state
        found = stepper.step(*next(behaviours), state)
        state = found.state
        return found

    return call
