"""Exploration: the next few places of a new order sometimes show another candidate than the best one.

The probability of each choice is logged. So the logs say how good another order would have been (docs/off-policy.md).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgerec.core.errors import ConfigurationError


def random_number() -> float:
    """Return a random number from 0 to below 1."""
    return secrets.randbits(53) / 2**53


@dataclass(frozen=True)
class Explored:
    """An order as it is shown.

    Attributes:
        positions: positions of the candidates, in the order in which they are shown.
        propensities: for each explored place, the probability with which it shows this candidate, given the
            candidates at the places before.
        among: from how many of the best remaining candidates each place was drawn. At the end of a list there are
            fewer.
    """

    positions: list[int]
    propensities: list[float]
    among: int


@dataclass(frozen=True)
class Exploration:
    """Epsilon-greedy exploration of the first places of an order.

    For each place j = 1..`places`: with probability 1 - epsilon it shows the best remaining candidate, otherwise one of
    the m best remaining candidates with equal probabilities. m is `among`, or the number of remaining candidates if
    that is smaller. So the best one has the probability ``1 - epsilon (m - 1) / m``, and each other ``epsilon / m``.

    Attributes:
        epsilon: from 0 to 1.
        places: number of places that are explored. All other candidates follow, best one first.
        among: the largest m.
        draw: returns a random number from 0 to below 1. It is called once for each place.
    """

    epsilon: float
    places: int
    among: int
    draw: Callable[[], float] = random_number

    def of(self, best_first: Sequence[int]) -> Explored:
        """Return the order to show, from the positions of the candidates with the best one first.

        Raises:
            ConfigurationError: `draw` returned something else than a number from 0 to below 1.
        """
        remaining, shown, propensities = list(best_first), list[int](), list[float]()
        for _ in range(min(self.places, len(remaining))):
            count = min(self.among, len(remaining))
            number = self.draw()
            if not isinstance(number, (int, float)) or not 0 <= number < 1:
                raise ConfigurationError(
                    f"client: `draw` should return numbers from 0 to below 1; received {number!r:.80}"
                )
            # Below epsilon, the number is uniform in [0, epsilon), so it also says which candidate is taken.
            index = min(int(number / self.epsilon * count), count - 1) if number < self.epsilon else 0
            other = self.epsilon / count
            propensities.append(other if index else 1 - other * (count - 1))
            shown.append(remaining.pop(index))
        return Explored(shown + remaining, propensities, self.among)
