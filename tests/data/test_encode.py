from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.data.columns import encode_series, to_array
from edgerec.data.item_table import ItemTable
from edgerec.data.known import Instants, known_before
from edgerec.features.encoder import GroupEncoder
from edgerec.features.kinds.one_hot import OneHot
from edgerec.features.spec import FeatureSpec
from edgerec.features.vocabulary import Vocabulary

USERS, TIMES = st.integers(-3, 3), st.integers(0, 9) | st.sampled_from([2**62, 4 * 10**12])


@given(
    asked=st.lists(st.tuples(USERS, TIMES), max_size=20),
    events=st.lists(st.tuples(USERS, TIMES), max_size=30),
    most=st.integers(1, 5),
)
def test_known_before_gives_the_latest_strictly_earlier_behaviours(
    asked: list[tuple[int, int]], events: list[tuple[int, int]], most: int
) -> None:
    events.sort()
    columns = [np.array([row[place] for row in rows], np.int64) for rows in (asked, events) for place in (0, 1)]
    ranges = known_before(Instants(*columns[:2]), Instants(*columns[2:]), most).ranges
    assert ranges.shape == (len(asked), 3)
    for (user, time), (start, begin, end) in zip(asked, ranges.tolist(), strict=True):
        known = [place for place, event in enumerate(events) if event[0] == user and event[1] < time]
        assert list(range(begin, end)) == known[-most:]
        # The recurrence may start at every `most`-th behaviour of the user. It starts at the last of these that is not
        # after the start of the window.
        starts = known[::most]
        assert start == (max(place for place in starts if place <= begin) if known else begin)


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical])
def test_a_column_of_strings_gets_the_codes_of_the_encoder(dtype: pl.DataType) -> None:
    feature = OneHot(name="f", source="x", kind="one_hot", values=("a", "b"))
    for words in (["b", None, "a", "c", "", "b"], [None, None], [], ["ä"] * 3):
        series = pl.Series(words, dtype=pl.String).cast(dtype)
        found = encode_series(feature, series)
        assert found.dtype == np.uint8
        assert found.tolist() == feature.encode(to_array(series, feature)).tolist()


def test_gathered_features_are_in_the_order_of_the_specification() -> None:
    plain = {"kind": "raw", "mean": 0.0, "scale": 1.0}
    item = [
        {"name": "n1", "source": "n1", "origin": "served", **plain},
        {"name": "b1", "source": "b1", "origin": "catalogue", "kind": "binarize"},
        {"name": "shop", "source": "shop", "origin": "catalogue", "kind": "embedding", "dimension": 1, "vocabulary": 9},
        {"name": "n2", "source": "n2", "origin": "catalogue", **plain},
        {"name": "b2", "source": "b2", "origin": "served", "kind": "binarize"},
        {"name": "o", "source": "o", "origin": "catalogue", "kind": "one_hot", "values": ["x", "y"]},
        {"name": "n3", "source": "n3", "origin": "served", **plain},
    ]
    action = [{"name": "a", "source": "a", "kind": "binarize"}]
    spec = FeatureSpec.model_validate(
        {"format": 1, "name": "s", "ie_action": action, "ipv_action": action, "item": item}
    )
    catalogue = pl.DataFrame({"item_id": [3, 5], "b1": [0, 1], "shop": [70, 80], "n2": [0.5, 1.5], "o": ["y", None]})
    vocabularies = {"shop": Vocabulary(np.array([80]))}
    table = ItemTable.encode(catalogue, spec, vocabularies)
    served = {"n1": [9.0, 8.0, 7.0], "b2": [1, 0, 1], "n3": [-1.0, -2.0, -3.0]}
    rows = np.array([1, 0, 1], np.int32)
    gathered = table.gather(rows, {name: np.array(column) for name, column in served.items()})
    joined = catalogue[rows.tolist()].with_columns(**{name: pl.Series(column) for name, column in served.items()})
    expected = GroupEncoder(spec.item, vocabularies).encode(
        {feature.source: to_array(joined[feature.source], feature) for feature in spec.item}
    )
    for field in ("ids", "codes", "numbers"):
        np.testing.assert_array_equal(getattr(gathered, field), getattr(expected, field))
        assert getattr(gathered, field).dtype == getattr(expected, field).dtype
