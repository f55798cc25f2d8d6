from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgerec.data.catalogue import ItemIndex

NEAR = st.integers(-50, 50)
FAR = st.integers(-(2**63) + 1, 2**63 - 1)


@given(known=st.sets(NEAR, max_size=20) | st.sets(FAR, max_size=5), asked=st.lists(NEAR | FAR, max_size=30))
def test_the_index_returns_the_row_of_each_item_id(known: set[int], asked: list[int]) -> None:
    ids = np.array(sorted(known), np.int64)
    index = ItemIndex.of(ids)
    asked = [*asked, *known]
    expected = [sorted(known).index(one) if one in known else -1 for one in asked]
    assert index.rows(np.array(asked, np.int64)).tolist() == expected


def test_the_index_has_a_table_only_if_ids_are_dense() -> None:
    assert len(ItemIndex.of(np.array([5, 9])).table) == 5
    assert len(ItemIndex.of(np.array([5, 9 * 10**12])).table) == 0
    assert ItemIndex.of(np.array([-(2**63) + 1, 2**63 - 1])).rows(np.array([2**63 - 1, 0])).tolist() == [1, -1]
