"""`edgerec bench step|rerank`: measure the latencies of a bundle's device models and of peers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.bench.engine import engine_rerank, engine_step
from edgerec.bench.environment import environment
from edgerec.bench.measure import Measured, ratios, take_turns
from edgerec.bench.peers.peer import Failures, Peer, load_peers
from edgerec.bundle.golden import GoldenCase, case_names, encode_case, run_named
from edgerec.bundle.layout import GOLDEN
from edgerec.bundle.load import load_bundle
from edgerec.bundle.manifest import CRBAN, BundleManifest
from edgerec.bundle.signing import PublicKey
from edgerec.core.atomic import check_document, write_json
from edgerec.core.console import log
from edgerec.core.errors import FormatError, InputError, ParityError
from edgerec.core.tolerance import Tolerance, absolute_difference
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.hubsm import HubsmStepper
from edgerec.features.behaviours import BehaviourKind

ENGINE, RUNTIME = "mnn", "edgerec"
STEP, RERANK = "step", "rerank"
PEER_TOLERANCE = {"fp32": 1e-3, "fp16": 0.3, "int8": 0.3}
"""Tolerance for outputs of steps and logits of peers, by precision. It is relative for numbers above 1. Rounding errors
of float32 are far below 1e-3 over full sequences, and those of rounded weights are below 0.1. A larger difference means
that a peer computes another function."""
CALLS = {STEP: 200, RERANK: 20}
"""Number of calls in a round. A round takes some milliseconds for each contestant."""

Array = npt.NDArray[np.float32]
Contestants = dict[str, Callable[[], Any]]
StepOutputs = tuple[Array, Array, Array]
"""Keys, values and states (steps, ...) of one contestant."""


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

    Every contestant takes NumPy arrays and returns new NumPy arrays. `mnn` and its peers are the engines alone: they
    write the inputs, run, and copy the outputs. `edgerec` is the public function of the runtime: it also checks all
    inputs before native code reads them.

    Args:
        what: `step` or `rerank`.
        bundle: the bundle's folder.
        peers: also measure other engines: ONNX Runtime, the models that `export --peers` wrote, and engines of other
            packages. A peer that cannot be loaded or run is left out.
        rounds: number of rounds. The contestants take turns in each round.
        public_key: the key that must have signed the bundle. None requires no signature.
        out: also write the document to this file.
        force: replace `out` if it exists.

    Returns:
        A document with `environment`, `version_id`, `results` (a row for each contestant and stage, with raw samples),
        `ratios`, and `failed` (the peers that cannot be loaded or run, with the reason).

    Raises:
        FormatError, IntegrityError, SignatureError, SessionError: the bundle cannot be used.
        ParityError: a contestant computes another function, so a comparison would have no meaning.
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
    for stage, contestants in stages.items():
        calls = CALLS[what]
        measured = take_turns(contestants, rounds=rounds, calls=calls, warmup=calls)
        results += [found.row(name=name, stage=stage) for name, found in measured.items()]
        compared += _compare(stage, measured)
    if any(row["unstable"] for row in results):
        log(
            "the machine was busy: medians of rounds differ by more than half; trust ratios only, or measure again "
            "when it is idle"
        )
    document = {
        "environment": environment(),
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
    """Return the golden case that has the full lengths of the bundle's limits."""
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
) -> dict[str, Contestants]:
    behaviours = {kind: (stepper, *case.of(kind)[:2]) for kind, stepper in model.steppers.items()}
    if not behaviours:
        raise InputError(f"bench: {bundle} has no step to measure: its model reads no behaviours")
    stages: dict[BehaviourKind, Contestants] = {
        kind: {ENGINE: engine_step(stepper.session, action, item), RUNTIME: _runtime_step(stepper, action, item)}
        for kind, (stepper, action, item) in behaviours.items()
    }
    outputs = {kind: _run_steps(contestants, case, kind) for kind, contestants in stages.items()}
    fused: set[str] = set()
    for name, peer in peers.items():
        with failures.of(name):
            calls = {kind: peer.step(kind, case) for kind in stages}
            found = {kind: _run_steps(calls[kind], case, kind) for kind in stages}
            for kind in stages:
                stages[kind].update(calls[kind])
                outputs[kind].update(found[kind])
                fused |= set(calls[kind]) if peer.stores_fused else set()
    for kind, of_kind in outputs.items():
        _check_steps(kind.step_model, of_kind, fused, PEER_TOLERANCE[manifest.precision])
    return {kind.step_model: contestants for kind, contestants in stages.items()}


