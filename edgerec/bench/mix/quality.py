"""How far the plans of a solver are from the best ones, and whether they break rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgerec.bench.document import Quality
from edgerec.bench.mix.highs import highs
from edgerec.bench.mix.instances import Instance
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Plan
from edgerec.mixing.solve import solve
from edgerec.mixing.violations import violations

WIDE = 256
"""Width of the beam whose plans are the best known ones where values are not exact."""
Solve = Callable[[Instance], Plan]


def qualities(
    instances: Sequence[Instance], rules: MixRules, solvers: Mapping[str, Solve], *, reference: str
) -> dict[str, Quality]:
    """Return the quality of each solver.

    The gap of a plan is ``(best - value) / |best|``. Plans for which rules were given up have no gap.

    Args:
        instances: the feeds.
        rules: the rules.
        solvers: functions that return a plan, by name.
        reference: `highs`, or `best known`: the best plan of all solvers and of a wide beam.
    """
    gaps: dict[str, list[float]] = {name: [] for name in solvers}
    broken = dict.fromkeys(solvers, 0)
    for instance in instances:
        plans = {name: solver(instance) for name, solver in solvers.items()}
        for name, plan in plans.items():
            broken[name] += len(violations(instance.problem, rules, plan))
        best = _best(instance, rules, list(plans.values()), reference)
        for name, plan in plans.items():
            if best is not None and not plan.relaxed:
                gaps[name].append((best - plan.value) / max(abs(best), 1e-12))
    return {
        name: Quality(
            instances=len(instances),
            compared=len(gaps[name]),
            reference=reference,
            gap_mean=float(np.mean(gaps[name])) if gaps[name] else None,
            gap_max=float(np.max(gaps[name])) if gaps[name] else None,
            violations=broken[name],
        )
        for name in solvers
    }


def _best(instance: Instance, rules: MixRules, plans: Sequence[Plan], reference: str) -> float | None:
    problem, values = instance.problem, instance.values()
    if reference == "highs":
        found = highs(problem, rules, values.table(problem.count))
        return None if found is None else found.value
    wide = solve(problem, rules, values, solver="beam", beam=WIDE)
    return max((plan.value for plan in (wide, *plans) if not plan.relaxed), default=None)
