"""The best plan by a solver for integer programs, HiGHS: the reference that the solvers are compared with.

It reads the rules itself and shares no code with the solvers. With y[t, j, b] = 1 if card j stands at place t after a
card of kind b (b = kinds: after none)::

    maximise    sum of table[t, j, b] * y[t, j, b]
    subject to  one card at each place, each card at most once,
                y[t, ., b] stands after a card of kind b,
                a card of a kind stands after the one before it in its source,
                at most one card of a kind (an advertiser) on each stretch of `gap` (`advertiser_gap`) places,
                the numbers of cards on each page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from edgerec.core.errors import MissingExtraError, SessionError, not_installed
from edgerec.mixing.limits import Caps
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Problem
from edgerec.mixing.values import Floats

MINUTE = 60.0


@dataclass(frozen=True)
class Best:
    """The best plan.

    Attributes:
        value: its value.
        cards: its candidates, in order.
    """

    value: float
    cards: list[int]


def highs(problem: Problem, rules: MixRules, table: Floats, *, caps: Caps | None = None) -> Best | None:
    """Return the best plan by a table (places, n, kinds + 1) of values; None if no plan follows all rules.

    Raises:
        MissingExtraError: SciPy is not installed.
        SessionError: HiGHS finds no answer within a minute.
    """
    try:
        from scipy.optimize import Bounds, LinearConstraint, milp
    except ModuleNotFoundError:
        raise MissingExtraError(not_installed("scipy", "experiments")) from None
    program = _Program(problem, rules, table, caps or {})
    matrix, low, high = program.constraints()
    if not program.possible:
        return None
    found = milp(
        -program.values,
        constraints=LinearConstraint(matrix, low, high),
        bounds=Bounds(0, program.most),
        integrality=np.ones(len(program.values)),
        options={"time_limit": MINUTE, "mip_rel_gap": 0.0},
    )
    if found.status == 2:
        return None
    if found.status != 0:
        raise SessionError(f"bench mix: HiGHS found no plan within {MINUTE:g} seconds: {found.message}")
    chosen = np.flatnonzero(found.x > 0.5)
    by_place = sorted((int(program.place[index]), int(program.card[index])) for index in chosen)
    return Best(float(program.values[chosen].sum()), [card for _, card in by_place])


@dataclass
class _Program:
    problem: Problem
    rules: MixRules
    table: Floats
    caps: Caps
    possible: bool = True
    rows: list[tuple[np.ndarray, np.ndarray, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        places, cards, before = self.table.shape
        grid = np.indices((places, cards, before)).reshape(3, -1)
        start = self.problem.seen.kinds[-1] if len(self.problem.seen) else before - 1
        possible = np.where(grid[0] == 0, grid[2] == start, grid[2] < before - 1)
        if (self.table == self.table[:, :, :1]).all():
            # The card before changes nothing, so one variable is enough for each place and card.
            possible = grid[2] == 0
        self.linked = not (self.table == self.table[:, :, :1]).all()
        self.place, self.card, self.before = grid[:, possible]
        self.values = self.table[self.place, self.card, self.before]
        self.kind = self.problem.cards.kinds[self.card]
        self.most = np.ones(len(self.values))

    def constraints(self) -> tuple[object, np.ndarray, np.ndarray]:
        """Return the matrix, and the smallest and the largest value of each row."""
        from scipy.sparse import csr_array

        self._each_place()
        for kind, rule in enumerate(self.rules.kinds.values()):
            own = self.kind == kind
            self.most[own & (len(self.problem.seen) + self.place + 1 < rule.first)] = 0
            self._order(kind)
            seen = np.flatnonzero(self.problem.seen.kinds == kind)
            self._apart(own, seen, rule.gap)
            advertisers = self.problem.cards.advertisers[self.card]
            for advertiser in set(advertisers[own].tolist()) - {0}:
                of = seen[self.problem.seen.advertisers[seen] == advertiser]
                self._apart(own & (advertisers == advertiser), of, rule.advertiser_gap)
            self._pages(kind, seen)
        row = np.concatenate([np.full(len(index), number) for number, (index, *_) in enumerate(self.rows)])
        column = np.concatenate([index for index, *_ in self.rows])
        entries = np.concatenate([factors for _, factors, *_ in self.rows])
        matrix = csr_array((entries, (row, column)), shape=(len(self.rows), len(self.values)))
        low, high = (np.array([row[side] for row in self.rows]) for side in (2, 3))
        return matrix, low, high

    def _add(self, plus: np.ndarray, minus: np.ndarray, low: float, high: float) -> None:
        """Add a row: low <= sum of the variables `plus` - sum of the variables `minus` <= high."""
        index = np.concatenate([np.flatnonzero(plus), np.flatnonzero(minus)])
        signs = np.concatenate([np.ones(plus.sum()), -np.ones(minus.sum())])
        self.rows.append((index, signs, low, high))

    def _each_place(self) -> None:
        none = np.zeros(len(self.values), bool)
        for place in range(len(self.table)):
            self._add(self.place == place, none, 1, 1)
        for card in range(self.table.shape[1]):
            self._add(self.card == card, none, 0, 1)
        if self.linked:
            for place in range(1, len(self.table)):
                for kind in range(self.table.shape[2] - 1):
                    after = (self.place == place) & (self.before == kind)
                    self._add(after, (self.place == place - 1) & (self.kind == kind), 0, 0)

    def _order(self, kind: int) -> None:
        source = np.flatnonzero(self.problem.cards.kinds == kind)
        for number, card in enumerate(source):
            # As many cards of the source stand before this one. The rows below say so, too, but this is found sooner.
            self.most[(self.card == card) & (self.place < number)] = 0
        for first, second in pairwise(source):
            for place in range(len(self.table)):
                later = (self.card == second) & (self.place <= place)
                self._add(later, (self.card == first) & (self.place < place), -np.inf, 0)

    def _apart(self, own: np.ndarray, seen: Iterable[int], distance: int) -> None:
        none = np.zeros(len(self.values), bool)
        for start in range(len(self.table) if distance > 1 else 0):
            self._add(own & (self.place >= start) & (self.place < start + distance), none, 0, 1)
        for shown in seen:
            self.most[own & (len(self.problem.seen) + self.place - shown < distance)] = 0

    def _pages(self, kind: int, seen: np.ndarray) -> None:
        page, begin, none = self.rules.page, len(self.problem.seen), np.zeros(len(self.values), bool)
        rule = self.rules.kinds[self.rules.names[kind]]
        for number in range((begin + len(self.table) - 1) // page + 1):
            low, high = self.caps.get((number, kind), (0, page))
            on_page = (self.kind == kind) & ((begin + self.place) // page == number)
            already = int((seen // page == number).sum())
            complete = (number + 1) * page <= begin + len(self.table)
            most = max(min(high, rule.at_most), rule.at_least)
            least = min(max(low, rule.at_least), most) if complete else 0
            if on_page.any():
                self._add(on_page, none, least - already, max(most - already, 0))
            elif least > already and (number + 1) * page > begin:
                self.possible = False