def _run_steps(contestants: Contestants, case: GoldenCase, kind: BehaviourKind) -> dict[str, StepOutputs]:
    """Return the outputs of each contestant in one pass through the case's behaviours."""
    found = {}
    for name, call in contestants.items():
        # Each output is copied at once, because an engine may write the next one to the same memory.
        steps = [[np.array(part, np.float32).ravel() for part in call()] for _ in case.of(kind)[0]]
        key, value, state = (np.array(parts) for parts in zip(*steps, strict=True))
        found[name] = (key, value, state)
    return found


def _check_steps(stage: str, outputs: dict[str, StepOutputs], fused: set[str], tolerance: float) -> None:
    """Refuse contestants whose outputs in one pass through all behaviours show that they compute something else.

    States are compared with those of MNN. Keys and values have two forms: those of the contestants `fused` are compared
    with the first of them, the others with MNN's.
    """
    reference = next((name for name in outputs if name in fused), ENGINE)
    for name, found in outputs.items():
        stored = reference if name in fused else ENGINE
        for at, by in enumerate((stored, stored, ENGINE)):
            ours, theirs = outputs[by][at], found[at]
            # Keys may be large exponentials, so their errors are compared relative to their size.
            same = ours.shape == theirs.shape
            error = float((np.abs(theirs - ours) / np.maximum(np.abs(ours), 1.0)).max()) if same else np.inf
            if not error <= tolerance:
                raise ParityError(
                    f"bench: {('keys', 'values', 'states')[at]} of {stage} by {name} differ from those by {by} by "
                    f"{error:.2g}, more than {tolerance:g}. It computes another function: export the bundle again"
                )


def _runtime_step(stepper: HubsmStepper, action: Any, item: Any) -> Callable[[], Any]:
    """Return a call of the public step function that cycles through the behaviours and keeps the state."""
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
) -> dict[str, Contestants]:
    encodings = encode_case(model, case)
    by_kind = {kind: encodings[kind.plural] for kind in model.steppers}
    contestants: Contestants = {
        ENGINE: engine_rerank(model.crban.session, case, by_kind),
        RUNTIME: lambda: model.crban.score(case.candidates, **encodings, ids=case.candidate_ids),
    }
    scores = _run_rerank(contestants)
    for name, peer in peers.items():
        with failures.of(name):
            calls = peer.rerank(case)
            scores.update(_run_rerank(calls))
            contestants.update(calls)
    of_peers = Tolerance(PEER_TOLERANCE["fp32"], PEER_TOLERANCE["fp32"])
    for name, found in scores.items():
        logits = found[: len(case.logits)]
        if len(logits) != len(case.logits):
            raise ParityError(
                f"bench: {name} should return {len(case.logits)} scores; received {len(logits)}: "
                "export the bundle again"
            )
        tolerance = manifest.parity.allowed if name in (ENGINE, RUNTIME) else of_peers
        at = tolerance.worst_index(logits, case.logits)
        if at is not None:
            raise ParityError(
                f"bench: scores of {name} differ from training by {absolute_difference(logits, case.logits)[at]:.2g}, "
                f"more than {tolerance.allowed(case.logits)[at]:.2g}. It computes another function: "
                "export the bundle again"
            )
    return {RERANK: contestants}


def _run_rerank(contestants: Contestants) -> dict[str, Array]:
    return {name: np.array(call(), np.float32).ravel() for name, call in contestants.items()}


def _load_peers(bundle: Path, what: str, failures: Failures) -> dict[str, Peer]:
    """Return the peers that can run `what` by name. Log what the others lack."""
    if not (bundle / GOLDEN / "onnx" / f"{CRBAN}_reference.onnx").is_file():
        raise InputError(f"bench: {bundle} has no graphs for peers, which only exist for crban: leave --peers out")
    found = {}
    for name, peer in load_peers(bundle, failures).items():
        with failures.of(name):
            missing = peer.missing() if what in peer.measures else None
            if missing is not None:
                log(missing)
            elif what in peer.measures:
                found[name] = peer
    return found


def _compare(stage: str, measured: dict[str, Measured]) -> list[dict[str, Any]]:
    ours = measured[ENGINE]
    return [
        {"stage": stage, "peer": name, **{key: round(value, 4) for key, value in ratios(ours, peer).items()}}
        for name, peer in measured.items()
        if name not in (ENGINE, RUNTIME)
    ]
