"""The random choice of explored places: which candidates are shown, and how probable that is."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from edgerec.core.errors import ConfigurationError
from edgerec.device_runtime.exploration import Exploration, random_number

BEST_FIRST = [7, 3, 0, 5, 1, 6, 2, 4]


def chi_square(counts: Counter[tuple[int, ...]], probabilities: dict[tuple[int, ...], float]) -> float:
    """Return the chi-square statistic of counts. With 8 degrees of freedom, it is below 20.1 with probability 99 %,
    and below 26.1 with probability 99.9 %."""
    expected = {each: counts.total() * probability for each, probability in probabilities.items()}
    return sum((counts[each] - number) ** 2 / number for each, number in expected.items())


def test_orders_are_drawn_with_the_logged_probabilities() -> None:
    exploration = Exploration(0.4, places=2, among=3, draw=random.Random(1).random)
    counts, probabilities = Counter[tuple[int, ...]](), dict[tuple[int, ...], float]()
    for _ in range(6000):
        drawn = exploration.of(BEST_FIRST)
        shown = tuple(drawn.positions[:2])
        counts[shown] += 1
        probabilities[shown] = drawn.propensities[0] * drawn.propensities[1]
    assert len(probabilities) == 9
    assert sum(probabilities.values()) == pytest.approx(1)
    assert chi_square(counts, probabilities) < 20.1
    # The test is able to see a wrong probability: with epsilon 0.34, the best pair is shown more often.
    other = Exploration(0.34, places=2, among=3, draw=exploration.draw)
    counts = Counter(tuple(other.of(BEST_FIRST).positions[:2]) for _ in range(6000))
    assert chi_square(counts, probabilities) > 26.1


def test_only_the_best_candidates_are_shown_and_later_places_keep_their_order() -> None:
    exploration = Exploration(0.9, places=3, among=4, draw=random.Random(2).random)
    seen = [set[int]() for _ in range(3)]
    for _ in range(500):
        drawn = exploration.of(BEST_FIRST)
        remaining = list(BEST_FIRST)
        for place, position in enumerate(drawn.positions[:3]):
            rank = remaining.index(position)
            seen[place].add(rank)
            assert drawn.propensities[place] == pytest.approx(0.225 if rank else 0.325)
            remaining.remove(position)
        assert drawn.positions[3:] == remaining
        assert len(drawn.propensities) == 3
    assert seen == [{0, 1, 2, 3}] * 3


def test_at_the_end_of_a_list_fewer_candidates_are_drawn_from() -> None:
    exploration = Exploration(0.7, places=5, among=5, draw=random.Random(3).random)
    probabilities = {tuple(one.positions): one.propensities for one in (exploration.of([1, 0]) for _ in range(50))}
    assert probabilities == {(1, 0): [pytest.approx(0.65), 1.0], (0, 1): [pytest.approx(0.35), 1.0]}
    assert exploration.of([0]).propensities == [1.0]


@pytest.mark.parametrize(("number", "rank"), [(0.0, 0), (0.0199, 0), (0.0201, 1), (0.0999999, 4), (0.1, 0), (0.999, 0)])
def test_one_number_says_whether_and_what_is_explored(number: float, rank: int) -> None:
    drawn = Exploration(0.1, places=1, among=5, draw=lambda: number).of(BEST_FIRST)
    assert drawn.positions[0] == BEST_FIRST[rank]


@pytest.mark.parametrize("number", [-0.1, 1.0, float("nan"), "0.5", None])
def test_a_wrong_random_number_is_an_error(number: object) -> None:
    with pytest.raises(ConfigurationError, match=r"`draw` should return numbers from 0 to below 1; received"):
        Exploration(0.1, places=1, among=5, draw=lambda: number).of(BEST_FIRST)  # type: ignore[arg-type,return-value]


def test_default_numbers_are_uniform() -> None:
    numbers = sorted(random_number() for _ in range(1000))
    # Kolmogorov and Smirnov's distance is above 0.07 once in ten thousand times.
    assert max(max((n + 1) / 1000 - number, number - n / 1000) for n, number in enumerate(numbers)) < 0.07
    assert 0 <= numbers[0] <= numbers[-1] < 1
