"""`edgerec bench step` and `bench rerank`: measure the latency of device models and of other engines (peers)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.bench.candidates import candidate_vectors
from edgerec.bench.engine import engine_rerank, engine_step
from edgerec.bench.environment import environment
from edgerec.bench.measure import Durations, ratios, take_turns
from edgerec.bench.peers.comparison import (
    LOGITS_TOLERANCE,
    PEER_TOLERANCE,
    check_logits,
    check_names,
    check_outputs,
    run_rerank,
    run_steps,
)
from edgerec.bench.peers.onnx import REFERENCE, ReferenceGraphs
from edgerec.bench.peers.peer import Failures, Peer, load_peers
from edgerec.bundle.golden import GoldenCase, case_names, encode_case, run_named
from edgerec.bundle.load import load_bundle
from edgerec.bundle.manifest import BundleManifest
from edgerec.bundle.signing import PublicKey
from edgerec.core.atomic import check_document, write_json
from edgerec.core.console import log
from edgerec.core.errors import FormatError, InputError
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.hubsm import HubsmStepper
from edgerec.features.behaviours import BehaviourKind

ENGINE, RUNTIME = "mnn", "edgerec"
CANDIDATES = "candidate_vectors"
"""What the runtime does before a re-rank, if the specification has relations or a context."""
STEP, RERANK = "step", "rerank"
CALLS = {STEP: 200, RERANK: 20}
"""Number of calls of each implementation in a round. They take some milliseconds."""

Array = npt.NDArray[np.float32]
Implementations = dict[str, Callable[[], Any]]


def run_bench(
    what: str,
    bundle: Path,
    *,
    peers: bool = False,
    rounds: int = 30,
    public_key: PublicKey | None = None,
    out: Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Measure `what` (`step` or `rerank`) on this machine.

    Every implementation takes NumPy arrays and returns new NumPy arrays. `mnn` and its peers are the engines alone: a
    call writes the inputs, runs the model, and copies the outputs. `edgerec` is the public function of the runtime. It
    also checks all inputs before native code reads them. If the specification has relations or a context,
    `candidate_vectors` is the function that makes the vectors which a re-rank reads.

    Args:
        what: `step` or `rerank`.
        bundle: the bundle's folder.
        peers: also measure other engines: ONNX Runtime, the models that `export --peers` wrote, and engines of other
            packages. A peer that cannot be loaded or run, or that computes another function, is left out.
        rounds: number of rounds. Each round measures all implementations, one after the other.
        public_key: the key that must have signed the bundle. None requires no signature.
        out: also write the document to this file.
        force: replace `out` if it exists.

    Returns:
        A document with `environment`, `version_id`, `ratios`, `results` (a row for each implementation and stage, with
        all durations) and `failed` (the peers that were not measured, with the reason).

    Raises:
        FormatError, IntegrityError, SignatureError, SessionError: the bundle cannot be used.
        ParityError: MNN or the runtime computes another function than the trained model.
        InputError: `rounds` is less than one.
    """
    if rounds < 1:
        raise InputError(f"bench: --rounds should be at least 1; received {rounds}")
    if out is not None:
        check_document(out, force=force, inputs=[bundle])
    manifest, model = load_bundle(bundle, public_key=public_key)
    case = _full_case(model, bundle, manifest)
    failures = Failures()
    opened = _load_peers(bundle, what, failures) if peers else {}
    make = _step_stages if what == STEP else _rerank_stages
    stages = make(model, manifest, case, bundle, opened, failures)
    results, compared = [], []
    for stage, implementations in stages.items():
        calls = CALLS[what]
        measured = take_turns(implementations, rounds=rounds, calls=calls, warmup=calls)
        results += [found.row(name=name, stage=stage) for name, found in measured.items()]
        compared += _compare(stage, measured)
    if any(row["unstable"] for row in results):
        log(
            "the machine was busy: medians of rounds differ by more than half. Only the ratios are valid, or measure "
            "again when the machine is idle"
        )
    engines = [peer.distributions for name, peer in opened.items() if name not in failures]
    document = {
        "environment": environment(itertools.chain.from_iterable(engines)),
        "bundle": str(bundle),
        "version_id": manifest.version_id,
        "sizes": model.limits.model_dump(),
        "rounds": rounds,
        "results": results,
        "ratios": compared,
        "failed": [{"peer": peer, "reason": reason} for peer, reason in failures.items()],
    }
    if out is not None:
        write_json(out, {"schema": 1, **document})
    return document


