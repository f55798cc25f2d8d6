"""Touches are cleaned, and give the labels of requests."""

from __future__ import annotations

import polars as pl
import pytest

from edgerec.core.errors import InputError
from edgerec.data.touches import drop_repeats, label_requests

TOUCHES = pl.DataFrame(
    {
        "time": [9, 1, 1, 5, 1],
        "user_id": [1, 1, 1, 1, 2],
        "item_id": [4, 4, 4, 4, 4],
        "seen_s": [None, None, None, None, 2.5],
    }
)


def test_a_touch_that_was_delivered_twice_is_kept_once() -> None:
    kept = drop_repeats(TOUCHES)
    assert kept.rows() == [(9, 1, 4, None), (1, 1, 4, None), (5, 1, 4, None), (1, 2, 4, 2.5)]
    other = TOUCHES.with_columns(seen_s=pl.Series([1.0, 1.0, 2.0, 1.0, 1.0]))
    assert drop_repeats(other).equals(other)


def test_a_touch_that_is_reported_again_and_again_is_kept_once() -> None:
    # The rows of user 1 are at 1, 1, 5 and 9. Each is compared with the row before it, kept or not.
    assert drop_repeats(TOUCHES, within_ms=4).rows() == [(1, 1, 4, None), (1, 2, 4, 2.5)]
    assert len(drop_repeats(TOUCHES, within_ms=3)) == 4
    assert drop_repeats(TOUCHES.select("time")).rows() == [(9,), (1,), (5,)]


def test_touches_become_labels() -> None:
    lists = [[10, 11, 12], [12], [10, 13]]
    requests = pl.DataFrame({"request_id": [3, 1, 2], "item_id": lists, "trigger": ["page"] * 3})
    touches = pl.DataFrame(
        {
            "request_id": [3, 3, 3, 1, None, 99, 98, 2],
            "item_id": [11, 11, 10, 12, 12, 10, 10, 77],
            "clicked": [False, True, False, False, True, True, False, True],
        }
    )
    labelled = label_requests(requests, touches)
    assert labelled.requests.drop("clicked").equals(requests)
    assert labelled.requests["clicked"].to_list() == [[0, 1, None], [0], [None, None]]
    assert labelled.requests.schema["clicked"] == pl.List(pl.Int8)
    # Lists 99 and 98 are unknown. Item 77 is not in list 2.
    assert (labelled.unknown_lists, labelled.unlisted) == (2, 1)


def test_faulty_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="drop_repeats should have a column 'time'"):
        drop_repeats(TOUCHES.drop("time"))
    with pytest.raises(InputError, match="within_ms should be at least 0; received -1"):
        drop_repeats(TOUCHES, within_ms=-1)
    with pytest.raises(InputError, match="`touches` should have a column 'clicked'; its columns are: time, user_id"):
        label_requests(pl.DataFrame({"request_id": [1], "item_id": [[1]]}), TOUCHES.with_columns(request_id=1))
    with pytest.raises(InputError, match="should have each request_id once"):
        label_requests(pl.DataFrame({"request_id": [1, 1], "item_id": [[1], [2]]}), TOUCHES.with_columns(request_id=1))
