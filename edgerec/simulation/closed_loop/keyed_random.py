"""Random numbers that depend only on what they decide.

One stream for each user would not do: if two buckets of an A/B test show other items, they draw numbers in another
order, and soon every decision of the user differs by chance. Here every decision has a stream of its own, so a user who
sees the same item in the same session decides with the same random numbers in every bucket (common random numbers;
Asmussen and Glynn, *Stochastic Simulation*, V.6).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

_WORD = 2**64 - 1


class Purpose(IntEnum):
    """What random numbers are for."""

    TRAITS = 0
    PLAN = 1
    SESSION = 2
    SEARCHES = 3
    SEARCH = 4
    EXPOSURE = 5
    PAGE_VIEW = 6
    LEAVING = 7
    RETURN = 8
    RECALL = 9
    NOISE = 10
    EXPLORATION = 11
    MIXED_TRAITS = 12


class KeyedRandom:
    """The random numbers of one user.

    Philox is a counter-based generator (Salmon et al., SC 2011): its key is the user's, and its counter names the
    decision. So no numbers are drawn to reach those of a later decision.

    Args:
        seed: the seed of the world.
        user_id: the user.

    Attributes:
        rng: the generator. `at` moves it.
    """

    def __init__(self, seed: int, user_id: int) -> None:
        key = np.random.SeedSequence(seed, spawn_key=(2, user_id)).generate_state(2, np.uint64)
        self._bits = np.random.Philox(key=key)
        self._state = self._bits.state
        self.rng = np.random.Generator(self._bits)

    def at(self, purpose: Purpose, first: int = 0, second: int = 0) -> np.random.Generator:
        """Return the generator, at the start of the numbers of one decision.

        Args:
            purpose: what is decided.
            first, second: which decision of this kind, for example session and item.
        """
        # The lowest word counts the blocks of numbers within one decision.
        self._state["state"]["counter"][:] = (0, int(purpose), first & _WORD, second & _WORD)
        self._state["buffer_pos"], self._state["has_uint32"] = 4, 0
        self._bits.state = self._state
        return self.rng
