"""Find the best order of the cards of a mixed feed under its rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgerec.core.errors import ConfigurationError, NotFiniteError, ShapeError
from edgerec.mixing.beam import guided_path
from edgerec.mixing.config import Solver
from edgerec.mixing.dp import best_path, reach
from edgerec.mixing.graph import Graph, build
from edgerec.mixing.limits import Caps, Limits
from edgerec.mixing.recency import recency
from edgerec.mixing.relaxation import ALL, fill
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Plan, Problem
from edgerec.mixing.space import blocked_index, link, pair_index, space
from edgerec.mixing.task import Task, not_finite
from edgerec.mixing.values import Floats, PlanValues, value_of
from edgerec.mixing.violations import broken
from edgerec.mixing.wide_beam import wide_path

SMALL = 1_500_000
"""`auto` takes `dp` up to this number of transitions of the graph; see docs/mixing.md."""
LARGEST = 20_000_000
"""`dp` refuses graphs with more transitions."""


def solve(
    problem: Problem,
    rules: MixRules,
    values: PlanValues,
    *,
    solver: Solver = "auto",
    beam: int = 16,
    caps: Caps | None = None,
) -> Plan:
    """Return the best plan that a solver finds.

    Args:
        problem: the candidates, and the cards before them.
        rules: the rules.
        values: what cards are worth. Prices are in them already.
        solver: `dp` finds the best plan by `values.table`. `beam` keeps some beginnings of plans and values them by
            `values.extend`. `greedy` takes the best card place by place. `auto` is `dp` if `values.exact` and the
            problem is small enough, else `beam`.
        beam: number of beginnings of plans that `beam` keeps.
        caps: by (page, kind index), the smallest and the largest number of cards of the kind on the page, which come
            from shares. Pages count from 0 at the top of the list, and the seen cards of a page count. A page or kind
            that is missing has no cap. Caps are given up first (`shares` in `Plan.relaxed`), and rules win over caps
            that contradict them. Example: ``{(0, 3): (0, 2)}`` allows two cards of kind 3 on the first page.

    Returns:
        The plan. If no plan follows all rules, some are given up (`edgerec.mixing.relaxation`).

    Raises:
        ShapeError: arrays have wrong lengths, or a kind is not one of the rules.
        NotFiniteError: a value is NaN or infinite.
        ConfigurationError: the problem is too large for `dp`.
    """
    _check(problem, rules)
    places = problem.count
    if places == 0:
        return Plan(np.arange(0), 0, 0.0, solver="dp" if solver == "auto" else solver)
    table = np.asarray(values.table(places), np.float64)
    _check_table(table, (places, len(problem.cards), len(rules.names) + 1))
    used: list[str] = []

    filled = fill(Task(problem, values, table, places=places), rules, _Paths(solver, beam, used), caps=caps)
    order = np.array(filled.cards, np.int64)
    rest = np.ones(len(problem.cards), bool)
    rest[order] = False
    order = np.concatenate([order, np.flatnonzero(rest)])
    value = _value(problem, values, table, order, places)
    relaxed = filled.given_up
    if relaxed and ALL not in relaxed:
        rules_broken = {found.rule for found in broken(problem, rules, order.tolist(), places, caps=caps or {})}
        relaxed = tuple(name for name in relaxed if name in rules_broken)
    return Plan(order, places, value, relaxed, used[0] if used else ALL, filled.kept)


def forget_spaces() -> None:
    """Forget what is kept for later problems under the same rules. Only measurements need this."""
    for kept in (recency, space, blocked_index, link, pair_index):
        kept.cache_clear()


@dataclass(frozen=True)
class _Paths:
    """A solver.

    Attributes:
        solver, beam: see `solve`.
        used: what found the parts of the plan; `path` adds to it.
    """

    solver: Solver
    beam: int
    used: list[str]

    def path(self, task: Task, limits: Limits) -> list[int] | None:
        """See `edgerec.mixing.relaxation.Paths.path`."""
        graph, cards = self._graph(task, limits), None
        if graph is None:
            name, found = "greedy" if self.solver == "greedy" else "beam", self._wide(task, limits)
            cards = found if len(found) == task.left else None
        elif self.solver == "greedy":
            name, cards = "greedy", guided_path(graph, width=1, ahead=False)
        elif self.solver == "dp" or (self.solver == "auto" and task.values.exact):
            name, cards = "dp", best_path(graph)
        else:
            name, cards = "beam", guided_path(graph, width=self.beam)
        if cards is not None:
            self.used.append(name)
        return cards

    def reach(self, task: Task, limits: Limits, *, least: bool = True) -> int:
        """See `edgerec.mixing.relaxation.Paths.reach`."""
        graph = self._graph(task, limits)
        return len(self._wide(task, limits)) if graph is None else reach(graph, least=least)

    def _graph(self, task: Task, limits: Limits) -> Graph | None:
        """Return the graph; None if it is too large for the solver."""
        graph = build(task, limits, most=LARGEST if self.solver == "dp" else SMALL)
        if graph is None and self.solver == "dp":
            raise ConfigurationError(
                f"mixing: the problem has more than {LARGEST:,} transitions, which is too large for solver `dp`: use "
                "solver `auto` or `beam`, fewer places, or a smaller advertiser_gap (docs/mixing.md)"
            )
        return graph

    def _wide(self, task: Task, limits: Limits) -> list[int]:
        return wide_path(task, limits, width=1 if self.solver == "greedy" else self.beam)


def _check(problem: Problem, rules: MixRules) -> None:
    kinds = len(rules.names)
    for name, cards in (("cards", problem.cards), ("seen", problem.seen)):
        if len(cards.kinds) != len(cards.advertisers):
            raise ShapeError(
                f"mixing: `{name}` should have as many kinds as advertisers; received {len(cards.kinds)} and "
                f"{len(cards.advertisers)}"
            )
        if len(cards) and not (cards.kinds.min() >= 0 and cards.kinds.max() < kinds):
            wrong = next(kind for kind in cards.kinds.tolist() if not 0 <= kind < kinds)
            raise ShapeError(
                f"mixing: kinds of `{name}` should be from 0 to {kinds - 1} ({', '.join(rules.names)}); received "
                f"{wrong}. Cards of an unknown kind should count as `unknown` of the rules"
            )
    if problem.places < 1:
        raise ShapeError(f"mixing: `places` should be at least 1; received {problem.places}")


def _check_table(table: Floats, shape: tuple[int, int, int]) -> None:
    if table.shape != shape:
        raise ShapeError(f"mixing: the table of values should have the shape {shape}; received {table.shape}")
    if not np.isfinite(table).all():
        place, card, _ = np.argwhere(~np.isfinite(table))[0].tolist()
        raise NotFiniteError(not_finite(table[~np.isfinite(table)][0], card, place))


def _value(problem: Problem, values: PlanValues, table: Floats, order: np.ndarray, places: int) -> float:
    if not values.exact:
        return value_of(values, problem, order, places)
    kinds = problem.cards.kinds[order[:places]]
    first = problem.seen.kinds[-1] if len(problem.seen) else table.shape[2] - 1
    return float(table[np.arange(places), order[:places], np.concatenate([[first], kinds[:-1]])].sum())
