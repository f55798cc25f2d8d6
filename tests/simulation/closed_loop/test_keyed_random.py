"""Random numbers of a decision depend only on what is decided."""

from __future__ import annotations

import numpy as np

from edgerec.simulation.closed_loop.keyed_random import KeyedRandom, Purpose


def test_numbers_do_not_depend_on_earlier_draws() -> None:
    random = KeyedRandom(seed=3, user_id=7)
    first = random.at(Purpose.EXPOSURE, 2, 40).random(3)
    random.at(Purpose.PAGE_VIEW, 2, 40).standard_normal(1_000)
    random.rng.random(3, dtype=np.float32)  # Leaves half of a word in the generator.

    assert random.at(Purpose.EXPOSURE, 2, 40).random(3).tolist() == first.tolist()
    assert KeyedRandom(seed=3, user_id=7).at(Purpose.EXPOSURE, 2, 40).random(3).tolist() == first.tolist()


def test_half_words_are_forgotten() -> None:
    random = KeyedRandom(seed=3, user_id=7)
    expected = random.at(Purpose.LEAVING, 1, 1).random(1, dtype=np.float32)
    random.at(Purpose.EXPOSURE, 1, 1).random(1, dtype=np.float32)

    assert random.at(Purpose.LEAVING, 1, 1).random(1, dtype=np.float32) == expected


def test_every_part_of_the_name_changes_the_numbers() -> None:
    names = [(3, 7, Purpose.EXPOSURE, 2, 40)]
    names += [(4, 7, Purpose.EXPOSURE, 2, 40), (3, 8, Purpose.EXPOSURE, 2, 40), (3, 7, Purpose.PAGE_VIEW, 2, 40)]
    names += [(3, 7, Purpose.EXPOSURE, 3, 40), (3, 7, Purpose.EXPOSURE, 2, 41)]
    drawn = {KeyedRandom(seed, user).at(*name).random() for seed, user, *name in names}

    assert len(drawn) == len(names)


def test_neighbouring_decisions_are_independent_and_uniform() -> None:
    random = KeyedRandom(seed=1, user_id=1)
    drawn = np.array([random.at(Purpose.EXPOSURE, 1, item).random() for item in range(4_000)])

    assert abs(drawn.mean() - 0.5) < 4 / np.sqrt(12 * len(drawn))
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 4 / np.sqrt(len(drawn))
