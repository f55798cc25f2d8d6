from __future__ import annotations

import numpy as np
import pytest

from edgerec.bench.peers.comparison import (
    LOGITS_TOLERANCE,
    check_logits,
    check_names,
    check_outputs,
    run_rerank,
    run_sequence,
    run_steps,
)
from edgerec.core.errors import ParityError, PluginError

ONES = np.ones((3, 4), np.float32)


def test_outputs_are_copied_before_the_next_call() -> None:
    """An engine may write each output to the same memory."""
    memory, calls = np.zeros((1, 2), np.float32), iter(range(1, 4))

    def call() -> tuple[object, object, object]:
        memory[:] = next(calls)
        return memory, memory, memory

    np.testing.assert_array_equal(run_steps(call, 3)["keys"], [[1, 1], [2, 2], [3, 3]])


def test_axes_of_length_one_make_no_difference() -> None:
    assert run_sequence(lambda: (ONES[:, None], ONES), 3)["keys"].shape == (3, 4)
    assert run_rerank(lambda: np.ones((5, 1))).shape == (5,)


@pytest.mark.parametrize(
    ("keys", "difference"),
    [
        (ONES * 1.01, "0.01"),
        (ONES * np.nan, "nan"),
        (ONES[:2], "inf"),
    ],
)
def test_a_wrong_output_is_named_with_its_difference(keys: np.ndarray, difference: str) -> None:
    with pytest.raises(ParityError, match=f"keys of hubsm_ie by other differ from those by mnn by {difference}, more"):
        check_outputs("hubsm_ie", "other", {"keys": keys}, {"keys": ("mnn", ONES)}, 1e-3)


def test_large_numbers_may_differ_more() -> None:
    expected = {"keys": ("mnn", ONES * 1e6)}
    check_outputs("hubsm_ie", "other", {"keys": ONES * (1e6 + 100)}, expected, 1e-3)


def test_logits_of_padding_are_not_compared() -> None:
    logits = np.array([1.0, 2.0, 9.0], np.float32)
    check_logits("other", logits, logits[:2], LOGITS_TOLERANCE)
    with pytest.raises(ParityError, match="other should return 3 scores; received 2"):
        check_logits("other", logits[:2], logits, LOGITS_TOLERANCE)
    with pytest.raises(
        ParityError, match=r"scores of other differ from those of the trained model by 0\.01, more than"
    ):
        check_logits("other", logits + np.float32(0.01), logits, LOGITS_TOLERANCE)


def test_a_name_in_use_is_refused() -> None:
    with pytest.raises(PluginError, match="another implementation has the name 'mnn'"):
        check_names({"mnn": None}, {"mnn": None})
