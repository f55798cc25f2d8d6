"""One process of a benchmark: it loads the bundle, measures its share of the rounds, and returns all durations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgerec.bench.document import Energy, Interval, Operation, PatchCost, Size
from edgerec.bench.energy import EnergyCounters
from edgerec.bench.measure import Call, Durations, take_turns
from edgerec.bench.peers.peer import Failures, Peer, load_peers
from edgerec.bench.plan import (
    ALL,
    BEHAVIOUR,
    PERSONAL,
    PROFILE,
    RERANK,
    RESPONSE,
    SIZE,
    STEP,
    SWEEP_SHARE,
    WITH_PEERS,
    Plan,
)
from edgerec.bench.stages.behaviour import behaviour_stages
from edgerec.bench.stages.device_client import device_client
from edgerec.bench.stages.personal import personal_bench
from edgerec.bench.stages.profile import profile_of
from edgerec.bench.stages.rerank import candidates_sweep, rerank_stages, threads_sweep
from edgerec.bench.stages.response import response_stages
from edgerec.bench.stages.sequence import SEQUENCE, sequence_stages
from edgerec.bench.stages.size import sizes_of
from edgerec.bench.stages.stage import ENGINE, Loaded, Others, Stage, load_checked_bundle
from edgerec.bench.stages.step import step_stages
from edgerec.bench.sustained import run_sustained
from edgerec.core.console import log, stage
from edgerec.core.errors import InputError
from edgerec.features.behaviours import EXPOSURE


@dataclass(frozen=True)
class Key:
    """What a row measures. `parameters` are sorted pairs of a name and a value."""

    stage: str
    name: str
    parameters: tuple[tuple[str, int | float | str], ...] = ()


@dataclass
class Measured:
    """What one process measured.

    Attributes:
        version_id, model, precision, limits: the bundle.
        durations: the durations of each row, in the order of the document.
        compared: pairs of rows whose p50 are compared.
        failed: the peers that were not measured, with the reason.
        distributions: the Python distributions of the peers that were measured.
    """

    version_id: str
    model: str | None
    precision: str
    limits: dict[str, int]
    durations: dict[Key, Durations] = field(default_factory=dict)
    compared: list[tuple[Key, Key]] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    size: list[Size] = field(default_factory=list)
    personal: PatchCost | None = None
    sustained: list[Interval] = field(default_factory=list)
    energy: list[Energy] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    distributions: list[str] = field(default_factory=list)


def measure_bundle(bundle: Path, plan: Plan, *, rounds: int, first: bool = True) -> Measured:
    """Measure the folder `bundle` in this process.

    A damaged model can crash the process, so call this function through `edgerec.bundle.guard.guarded`.

    Args:
        bundle: the bundle's folder.
        plan: what to measure.
        rounds: number of rounds of this process.
        first: whether this is the first process. Only that one measures what needs no rounds.

    Raises:
        FormatError, IntegrityError, SignatureError, SessionError: the bundle cannot be used.
        InputError: the model does not have what `plan` measures.
        ParityError: MNN or the runtime computes another function than the trained model.
    """
    return _Process(bundle, plan, rounds, first).run()


class _Process:
    def __init__(self, bundle: Path, plan: Plan, rounds: int, first: bool) -> None:
        self._plan, self._rounds, self._first = plan, rounds, first
        self._loaded = loaded = _load(bundle, plan)
        failures = Failures()
        self._peers = dict(_installed_peers(bundle, plan, failures, first=first)) if plan.peers else {}
        beside = dict(_named(loaded, [_load(path, plan) for path in plan.beside]))
        self._others = Others(self._peers, failures, beside)
        model = loaded.manifest.config.get("model")
        self._measured = Measured(
            loaded.manifest.version_id,
            model if isinstance(model, str) else None,
            loaded.manifest.precision,
            loaded.model.limits.model_dump(),
        )
        self._counters = EnergyCounters()

    def run(self) -> Measured:
        plan, loaded = self._plan, self._loaded
        encodes = bool(loaded.model.steppers) or plan.what != ALL
        if plan.includes(STEP) and encodes:
            with stage_of(self._plan, STEP):
                self._measure(step_stages(loaded, self._others))
        if plan.includes(RERANK):
            with stage_of(self._plan, RERANK):
                self._measure(rerank_stages(loaded, self._others))
        if plan.includes(BEHAVIOUR) or plan.includes(RESPONSE):
            with stage_of(self._plan, f"{BEHAVIOUR} and {RESPONSE}" if plan.what == ALL else plan.what):
                self._device()
        if plan.includes(PERSONAL) and (loaded.model.personal is not None or plan.what != ALL):
            with stage_of(self._plan, PERSONAL):
                self._personal()
        if self._first:
            self._once()
        if plan.sweep:
            self._sweeps()
        self._measured.failed = dict(self._others.failures)
        engines = [peer.distributions for name, peer in self._peers.items() if name not in self._others.failures]
        self._measured.distributions = list(dict.fromkeys(name for names in engines for name in names))
        return self._measured

    def _sweeps(self) -> None:
        plan, loaded = self._plan, self._loaded
        if plan.includes(STEP) and EXPOSURE in loaded.model.steppers:
            with stage_of(self._plan, "sequence lengths"):
                self._together(sequence_stages(loaded, self._others))
        if plan.includes(RERANK):
            with stage_of(self._plan, "candidates and threads"):
                self._together(candidates_sweep(loaded))
                # The threads of MNN remain until the process ends, so this comes last.
                self._together(threads_sweep(loaded))

    def _device(self) -> None:
        # Each has a new client, because `behaviour` exposes items, which are then candidates no longer.
        for what, stages in ((BEHAVIOUR, behaviour_stages), (RESPONSE, response_stages)):
            if self._plan.includes(what):
                with device_client(self._loaded) as device:
                    self._measure(stages(device))

    def _personal(self) -> None:
        with personal_bench(self._loaded) as bench:
            self._measure(bench.stages)
            if self._plan.sweep:
                self._together(bench.sweep())
            if self._first:
                self._measured.personal = bench.cost()

    def _once(self) -> None:
        if self._plan.includes(SIZE):
            self._measured.size = sizes_of(self._loaded.manifest)
        if self._plan.includes(PROFILE):
            with stage_of(self._plan, PROFILE):
                self._measured.operations = profile_of(self._loaded.model)

    def _measure(self, stages: Iterable[Stage]) -> None:
        """Measure each stage apart from the others."""
        for one in stages:
            self._take_turns([one], self._rounds)
            if self._first:
                self._repeat(one)

    def _together(self, stages: Sequence[Stage]) -> None:
        """Measure the stages of a sweep in the same turns."""
        self._take_turns(stages, max(1, self._rounds // SWEEP_SHARE))

    def _take_turns(self, stages: Sequence[Stage], rounds: int) -> None:
        calls: dict[Key, Callable[[], Any] | Call] = {}
        for one in stages:
            parameters = tuple(sorted(one.parameters.items()))
            keys = {name: Key(one.name, name, parameters) for name in one.implementations}
            calls.update((keys[name], call) for name, call in one.implementations.items())
            if one.reference is not None:
                ours = keys[one.reference]
                others = (key for name, key in keys.items() if name not in (one.reference, *one.apart))
                self._measured.compared += [(ours, key) for key in others]
        what = f"rounds of {stages[0].name}"
        self._measured.durations.update(take_turns(calls, rounds=rounds, calls=stages[0].calls, what=what))

    def _repeat(self, one: Stage) -> None:
        """Measure the energy of each implementation, and the sustained speed of the stage's main implementation."""
        # The work around a `Call` would count, too.
        plain = {name: call for name, call in one.implementations.items() if not isinstance(call, Call)}
        if self._counters.readable:
            for name, run in plain.items():
                used = self._counters.microjoules(run)
                if used is not None:
                    self._measured.energy.append(Energy(stage=one.name, name=name, microjoules=round(used, 2)))
        seconds = self._plan.sustained
        main = one.reference or next(iter(one.implementations))
        if seconds is not None and not self._measured.sustained and self._sustains(one.name):
            call = one.implementations[main]
            with stage_of(self._plan, f"sustained {one.name}"):
                self._measured.sustained = run_sustained(call, stage=one.name, name=main, seconds=seconds)

    def _sustains(self, name: str) -> bool:
        """Return whether a stage's sustained speed is measured. If all is measured, it is only that of the re-rank."""
        return self._plan.what != ALL or name == RERANK


