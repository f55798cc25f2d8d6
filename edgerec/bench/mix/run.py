"""`edgerec bench mix`: how long a plan of a mixed feed takes, and how good it is."""

from __future__ import annotations

import importlib.util
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from edgerec.bench.children import environment_of_children
from edgerec.bench.document import BenchDocument, Quality, Settings
from edgerec.bench.environment import environment, load, versions
from edgerec.bench.measure import Call, Durations, take_turns
from edgerec.bench.mix.highs import highs
from edgerec.bench.mix.instances import DEFAULT_RULES, Instance, Scores, make_instances
from edgerec.bench.mix.quality import Solve, qualities
from edgerec.bench.peers.numpy import ONE_THREAD
from edgerec.bench.pinning import bound_to
from edgerec.bench.rows import ratio_of, row_of
from edgerec.bench.targets import judge
from edgerec.bench.values import Environment
from edgerec.bench.warnings import warnings_of
from edgerec.bundle.golden import GoldenCase, case_names, encode_case, raw_case_names, run_named
from edgerec.bundle.load import load_bundle
from edgerec.bundle.manifest import BundleManifest
from edgerec.bundle.raw_cases import read_raw
from edgerec.bundle.signing import PublicKey
from edgerec.core.console import stage
from edgerec.core.errors import InputError, SessionError
from edgerec.core.parallel import run_in_child
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.export.mixing import check_kind_column, mixing_of
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from edgerec.mixing.cards import CardReader
from edgerec.mixing.config import Solver
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Ints, Plan
from edgerec.mixing.solve import forget_spaces, solve

MIX = "mix"
CLIENT, NEW = "edgerec", "edgerec_new"
HIGHS = "highs"
CALLS = 100
"""Number of calls in a round. Each is another feed, so that p99 is over feeds, too."""
POOL = 200
"""Number of feeds that are timed, in turn."""


@dataclass(frozen=True)
class MixPlan:
    """What is measured.

    Attributes:
        bundle: the bundle whose rules, prior and head are used; None: rules and click rates of its own.
        rules: rules in place of those of the bundle.
        places, candidates: number of places to fill and of candidates.
        instances: number of feeds whose plans are compared with the best ones.
        rounds: number of rounds.
        seed: seed of the feeds.
        cpus: processors that the measurement is bound to.
        public_key: the key that must have signed the bundle.

    Raises:
        InputError: a number is out of range.
    """

    bundle: Path | None = None
    rules: MixRules | None = None
    places: int = 20
    candidates: int = 40
    instances: int = 50
    rounds: int = 20
    seed: int = 0
    cpus: tuple[int, ...] | None = None
    public_key: PublicKey | None = None

    def __post_init__(self) -> None:
        for name, most in (("places", 50), ("candidates", 1000), ("instances", 100_000), ("rounds", 100_000)):
            if not 1 <= getattr(self, name) <= most:
                raise InputError(f"bench mix: --{name} should be from 1 to {most}; received {getattr(self, name)}")


@dataclass
class _Measured:
    durations: dict[str, Durations]
    qualities: dict[str, Quality]
    version_id: str | None = None
    model: str | None = None
    precision: str | None = None
    sizes: dict[str, int] = field(default_factory=dict)


def run_mix_bench(plan: MixPlan) -> BenchDocument:
    """Measure the solvers in a new process with one thread, and return the document.

    A script that calls this function needs ``if __name__ == "__main__"``.

    Raises:
        FormatError, IntegrityError, SignatureError, SessionError: the bundle cannot be used.
        ConfigurationError: the rules have a kind that the model does not know.
    """
    start = time.perf_counter()
    with bound_to(plan.cpus), environment_of_children(ONE_THREAD):
        machine = environment(["scipy"])
        measured = run_in_child(measure_mix, plan, died=_died)
        machine["load_end"] = load()
    document = BenchDocument(
        schema=1,
        what=MIX,
        environment=Environment.model_validate({**machine, "versions": versions(["scipy"])}),
        bundle=None if plan.bundle is None else str(plan.bundle),
        version_id=measured.version_id,
        model=measured.model,
        precision=measured.precision,
        sizes=measured.sizes,
        settings=Settings(rounds=plan.rounds, cpus=None if plan.cpus is None else list(plan.cpus)),
        results=[
            row_of([found], name=name, stage=MIX, quality=measured.qualities.get(name))
            for name, found in measured.durations.items()
        ],
        ratios=[
            ratio_of([measured.durations[CLIENT]], [found], name=name, stage=MIX)
            for name, found in measured.durations.items()
            if name != CLIENT
        ],
    )
    document.warnings = warnings_of(document)
    document.targets = judge(document)
    document.seconds = round(time.perf_counter() - start, 1)
    return document


