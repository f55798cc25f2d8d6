from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store import BehaviourStore, Encoding, States
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW, Limits
from edgerec.features.recurrences import recurrence_start, window_start
from tests.device_runtime.store.example_rows import (
    VERSION,
    behaviour,
    encode_all,
    encoding,
    floats,
    open_store,
    same,
    states,
)


def record(store: BehaviourStore, *ordinals: int) -> None:
    for ordinal in ordinals:
        store.record(behaviour(ordinal), ordinal=ordinal)


def pending(store: BehaviourStore, version_id: str = VERSION) -> list[int]:
    return [ordinal for ordinal, _ in store.pending(EXPOSURE, version_id)]


def test_a_store_without_behaviours_has_an_empty_window(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        window = store.window(EXPOSURE, VERSION, 4)
        assert len(window) == 0
        assert window.own_keys.shape == window.ids.shape == window.facts.numbers.shape == (0, 0)
        assert store.states(EXPOSURE, VERSION) is None
        assert store.encoded_through(EXPOSURE, VERSION) == -1
        assert store.pending(EXPOSURE, VERSION) == []


def test_what_was_encoded_comes_back_after_closing(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        record(store, *range(11))
        assert encode_all(store) == [4, 5, 6, 7, 8, 9, 10]
        assert pending(store) == []
    with open_store(tmp_path / "store.db") as store:
        window = store.window(EXPOSURE, VERSION, 4)
        assert window.ordinals.tolist() == [7, 8, 9, 10]
        assert window.times.tolist() == [behaviour(ordinal).time for ordinal in range(7, 11)]
        for index, ordinal in enumerate(range(7, 11)):
            wanted, kept = encoding(ordinal), behaviour(ordinal).item
            arrays = (window.own_keys, window.own_values, window.previous_keys, window.previous_values)
            assert same(Encoding(arrays[0][index], arrays[1][index], arrays[2][index], arrays[3][index]), wanted)
            assert kept is not None
            assert same(window.ids[index], kept.ids)
            assert same(window.facts[index : index + 1], kept.facts)
        assert same(store.states(EXPOSURE, VERSION), states(10))
        assert store.encoded_through(EXPOSURE, VERSION) == 10
        assert store.encoded_through(PAGE_VIEW, VERSION) == -1


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 7, 8, 9, 17])
def test_pending_begins_at_the_recurrence_start_of_the_window(tmp_path: Path, count: int) -> None:
    with open_store(tmp_path / "store.db") as store:
        record(store, *range(count))
        assert pending(store) == list(range(recurrence_start(window_start(count, 4), 4), count))


def test_pending_follows_the_mark(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        record(store, *range(6))
        encode_all(store)
        record(store, 6, 7)
        assert pending(store) == [6, 7]
        record(store, *range(8, 20))
        assert pending(store) == [16, 17, 18, 19]


def test_a_gap_has_no_row_in_the_window(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        record(store, 0, 1, 2, 3, 4, 5, 8)
        assert encode_all(store) == [4, 5, 8]
        assert store.window(EXPOSURE, VERSION, 4).ordinals.tolist() == [5, 8]
        record(store, 30)
        assert store.window(EXPOSURE, VERSION, 4).ordinals.tolist() == []
        assert pending(store) == [30]


def test_the_number_of_encodings_is_that_of_the_window(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        for ordinal in range(30):
            record(store, ordinal)
            encode_all(store)
            assert len(store._database.rows("SELECT * FROM exposure_encodings")) == min(ordinal + 1, 4)


def test_another_version_starts_again_and_replaces_the_encodings(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        record(store, *range(7))
        encode_all(store)
        assert pending(store, "next") == [0, 1, 2, 3, 4, 5, 6]
        assert store.states(EXPOSURE, "next") is None
        store.write_encoding(EXPOSURE, 0, "next", encoding(0, width=8), states(0))
        assert store.encoded_through(EXPOSURE, "next") == 0
        assert store.encoded_through(EXPOSURE, VERSION) == -1
        assert len(store.window(EXPOSURE, VERSION, 4)) == len(store.window(EXPOSURE, "next", 4)) == 0
        encode_all(store, version_id="next")
        assert store.window(EXPOSURE, "next", 4).ordinals.tolist() == [3, 4, 5, 6]


def test_forgotten_encodings_are_pending_again(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        record(store, *range(5))
        encode_all(store)
        store.forget_encodings(EXPOSURE)
        assert pending(store) == [0, 1, 2, 3, 4]
        assert store.states(EXPOSURE, VERSION) is None
        assert len(store.window(EXPOSURE, VERSION, 4)) == 0


def test_other_limits_start_again(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        record(store, *range(6))
        encode_all(store)
        with pytest.raises(
            StoreError, match=r"`limit` of exposures should be 4, the limit of this store\. Received: 3"
        ):
            store.window(EXPOSURE, VERSION, 3)
    with open_store(tmp_path / "store.db", limits=Limits(exposures=3, page_views=2)) as store:
        assert pending(store) == [3, 4, 5]
        assert len(store.window(EXPOSURE, VERSION, 3)) == 0
        encode_all(store)
        assert store.window(EXPOSURE, VERSION, 3).ordinals.tolist() == [3, 4, 5]


def test_a_model_without_recurrence_has_states_without_rows(tmp_path: Path) -> None:
    none = np.zeros((0, 0), np.float32)
    with open_store(tmp_path / "store.db") as store:
        record(store, 0)
        store.write_encoding(EXPOSURE, 0, VERSION, encoding(0), States(none, none))
        assert same(store.states(EXPOSURE, VERSION), States(none, none))


def test_an_invalid_encoding_changes_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        record(store, 0, 1)
        encode_all(store)
        with pytest.raises(StoreError, match="`ordinal` should be above 1"):
            store.write_encoding(EXPOSURE, 1, VERSION, encoding(1), states(1))
        with pytest.raises(StoreError, match="`encoding` should be an array of float32"):
            store.write_encoding(
                EXPOSURE, 2, VERSION, Encoding(np.zeros(3), floats(0, 2), floats(0, 3), floats(0, 2)), states(2)
            )
        with pytest.raises(StoreError, match="states of the same shape"):
            store.write_encoding(EXPOSURE, 2, VERSION, encoding(2), States(floats(0, 3), floats(0, 3)))
        assert store.encoded_through(EXPOSURE, VERSION) == 1