def _full_case(model: DeviceModel, bundle: Path, manifest: BundleManifest) -> GoldenCase:
    """Return the golden case whose lists and sequences have the maximum lengths of the bundle."""
    name = case_names(bundle, manifest)[-1]
    case, _ = run_named(model, bundle, name)
    lengths, limits = case.lengths(), model.limits.model_dump()
    if lengths != limits:
        raise FormatError(f"bundle: {name} should have the full lengths {limits}; received {lengths}: export it again")
    return case


def _step_stages(
    model: DeviceModel,
    manifest: BundleManifest,
    case: GoldenCase,
    bundle: Path,
    peers: Mapping[str, Peer],
    failures: Failures,
) -> dict[str, Implementations]:
    behaviours = {kind: (stepper, *case.of(kind)[:2]) for kind, stepper in model.steppers.items()}
    if not behaviours:
        raise InputError(f"bench: {bundle} has no step to measure: its model reads no behaviours")
    stages: dict[BehaviourKind, Implementations] = {
        kind: {ENGINE: engine_step(stepper.session, action, item), RUNTIME: _runtime_step(stepper, action, item)}
        for kind, (stepper, action, item) in behaviours.items()
    }
    tolerance, outputs = PEER_TOLERANCE[manifest.precision], {}
    for kind, implementations in stages.items():
        found = {name: run_steps(call, len(case.of(kind)[0])) for name, call in implementations.items()}
        outputs[kind] = found[ENGINE]
        expected = {what: (ENGINE, array) for what, array in outputs[kind].items()}
        check_outputs(kind.step_model, RUNTIME, found[RUNTIME], expected, tolerance)
    reference = ReferenceGraphs(bundle)
    for name, peer in peers.items():
        with failures.of(name):
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
    return {kind.step_model: implementations for kind, implementations in stages.items()}


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


def _rerank_stages(
    model: DeviceModel,
    manifest: BundleManifest,
    case: GoldenCase,
    bundle: Path,
    peers: Mapping[str, Peer],
    failures: Failures,
) -> dict[str, Implementations]:
    encodings = encode_case(model, case)
    by_kind = {kind: encodings[kind.plural] for kind in model.steppers}
    implementations: Implementations = {
        ENGINE: engine_rerank(model.ranker.session, case, by_kind),
        RUNTIME: lambda: model.ranker.score(case.candidates, **encodings, ids=case.candidate_ids),
    }
    for name, call in implementations.items():
        check_logits(name, run_rerank(call), case.logits, manifest.parity.allowed)
    for name, peer in peers.items():
        with failures.of(name):
            calls = peer.rerank(case)
            check_names(calls, implementations)
            for implementation, call in calls.items():
                check_logits(implementation, run_rerank(call), case.logits, LOGITS_TOLERANCE)
            implementations.update(calls)
    vectors = candidate_vectors(model)
    return {RERANK: implementations if vectors is None else {**implementations, CANDIDATES: vectors}}


def _load_peers(bundle: Path, what: str, failures: Failures) -> dict[str, Peer]:
    """Return the peers that can run `what`, by name. For each other peer, log what is missing."""
    found = {}
    for name, peer in load_peers(bundle, failures).items():
        with failures.of(name):
            missing = peer.missing() if what in peer.measures else None
            if missing is not None:
                log(f"peer {name} is not measured: {missing}")
            elif what in peer.measures:
                found[name] = peer
    return found


def _compare(stage: str, measured: dict[str, Durations]) -> list[dict[str, Any]]:
    ours = measured[ENGINE]
    return [
        {"stage": stage, "peer": name, **{key: round(value, 4) for key, value in ratios(ours, peer).items()}}
        for name, peer in measured.items()
        if name not in (ENGINE, RUNTIME, CANDIDATES)
    ]
