"""`edgerec bench step|rerank|...|all`: measure a bundle on this machine. `edgerec.bench.plan` has all names."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgerec.bench.announcement import announcement
from edgerec.bench.children import environment_of_children, temporary_folder_of_children
from edgerec.bench.cold import measure_cold
from edgerec.bench.document import BenchDocument, Failure, Memory, Phase, Settings
from edgerec.bench.environment import environment, load, versions
from edgerec.bench.memory import measure_memory
from edgerec.bench.peers.numpy import ONE_THREAD
from edgerec.bench.pinning import bound_to
from edgerec.bench.plan import ALL, COLD, MEMORY, TIMED, Plan
from edgerec.bench.process import Measured, measure_bundle, stage_of
from edgerec.bench.rows import ratio_of, row_of
from edgerec.bench.targets import judge
from edgerec.bench.values import Environment
from edgerec.bench.warnings import warnings_of
from edgerec.bundle.guard import guarded
from edgerec.core.console import log
from edgerec.core.errors import InputError
from edgerec.core.parallel import cores
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.text import counted


def run_bench(bundle: AnyPath, plan: Plan) -> BenchDocument:
    """Measure the folder `bundle` in fresh processes, one after the other, and return the document.

    A model that crashes ends only such a process. A script that calls this function needs
    ``if __name__ == "__main__"``.

    Raises:
        FormatError, IntegrityError, SignatureError, SessionError: the bundle cannot be used.
        InputError: the model does not have what `plan` measures, a processor of `plan.cpus` does not exist, or there
            are fewer processors than threads.
        ParityError: MNN or the runtime computes another function than the trained model.
    """
    bundle, start = to_path(bundle, "bundle"), time.perf_counter()
    with bound_to(plan.cpus), environment_of_children(ONE_THREAD), temporary_folder_of_children():
        _check_threads(plan.threads)
        if plan.what in TIMED and plan.processes > plan.rounds:
            processes = counted(plan.rounds, "process", "processes")
            log(f"bench: {processes} instead of {plan.processes}, because each needs a round")
        if plan.what == ALL:
            log(announcement(plan))
        machine = environment()
        measured = []
        for number, rounds in enumerate(plan.shares):
            with stage_of(plan, f"process {number + 1} of {len(plan.shares)}"):
                measured.append(guarded(partial(measure_bundle, plan=plan, rounds=rounds, first=not number), bundle))
        cold, memory = _fresh(bundle, plan)
        machine["load_end"] = load()
    document = document_of(bundle, plan, measured, machine, cold=cold, memory=memory)
    document.seconds = round(time.perf_counter() - start, 1)
    return document


def _check_threads(threads: int) -> None:
    """Check that each thread of MNN can have a processor. Otherwise they wait for each other, which takes forever."""
    usable = cores()
    if threads > usable:
        raise InputError(
            f"bench: --threads should be at most the number of processors that this process may use ({usable}); "
            f"received {threads}"
        )


def _fresh(bundle: Path, plan: Plan) -> tuple[list[Phase], list[Memory]]:
    """Measure device processes, which load the bundle anew."""
    cold: list[Phase] = []
    memory: list[Memory] = []
    if plan.includes(COLD):
        with stage_of(plan, "cold start"):
            cold = guarded(partial(measure_cold, processes=plan.starts(COLD)), bundle)
    if plan.includes(MEMORY):
        with stage_of(plan, "memory"):
            memory = guarded(partial(measure_memory, processes=plan.starts(MEMORY)), bundle)
    return cold, memory


def document_of(
    bundle: Path,
    plan: Plan,
    measured: Sequence[Measured],
    machine: Mapping[str, Any],
    *,
    cold: Sequence[Phase] = (),
    memory: Sequence[Memory] = (),
) -> BenchDocument:
    """Return what all processes measured as a document. `machine` is the environment, without versions of peers.

    A peer that failed in one of the processes has no rows.
    """
    first = measured[0]
    keys = [key for key in first.durations if all(key in one.durations for one in measured)]
    durations = {key: [one.durations[key] for one in measured] for key in keys}
    failed = {name: reason for one in measured for name, reason in one.failed.items()}
    document = BenchDocument(
        schema=1,
        what=plan.what,
        environment=Environment.model_validate({**machine, "versions": versions(first.distributions)}),
        bundle=str(bundle),
        version_id=first.version_id,
        model=first.model,
        precision=first.precision,
        sizes=first.limits,
        settings=Settings(
            rounds=plan.rounds,
            processes=len(measured),
            threads=plan.threads,
            cpus=None if plan.cpus is None else list(plan.cpus),
            seconds=plan.sustained,
        ),
        results=[
            row_of(found, name=key.name, stage=key.stage, parameters=dict(key.parameters))
            for key, found in durations.items()
        ],
        ratios=[
            ratio_of(
                durations[ours],
                durations[peer],
                name=peer.name,
                stage=peer.stage,
                parameters=dict(peer.parameters),
            )
            for ours, peer in first.compared
            if ours in durations and peer in durations
        ],
        operations=first.operations,
        size=first.size,
        personal=first.personal,
        cold=list(cold),
        memory=list(memory),
        sustained=first.sustained,
        energy=first.energy,
        failed=[Failure(peer=name, reason=reason) for name, reason in failed.items()],
    )
    document.warnings = warnings_of(document)
    document.targets = judge(document)
    return document
