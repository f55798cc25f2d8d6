"""The stage `rerank`: one re-rank with the maximum number of candidates and behaviours, and its sweeps."""

from __future__ import annotations

from dataclasses import replace

from edgerec.bench.candidates import candidate_vectors
from edgerec.bench.engine import engine_rerank
from edgerec.bench.peers.comparison import LOGITS_TOLERANCE, check_logits, check_names, run_rerank
from edgerec.bench.peers.peer import Calls
from edgerec.bench.stages.stage import ENGINE, RUNTIME, Loaded, Others, Stage
from edgerec.bundle.golden import encode_case
from edgerec.bundle.load import load_device_model
from edgerec.core.parallel import cores

RERANK = "rerank"
CANDIDATES = "candidate_vectors"
"""What the runtime does before a re-rank, if the specification has relations or a context."""
CALLS = 20
"""Number of calls in a round. They take some milliseconds."""
SWEEP = (10, 25, 50, 75, 100, 150, 200)
"""The numbers of candidates in the sweep, as far as the bundle's limit allows."""


def rerank_stages(loaded: Loaded, others: Others) -> list[Stage]:
    """Return the stage. The logits of all implementations are compared with those of the trained model first.

    Raises:
        ParityError: MNN or the runtime computes another function than the trained model.
    """
    case, calls = loaded.case, _calls(loaded)
    for name, call in calls.items():
        check_logits(name, run_rerank(call), case.logits, loaded.manifest.parity.allowed)
    for name, peer in others.measuring(RERANK).items():
        with others.failures.of(name):
            theirs = peer.rerank(case)
            check_names(theirs, calls)
            for implementation, call in theirs.items():
                check_logits(implementation, run_rerank(call), case.logits, LOGITS_TOLERANCE)
            calls.update(theirs)
    for name, other in others.bundles.items():
        calls[name] = _calls(other)[ENGINE]
    vectors = candidate_vectors(loaded.model)
    if vectors is not None:
        calls[CANDIDATES] = vectors
    return [Stage(RERANK, calls, CALLS, apart=(RUNTIME, CANDIDATES))]


def candidates_sweep(loaded: Loaded) -> list[Stage]:
    """Return a stage for each number of candidates in `SWEEP`, and for the limit of the bundle."""
    limit = loaded.model.limits.candidates
    counts = sorted({count for count in SWEEP if count < limit} | {limit})
    stages = []
    for count in counts:
        case = loaded.case
        ids = None if case.candidate_ids is None else case.candidate_ids[:count]
        shorter = replace(case, candidates=case.candidates[:count], logits=case.logits[:count], candidate_ids=ids)
        calls = _calls(replace(loaded, case=shorter))
        stages.append(Stage(RERANK, calls, CALLS, reference=None, parameters={"candidates": count}))
    return stages


def threads_sweep(loaded: Loaded) -> list[Stage]:
    """Return a stage for 1, 2, 4, ... threads, up to the number of cores."""
    most = cores()
    counts = sorted({count for count in (1, 2, 4, 8, 16, 32, 64) if count < most} | {most})
    stages = []
    for count in counts:
        model = load_device_model(loaded.bundle, threads=count)
        calls = {ENGINE: _calls(replace(loaded, model=model))[ENGINE]}
        stages.append(Stage(RERANK, calls, CALLS, reference=None, parameters={"threads": count}))
    return stages


def _calls(loaded: Loaded) -> Calls:
    """Return a re-rank by MNN alone and by the runtime. The behaviours are encoded before."""
    model, case = loaded.model, loaded.case
    encodings = encode_case(model, case)
    by_kind = {kind: encodings[kind.plural] for kind in model.steppers}
    return {
        ENGINE: engine_rerank(model.ranker.session, case, by_kind),
        RUNTIME: lambda: model.ranker.score(case.candidates, **encodings, ids=case.candidate_ids),
    }