@contextlib.contextmanager
def stage_of(plan: Plan, what: str) -> Iterator[None]:
    """If `plan` measures all, log how long the block took."""
    if plan.what != ALL:
        yield
        return
    with stage(what):
        yield


def _load(bundle: Path, plan: Plan) -> Loaded:
    return load_checked_bundle(bundle, public_key=plan.public_key, threads=plan.threads)


def _installed_peers(bundle: Path, plan: Plan, failures: Failures, *, first: bool) -> Iterator[tuple[str, Peer]]:
    """Yield the peers that can run what is measured. In the first process, log what is missing for each other peer."""
    wanted = {what for what in WITH_PEERS if what != ALL and plan.includes(what)}
    if plan.sweep and STEP in wanted:
        wanted.add(SEQUENCE)
    for name, peer in load_peers(bundle, failures).items():
        if not wanted & set(peer.measures):
            continue
        with failures.of(name):
            missing = peer.missing()
        if name in failures:
            continue
        if missing is None:
            yield name, peer
        elif first:
            log(f"peer {name} is not measured: {missing}")


def _named(loaded: Loaded, others: Iterable[Loaded]) -> Iterator[tuple[str, Loaded]]:
    """Yield the other bundles with the names of their rows: the precision if it is another one, or the folder's name.

    Raises:
        InputError: two bundles would have the same name.
    """
    used = set()
    for other in others:
        precision = other.manifest.precision
        suffix = precision if precision != loaded.manifest.precision and precision not in used else other.bundle.name
        if suffix in used:
            raise InputError(f"bench: --beside {other.bundle}: another bundle has this name: rename the folder")
        used.add(suffix)
        yield f"{ENGINE}:{suffix}", other
