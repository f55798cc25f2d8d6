from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.cloud.byte_range import UnsatisfiableRangeError, byte_range

WHOLE = [
    None,
    "",
    "bytes=",
    "bytes=-",
    "bytes=5-2",
    "bytes=1-2,4-5",
    "items=0-1",
    "bytes=a-b",
    "bytes=-1-2",
    "bytes=٣-",
]


@pytest.mark.parametrize("header", WHOLE)
def test_other_headers_mean_the_whole_file(header: str | None) -> None:
    assert byte_range(header, 10) is None


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-", (0, 10)),
        ("bytes=3-", (3, 10)),
        ("bytes=3-3", (3, 4)),
        ("bytes=3-99", (3, 10)),
        ("bytes=-4", (6, 10)),
        ("bytes=-99", (0, 10)),
        (" bytes=9-9 ", (9, 10)),
    ],
)
def test_a_range_is_a_part_of_the_file(header: str, part: tuple[int, int]) -> None:
    assert byte_range(header, 10) == part


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=999999999999999999-"])
def test_a_range_behind_the_end_is_an_error(header: str) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        byte_range(header, 10)


@given(st.text("bytes=-, 0123456789", max_size=20) | st.text("-0123456789").map("bytes={}".format), st.integers(0, 50))
def test_every_header_gives_a_part_within_the_file(header: str, size: int) -> None:
    try:
        part = byte_range(header, size)
    except UnsatisfiableRangeError:
        return
    assert part is None or 0 <= part[0] < part[1] <= size
