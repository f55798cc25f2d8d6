"""Prove that plans of mixed feeds are the best ones, and break no rule.

    python -m tests.proof.mixing [--instances 1000] [--plans 100000] [--seed 0]

1. `dp` has the value that HiGHS finds on `--instances` problems that have a plan; hypothesis draws rules, kinds,
   values, seen cards and caps. Where HiGHS finds no plan, `dp` gives rules up, and only there. It gives up no rule if
   HiGHS finds a plan without those before it. A part of the problems has up to 20 places and 40 candidates.
2. Where values depend on far cards, `beam` is compared with all plans of up to 8 places, and at 20 places with the
   best plan that any width finds.
3. No plan of `--plans` breaks a rule but those that it reports, and it reports no others. All rules hold on the places
   that it says. Plans are made in sessions: some cards of a plan are seen, new candidates come, the values change, and
   the rest is planned again. The cards that a session showed follow the rules as a whole, too: all rules up to the
   first place where one was given up, and in the whole list all rules that no plan reports.

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
from edgerec.core.errors import ConfigurationError, SessionError
from edgerec.mixing.config import Solver
from edgerec.mixing.limits import Caps
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Cards, Plan, Problem
from edgerec.mixing.solve import solve
from edgerec.mixing.values import PlanValues
from edgerec.mixing.violations import violations
from tests.mixing.checks import before_last, faults
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
        small = True
        try:
            plan = solve(problem, rules, values, solver="dp", caps=caps)
        except ConfigurationError:
            small, plan = False, solve(problem, rules, values, caps=caps)
        counts["wrong"] += bool(faults(problem, rules, plan, caps))
        try:
            best = highs(problem, rules, values.table(problem.count), caps=caps)
        except SessionError:
            counts["without an answer"] += 1
            return
        if not small:
            counts["too large"] += 1
            if best is not None and not plan.relaxed:
                gaps.append((best.value - plan.value) / abs(best.value))
            return
        counts["wrong"] += bool(plan.relaxed) != (best is None)
        counts["without a plan" if best is None else "with a plan"] += 1
        if best is None and plan.relaxed:
            fewer, other = before_last(rules, caps, plan.relaxed)
            counts["wrong"] += highs(problem, fewer, values.table(problem.count), caps=other) is not None
        if best is not None:
            worst = max(worst, abs(plan.value - best.value))

    rng = np.random.default_rng(seed)
    number = 0
    while counts["with a plan"] < min(LARGE, instances):
        problem, rules, caps = draw(rng, most_places=20, most_cards=40, least=1.0, free=True)
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
    _say(
        f"dp against HiGHS: {counts['with a plan']:,} problems with a plan ({large} of them with up to 20 places and "
        f"40 candidates), {counts['without a plan']:,} without one; largest difference of values {worst:.1e}; "
        f"{counts['wrong']} wrong. HiGHS had no answer within a minute for {counts['without an answer']} more. "
        f"{counts['too large']} more were too large for dp; the gap of beam there is {np.mean(gaps):.3%} on average, "
        f"{np.max(gaps):.3%} at most"
    )
    return counts["wrong"] == 0 and worst < 1e-6


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
        f"{counts['broken']} break a rule that they do not report, or report another one; {counts['relaxed']:,} plans "
        f"gave up rules, after {counts['kept'] / max(counts['relaxed'], 1):.1f} places on average; "
        f"{counts['sessions']:,} lists were shown ({counts['sound']:,} without a broken rule), "
        f"{counts['broken lists']} of them break a rule that should hold; "
        f"{(time.perf_counter() - start) / max(counts['plans'], 1) * 1e3:.1f} ms each with the checks"
    )
    return not counts["broken"] and not counts["broken lists"]


def _session(rng: np.random.Generator, counts: Counter[str]) -> None:
    problem, rules, _ = draw(rng, most_places=20, most_cards=40, least=0.5, free=rng.random() < 0.8)
    left, shown, relaxed, sound = problem.cards, Cards.none(), set(), None
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
        counts["kept"] += plan.kept if plan.relaxed else 0
        if found := faults(now, rules, plan, caps):
            counts["broken"] += 1
            sys.stderr.write(f"{found[0]}\n")
        seen = plan.order[: int(rng.integers(0, plan.planned + 1))]
        if {*plan.relaxed} - {"shares"} and len(seen) > plan.kept:
            sound = len(shown) + plan.kept if sound is None else sound
            relaxed |= {*plan.relaxed}
        shown = _joined(shown, _taken(left, seen))
        left = _taken(left, np.setdiff1d(np.arange(len(left)), seen))
    if len(shown):
        counts["sessions"] += 1
        counts["sound"] += sound is None
        found = []
        for places, names in ((len(shown), relaxed), (len(shown) if sound is None else sound, set())):
            if places:
                plan = Plan(np.arange(len(shown)), places, 0.0, relaxed=("order", *names))
                found += violations(Problem(shown, places=places), rules, plan)
        if found:
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
