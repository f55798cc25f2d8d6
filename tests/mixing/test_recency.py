from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgerec.mixing import recency as module
from edgerec.mixing.recency import FEWER, NOTHING, Memory, recency, start_state

NONE_SEEN = np.zeros(0, np.int64)


def test_too_many_states_are_known_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*arguments: Any, **more: Any) -> None:
        raise AssertionError("a state was made")

    monkeypatch.setattr(module, "_after", made)
    memories = (NOTHING, Memory(19, 9), Memory(19, 9))
    assert recency.__wrapped__((1, 2, 2), memories, (0, 0, 0, 0), with_last=False) is None


@pytest.mark.parametrize("window", [4, 7, 9])
@pytest.mark.parametrize("cards", [1, 2])
@pytest.mark.parametrize("gap", [1, 2, 3])
def test_the_estimate_is_near_the_number_of_states(window: int, cards: int, gap: int) -> None:
    for other in (NOTHING, Memory(5, 1)):
        gaps, memories = (1, 2, gap), (NOTHING, other, Memory(window, cards))
        states = recency(gaps, memories, start_state(gaps, memories, NONE_SEEN, with_last=False), with_last=False)
        assert states is not None
        assert len(states) <= module._estimate(gaps, memories) <= FEWER * len(states)


def test_kinds_that_leave_no_free_place_have_few_states() -> None:
    """Two kinds that must alternate have hardly a choice, whatever they remember."""
    gaps, memories = (2, 2), (Memory(19, 5), Memory(19, 5))
    states = recency(gaps, memories, start_state(gaps, memories, NONE_SEEN, with_last=False), with_last=False)
    assert states is not None
    assert len(states) < 50
