from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgerec.simulation.history import History

keys = st.lists(st.integers(0, 2**50), min_size=0, max_size=60, unique=True)


@given(batches=st.lists(keys, max_size=12))
def test_it_is_a_dictionary(batches: list[list[int]]) -> None:
    history, oracle = History(capacity=8), {}
    for number, batch in enumerate(batches):
        array = np.array(batch, np.int64)
        before = history.find(array)
        assert [place >= 0 for place in before] == [key in oracle for key in batch]
        assert [int(history.looks[place]) for place in before if place >= 0] == [
            oracle[key] for key in batch if key in oracle
        ]
        places = history.put(array)
        assert len(set(places.tolist())) == len(batch)
        history.looks[places] += number + 1
        for key in batch:
            oracle[key] = oracle.get(key, 0) + number + 1
    known = np.array(list(oracle), np.int64)
    assert history.looks[history.find(known)].tolist() == list(oracle.values())
    assert (history.find(np.array([2**51, 2**52])) == -1).all()


def test_neighbouring_keys_are_kept_apart() -> None:
    history = History(capacity=16)
    keys = np.arange(100_000)
    places = history.put(keys)
    history.exposures[places] = keys
    assert np.array_equal(history.exposures[history.find(keys)], keys.astype(np.float32))
