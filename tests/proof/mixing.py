"""Prove that plans of mixed feeds are the best ones, and break no rule.

    python -m tests.proof.mixing [--instances 1000] [--plans 100000] [--seed 0]

1. `dp` has the value that HiGHS finds on `--instances` problems that have a plan; hypothesis draws rules, kinds,
   values, seen cards and caps. Where HiGHS finds no plan, `dp` gives rules up, and only there. A part of the problems
   has up to 20 places and 40 candidates.
2. Where values depend on far cards, `beam` is compared with all plans of up to 8 places, and at 20 places with the
   best plan that any width finds.
3. No plan of `--plans` breaks a rule. They are made in sessions: some cards of a plan are seen, new candidates come,
   the values change, and the rest is planned again. The cards that a session showed follow the rules as a whole, too.

The exit code is 1 if one of these is false. `--instances 0` leaves out 1 and 2, and `--plans 0` leaves out 3.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from edgerec.bench.mix.highs import highs
from edgerec.core.console import progress
from edgerec.core.errors import ConfigurationError
from edgerec.mixing.config import Solver
from edgerec.mixing.limits import Caps
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Cards, Plan, Problem
from edgerec.mixing.solve import solve
from edgerec.mixing.values import PlanValues
from edgerec.mixing.violations import violations
from tests.mixing.problems import PairValues, best_value, draw, pair_values, window_values
from tests.mixing.strategies import problems

LARGE = 50
"""Number of problems with 20 places and 40 candidates."""
WITHIN = 0.001
"""Largest mean gap of `beam` to the best plan of up to 8 places."""
BEAM_PROBLEMS = 300
SOLVERS: tuple[Solver, ...] = ("auto", "auto", "beam", "greedy")


def best_plans(instances: int, seed: int) -> bool:
    """Compare `dp` with HiGHS."""
    counts: Counter[str] = Counter()
    worst, gaps = 0.0, [0.0]

    def compare(problem: Problem, rules: MixRules, values: PlanValues, caps: Caps) -> None:
        nonlocal worst
        try:
            plan = solve(problem, rules, values, solver="dp", caps=caps)
        except ConfigurationError:
            counts["too large"] += 1
            plan = solve(problem, rules, values, caps=caps)
            best = highs(problem, rules, values.table(problem.count), caps=caps)
            counts["plans that break a rule"] += bool(violations(problem, rules, plan, caps=caps))
            if best is not None and not plan.relaxed:
                gaps.append((best.value - plan.value) / abs(best.value))
            return
        best = highs(problem, rules, values.table(problem.count), caps=caps)
        counts["plans that break a rule"] += bool(violations(problem, rules, plan, caps=caps))
        counts["wrong about whether a plan exists"] += bool(plan.relaxed) != (best is None)
        counts["without a plan" if best is None else "with a plan"] += 1
        if best is not None:
            worst = max(worst, abs(plan.value - best.value))

    rng = np.random.default_rng(seed)
    number = 0
    while counts["with a plan"] < min(LARGE, instances):
        problem, rules, caps = draw(rng, most_places=20, most_cards=40, least=1.0)
        compare(problem, rules, pair_values(rng, problem, rules), caps)
    large = counts["with a plan"]
    while counts["with a plan"] < instances:
        number += 1

        @seeded(seed * 1000 + number)
        @settings(
            max_examples=200,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(problems(most_places=10, most_cards=16))
        def some(drawn: tuple[Problem, MixRules, PairValues, Caps]) -> None:
            if counts["with a plan"] < instances:
                compare(*drawn)

        some()
        sys.stderr.write(f"{counts['with a plan']:,} of {instances:,} problems\n")
    wrong = counts["plans that break a rule"] + counts["wrong about whether a plan exists"]
    _say(
        f"dp against HiGHS: {counts['with a plan']:,} problems with a plan ({large} of them with up to 20 places and "
        f"40 candidates), {counts['without a plan']:,} without one; largest difference of values {worst:.1e}; "
        f"{wrong} wrong. {counts['too large']} more were too large for dp; the gap of beam there is "
        f"{np.mean(gaps):.3%} on average, {np.max(gaps):.3%} at most"
    )
    return wrong == 0 and worst < 1e-6


def beams(seed: int) -> bool:
    """Compare `beam` with all plans of up to 8 places, and with the best known plan of 20 places."""
    gaps, large = [], []
    for number in progress(range(BEAM_PROBLEMS), what="plans of up to 8 places"):
        rng = np.random.default_rng([seed, number])
        problem, rules, caps = draw(rng, most_places=8, most_cards=12)
        values = window_values(rng, problem, rules)
        best = best_value(problem, rules, values, caps)
        if best is not None:
            gaps.append((best - solve(problem, rules, values, caps=caps).value) / abs(best))
    for number in progress(range(50), what="plans of 20 places"):
        rng = np.random.default_rng([seed, 1, number])
        problem, rules, caps = draw(rng, most_places=20, most_cards=40, least=1.0)
        values = window_values(rng, problem, rules)
        found = {width: solve(problem, rules, values, beam=width, caps=caps) for width in (16, 64, 512)}
        if not found[16].relaxed:
            best = max(plan.value for plan in found.values())
            large.append((best - found[16].value) / abs(best))
    _say(
        f"beam (width 16) against all plans of up to 8 places: {len(gaps)} problems; gap {np.mean(gaps):.4%} on "
        f"average, {np.max(gaps):.3%} at most; within 0.1 % in {np.mean(np.array(gaps) <= 0.001):.1%}"
    )
    _say(
        f"beam (width 16) against the best plan of widths up to 512 at 20 places: {len(large)} problems; gap "
        f"{np.mean(large):.4%} on average, {np.max(large):.3%} at most"
    )
    return float(np.mean(gaps)) <= WITHIN


def sessions(plans: int, seed: int) -> bool:
    """Plan again and again in the middle of sessions, and check each plan and each session."""
    counts: Counter[str] = Counter()
    start, number = time.perf_counter(), 0
    while counts["plans"] < plans:
        number += 1
        _session(np.random.default_rng([seed, 2, number]), counts)
        if number % 500 == 0:
            sys.stderr.write(f"{counts['plans']:,} of {plans:,} plans\n")
    _say(
        f"{counts['plans']:,} plans in {number:,} sessions, {counts['again']:,} of them in the middle of one: "
        f"{counts['broken']} break a rule; {counts['sessions']:,} sessions gave up no rule, {counts['broken lists']} "
        f"of them showed cards that break a rule; {counts['relaxed']:,} plans gave up rules; "
        f"{(time.perf_counter() - start) / max(counts['plans'], 1) * 1e3:.1f} ms each with the checks"
    )
    return not counts["broken"] and not counts["broken lists"]


def _session(rng: np.random.Generator, counts: Counter[str]) -> None:
    problem, rules, _ = draw(rng, most_places=20, most_cards=40, least=0.5, free=rng.random() < 0.8)
    left, shown, relaxed = problem.cards, Cards.none(), False
    solver = SOLVERS[rng.integers(len(SOLVERS))]
    for turn in range(int(rng.integers(1, 12))):
        if turn and rng.random() < 0.3:
            more, _, _ = draw(rng, most_cards=20, like=rules)
            left = _joined(left, more.cards)
        left = _taken(left, rng.permutation(len(left)))
        if not len(left):
            break
        places = int(rng.integers(1, 21))
        now = Problem(left, shown, places)
        exact = rng.random() < 0.7
        values = (pair_values if exact else window_values)(rng, now, rules)
        pages = range(len(shown) // rules.page, (len(shown) + now.count - 1) // rules.page + 1)
        kinds = len(rules.names)
        caps = {(page, int(rng.integers(kinds))): (0, int(rng.integers(1, 4))) for page in pages if rng.random() < 0.2}
        plan = solve(now, rules, values, solver=solver, caps=caps)
        counts["plans"] += 1
        counts["again"] += turn > 0
        counts["relaxed"] += bool(plan.relaxed)
        if found := violations(now, rules, plan, caps=caps):
            counts["broken"] += 1
            sys.stderr.write(f"{found[0]}\n")
        relaxed |= bool({*plan.relaxed} - {"shares"})
        seen = plan.order[: int(rng.integers(0, plan.planned + 1))]
        shown = _joined(shown, _taken(left, seen))
        left = _taken(left, np.setdiff1d(np.arange(len(left)), seen))
    if len(shown) and not relaxed:
        counts["sessions"] += 1
        whole = Plan(np.arange(len(shown)), len(shown), 0.0, relaxed=("order",))
        if found := violations(Problem(shown, places=len(shown)), rules, whole):
            counts["broken lists"] += 1
            sys.stderr.write(f"session: {found[0]}\n")


def _taken(cards: Cards, rows: np.ndarray) -> Cards:
    return Cards(cards.kinds[rows], cards.advertisers[rows])


def _joined(first: Cards, second: Cards) -> Cards:
    return Cards(np.concatenate([first.kinds, second.kinds]), np.concatenate([first.advertisers, second.advertisers]))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--plans", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    right = [best_plans(chosen.instances, chosen.seed), beams(chosen.seed)] if chosen.instances else []
    if chosen.plans:
        right.append(sessions(chosen.plans, chosen.seed))
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
