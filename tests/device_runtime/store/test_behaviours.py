from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store.behaviours import RESERVED
from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE, PAGE_VIEW
from tests.device_runtime.store.example_rows import START, VERSION, behaviour, item, open_store, same

INTEGERS = st.integers(-(2**63), 2**63 - 1)
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
RAW = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name not in RESERVED), SCALARS | st.lists(SCALARS), max_size=4
)


@settings(max_examples=25)
@given(action=RAW, served=RAW, item_id=INTEGERS, page_id=st.none() | INTEGERS, opened_from=st.none() | st.just("feed"))
def test_a_behaviour_comes_back_as_it_was_recorded(tmp_path: Path, **values: Any) -> None:
    recorded = behaviour(3, **values)
    with open_store(tmp_path / "store.db") as store:
        ordinal = store.record(recorded)
        before = store.latest(EXPOSURE, 1)
    with open_store(tmp_path / "store.db") as store:
        after = store.latest(EXPOSURE, 1)
    assert same(before, [(ordinal, recorded)])
    assert same(after, before)


def test_ordinals_count_each_kind_and_survive_closing(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        assert [store.record(behaviour(number)) for number in range(3)] == [0, 1, 2]
        assert store.record(behaviour(3, PAGE_VIEW)) == 0
        store_id = store.store_id
    with open_store(tmp_path / "store.db") as store:
        assert [store.next_ordinal(kind) for kind in BEHAVIOUR_KINDS] == [3, 1]
        assert store.store_id == store_id
        assert 0 <= store_id < 2**63


def test_a_given_ordinal_may_leave_a_gap_but_not_go_back(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        assert store.record(behaviour(0), ordinal=5) == 5
        with pytest.raises(StoreError, match="`ordinal` should be at least 6"):
            store.record(behaviour(1), ordinal=5)
        assert store.record(behaviour(1)) == 6
        assert [ordinal for ordinal, _ in store.latest(EXPOSURE, 9)] == [5, 6]


def test_times_never_decrease_and_a_request_comes_after_what_it_knows(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        store.record(behaviour(0, time=START))
        store.record(behaviour(1, time=START - 5000))
        assert store.request_time(START) == START + 1
        assert store.request_time(START) == START + 1
        store.record(behaviour(2, PAGE_VIEW, time=START))
        assert [each.time for _, each in store.latest(EXPOSURE, 2)] == [START, START]
        assert store.latest(PAGE_VIEW, 1)[0][1].time == store.last_time == START + 1
        assert store.request_time(START) == START + 2


def test_the_latest_time_survives_closing(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        store.record(behaviour(0, time=START))
    with open_store(tmp_path / "store.db") as store:
        assert store.last_time == START


def test_item_counts_stay_right_after_older_rows_are_deleted(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        for number in range(12):
            store.record(behaviour(number))
        assert store.item_counts(EXPOSURE) == {0: 3, 1: 3, 2: 2, 3: 2, 4: 2}
        store._database.write("DELETE FROM exposures WHERE ordinal < 7")
    with open_store(tmp_path / "store.db") as store:
        assert store.item_counts(EXPOSURE) == {0: 3, 1: 3, 2: 2, 3: 2, 4: 2}
        store.record(behaviour(12))
        assert store.item_counts(EXPOSURE)[2] == 3
        assert store.item_counts(PAGE_VIEW) == {}


def test_an_item_can_be_set_later(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        store.record(behaviour(0, item=None))
        assert store.pending(EXPOSURE, VERSION)[0][1].item is None
        store.set_item(EXPOSURE, 0, item(0))
        assert same(store.pending(EXPOSURE, VERSION), [(0, behaviour(0))])
        with pytest.raises(StoreError, match="no exposure with the ordinal 1"):
            store.set_item(EXPOSURE, 1, item(0))


def test_numpy_integers_are_whole_numbers(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        store.record(behaviour(0, item_id=np.int64(3), page_id=np.int64(1)))
        assert store.latest(EXPOSURE, 1)[0][1].item_id == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action": {"duration_s": float("nan")}}, "`action` should have strings, finite numbers"),
        ({"served": {"score": np.float32(1)}}, "`served` should have strings, finite numbers"),
        ({"served": {"time": 1}}, "`served` should not have the column 'time'"),
        ({"item_id": 1.5}, "`item_id` should be a whole number"),
        ({"item_id": 2**63}, "too large"),
        ({"opened_from": "\ud800"}, "surrogates not allowed"),
        ({"item": replace(item(0), vector=np.zeros(3))}, "`vector` should be an array of float32. Received: float64"),
        ({"item": replace(item(0), facts=item(0).facts[:0])}, "should have one row. Received: 0"),
    ],
)
def test_an_invalid_behaviour_is_not_recorded(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with open_store(tmp_path / "store.db") as store:
        with pytest.raises(StoreError, match=message):
            store.record(behaviour(0, **changes))
        assert store.next_ordinal(EXPOSURE) == 0
        assert store.item_counts(EXPOSURE) == {}
        assert store.record(behaviour(0)) == 0
