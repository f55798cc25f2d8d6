from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgerec.simulation.history import History

keys = st.lists(st.integers(0, 2**50), min_size=0, max_size=60, unique=True)


@given(batches=st.lists(keys, max_size=12))
def test_the_history_behaves_like_a_dictionary(batches: list[list[int]]) -> None:
    history, expected = History(capacity=8), {}
    for number, batch in enumerate(batches):
        array = np.array(batch, np.int64)
        before = history.find(array)
        assert [index >= 0 for index in before] == [key in expected for key in batch]
        assert [int(history.looks[index]) for index in before if index >= 0] == [
            expected[key] for key in batch if key in expected
        ]
        indices = history.put(array)
        assert len(set(indices.tolist())) == len(batch)
        history.looks[indices] += number + 1
        for key in batch:
            expected[key] = expected.get(key, 0) + number + 1
    known = np.array(list(expected), np.int64)
    assert history.looks[history.find(known)].tolist() == list(expected.values())
    assert (history.find(np.array([2**51, 2**52])) == -1).all()


def test_neighbouring_keys_have_separate_records() -> None:
    history = History(capacity=16)
    keys = np.arange(100_000)
    indices = history.put(keys)
    history.exposures[indices] = keys
    assert np.array_equal(history.exposures[history.find(keys)], keys.astype(np.float32))