def _died() -> SessionError:
    return SessionError("bench mix: the process that measures ended without a result: it ran out of memory, or crashed")


def measure_mix(plan: MixPlan) -> _Measured:
    """Measure in this process. A damaged model can crash it, so `run_mix_bench` calls this in a new one."""
    scores, measured = _scores(plan)
    rules = scores.rules
    exact = scores.head is None
    sizes = {"places": plan.places, "candidates": plan.candidates}
    with stage("feeds"):
        timed = make_instances(scores, POOL, **sizes, seed=plan.seed)
        compared = make_instances(scores, plan.instances, **sizes, seed=plan.seed + 1)
    names: list[Solver] = ["dp", "beam", "greedy"]
    solvers: dict[str, Solve] = {CLIENT: partial(_solve, rules, "auto")}
    solvers |= {name: partial(_solve, rules, name) for name in names}
    calls: dict[str, Callable[[], object] | Call] = {name: _calls(timed, solver) for name, solver in solvers.items()}
    calls[NEW] = Call(_calls(timed, solvers[CLIENT]), before=forget_spaces)
    with_highs = exact and importlib.util.find_spec("scipy") is not None
    if with_highs:
        calls[HIGHS] = _calls(timed, partial(_highs, rules))
    measured.durations = take_turns(calls, rounds=plan.rounds, calls=CALLS)
    with stage("plans compared with the best ones"):
        found = qualities(compared, rules, solvers, reference=HIGHS if with_highs else "best known")
    measured.qualities = found
    measured.sizes = sizes
    return measured


def _scores(plan: MixPlan) -> tuple[Scores, _Measured]:
    """Return where values come from, and what the document says of the bundle."""
    measured = _Measured({}, {})
    if plan.bundle is None:
        return Scores(plan.rules or DEFAULT_RULES), measured
    manifest, model = load_bundle(plan.bundle, public_key=plan.public_key)
    name = manifest.config.get("model")
    measured.version_id, measured.precision = manifest.version_id, manifest.precision
    measured.model = name if isinstance(name, str) else None
    settings = model.mixing
    rules = plan.rules or (DEFAULT_RULES if settings is None else settings.rules)
    prior = None if settings is None else settings.prior
    if plan.rules is not None:
        fit = mixing_of(model.spec, rules, None, version_id=manifest.version_id)
        check_kind_column(fit, reads_kinds=model.head is not None)
    if model.head is None:
        return Scores(rules, prior), measured
    case, kinds = _largest_case(plan.bundle, manifest, model, rules)
    encodings = encode_case(model, case)
    scored = model.ranker.score_cards(
        case.candidates, encodings.get(EXPOSURE.plural), encodings.get(PAGE_VIEW.plural), ids=case.candidate_ids
    )
    return Scores(rules, prior, model.head, scored.vectors, kinds), measured


def _largest_case(
    bundle: Path, manifest: BundleManifest, model: DeviceModel, rules: MixRules
) -> tuple[GoldenCase, Ints | None]:
    """Return a golden case with many candidates, and the kinds of its candidates if the bundle has them."""
    raw = [(name, read_raw(bundle / name).candidates.get(rules.kind_column)) for name in raw_case_names(manifest)]
    name, kinds = max(raw, key=lambda one: len(one[1] or ()), default=("", None))
    if not kinds:
        return run_named(model, bundle, case_names(bundle, manifest)[-1])[0], None
    reader = CardReader(rules)
    return run_named(model, bundle, name)[0], np.array([reader.read(kind, 0)[0] for kind in kinds])


def _calls(instances: list[Instance], solver: Callable[[Instance], object]) -> Callable[[], object]:
    turn = itertools.cycle(instances)
    return lambda: solver(next(turn))


def _solve(rules: MixRules, solver: Solver, instance: Instance) -> Plan:
    return solve(instance.problem, rules, instance.values(), solver=solver)


def _highs(rules: MixRules, instance: Instance) -> object:
    return highs(instance.problem, rules, instance.values().table(instance.problem.count))
