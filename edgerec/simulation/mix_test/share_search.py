"""Find the setting of a policy at which users see a wanted share of each kind, in few pilot runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

TOLERANCE = 0.002
"""The distance of a realised share to the goal at which a search ends: two tenths of a percentage point."""
_LEAST = 1e-3


@dataclass(frozen=True)
class Goal:
    """What is wanted of one kind.

    Attributes:
        low, high: the wanted share is between both. They are equal for a kind with one wanted share.
        least, most: the range of the setting.
        slope: a first guess of the relative change of the share with the setting; negative for a price.
    """

    low: float
    high: float
    least: float
    most: float
    slope: float

    def wanted(self, share: float) -> float:
        """Return the wanted share that is nearest to a realised one."""
        return min(max(share, self.low), self.high)


@dataclass
class ShareSearch:
    """A search over the settings of several kinds at once: each kind has a setting, and all share the pilot runs.

    Each setting follows its own secant, on the logarithm of the share: a price changes the share by a factor. If the
    goal lies between two runs, the next setting lies between theirs (regula falsi), so a wrong slope cannot lead away.
    That one kind's setting changes the shares of others a little is left to the next run.

    Args:
        goals: by kind.
        start: by kind, the setting of the first run.
        tolerance: the search has ended when all shares are this near.

    Attributes:
        runs: the settings and realised shares of the runs so far.
    """

    goals: Mapping[str, Goal]
    start: Mapping[str, float]
    tolerance: float = TOLERANCE
    runs: list[tuple[dict[str, float], dict[str, float]]] = field(default_factory=list)

    def add(self, settings: Mapping[str, float], shares: Mapping[str, float]) -> None:
        """Note the realised shares of a run."""
        self.runs.append((dict(settings), {kind: shares[kind] for kind in self.goals}))

    @property
    def ended(self) -> bool:
        """Whether the shares of some run are near enough."""
        return any(self._error(shares) <= self.tolerance for _, shares in self.runs)

    def best(self) -> dict[str, float]:
        """Return the settings of the run whose shares are nearest."""
        return min(self.runs, key=lambda run: self._error(run[1]))[0]

    def next(self) -> dict[str, float]:
        """Return the settings of the next run. Without a run so far, they are those of the start."""
        if not self.runs:
            return dict(self.start)
        return {kind: self._next(kind, goal) for kind, goal in self.goals.items()}

    def with_slopes(self) -> dict[str, Goal]:
        """Return the goals with the slopes of the runs as first guesses, for a search with other users."""
        return {kind: replace(goal, slope=self._slope(kind, goal)) for kind, goal in self.goals.items()}

    def _error(self, shares: Mapping[str, float]) -> float:
        return max((abs(shares[kind] - goal.wanted(shares[kind])) for kind, goal in self.goals.items()), default=0.0)

    def _next(self, kind: str, goal: Goal) -> float:
        setting, share = self.runs[-1][0][kind], self.runs[-1][1][kind]
        if goal.low <= share <= goal.high:
            return setting
        # The run nearest to the goal is the best start of a secant.
        points = [(settings[kind], shares[kind]) for settings, shares in self.runs]
        setting, share = min(points, key=lambda point: abs(point[1] - goal.wanted(point[1])))
        wanted = goal.wanted(self.runs[-1][1][kind])
        below = [point for point in points if point[1] < wanted]
        above = [point for point in points if point[1] > wanted]
        if below and above:
            (low, low_share), (high, high_share) = max(below, key=lambda p: p[1]), min(above, key=lambda p: p[1])
            found = low + (high - low) * _distance(low_share, wanted) / _distance(low_share, high_share)
        else:
            found = setting + _distance(share, wanted) / self._slope(kind, goal)
        return min(max(found, goal.least), goal.most)

    def _slope(self, kind: str, goal: Goal) -> float:
        points = sorted({(settings[kind], shares[kind]) for settings, shares in self.runs})
        wanted = goal.wanted(points[-1][1]) if points else goal.low
        near = sorted(points, key=lambda point: abs(point[1] - wanted))[:2]
        if len(near) == 2 and near[0][0] != near[1][0]:
            found = _distance(near[1][1], near[0][1]) / (near[0][0] - near[1][0])
            # Noise can turn a flat slope round, or make a step far too long.
            if found * goal.slope > 0 and abs(found) > abs(goal.slope) / 20:
                return found
        return goal.slope


def _distance(share: float, other: float) -> float:
    """Return the logarithm of the ratio of two shares, with a floor for shares near 0."""
    return math.log(max(other, _LEAST) / max(share, _LEAST))
