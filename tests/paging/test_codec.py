from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.errors import InputError, TransportError
from edgerec.paging.codec import decode_items, decode_page, encode_items, encode_page
from edgerec.paging.items import EmbeddingColumn, ItemBatch
from tests.paging.pages import assert_same_items, make_items, make_page

GOLDEN = Path(__file__).with_name("page.bin")
BODY = encode_page(make_page())


def parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header and the arrays of a body."""
    length = struct.unpack_from("<I", content, 12)[0]
    end = 16 + length
    return json.loads(content[16:end]), content[end + -end % 8 :]


def body(header: Any, arrays: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    start = struct.pack("<8sII", b"EDGERECP", 1, len(text)) + text
    return start + bytes(-len(start) % 8) + arrays


def test_a_page_has_the_bytes_of_the_golden_file() -> None:
    assert GOLDEN.read_bytes() == BODY
    page = decode_page(GOLDEN.read_bytes())
    assert_same_items(page.items, make_items())
    sent = make_page()
    assert (page.page_id, page.offered_at, page.served, page.complete) == (
        sent.page_id, sent.offered_at, sent.served, sent.complete,
    )  # fmt: skip
    assert page.context == sent.context


def test_a_reader_finds_each_array_by_its_offset() -> None:
    header, arrays = parts(BODY)
    rows = header["embeddings"]["shop"]["rows"]
    assert (rows["type"], rows["shape"], rows["offset"] % 8) == ("float32", [2, 3], 0)
    read = np.frombuffer(arrays, "<f4", 6, rows["offset"]).reshape(2, 3)
    np.testing.assert_array_equal(read, make_items().embeddings["shop"].rows)
    assert len(BODY) % 8 == 0


def test_an_item_batch_round_trips() -> None:
    assert_same_items(decode_items(encode_items(make_items())), make_items())
    empty = ItemBatch(None, np.empty(0, np.int64), {"price": []}, {})
    assert_same_items(decode_items(encode_items(empty)), empty)


VALUES = st.one_of(
    st.lists(st.none() | st.integers(-(2**63) + 1, 2**63 - 1), min_size=4, max_size=4),
    st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=4),
    st.lists(st.none() | st.text(max_size=5), min_size=4, max_size=4),
    st.lists(st.none() | st.booleans(), min_size=4, max_size=4),
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=2))
def test_columns_round_trip(columns: dict[str, list[Any]]) -> None:
    content = encode_items(ItemBatch("v", np.arange(4), columns, {}))
    assert {name: list(values) for name, values in decode_items(content).columns.items()} == columns


@given(st.data())
def test_changed_bytes_give_a_page_or_one_error(data: st.DataObject) -> None:
    content = bytearray(BODY)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.none() | st.integers(0, len(content)))
    _decode(bytes(content[:cut]) + data.draw(st.binary(max_size=9)))


@given(st.binary(max_size=200))
def test_random_bytes_raise_one_error(content: bytes) -> None:
    for each in (content, b"EDGERECP" + content, body(content, b"")):
        with pytest.raises(TransportError):
            decode_page(each)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
JSON = st.recursive(LEAVES, lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3))


@given(st.data(), JSON)
def test_a_header_with_any_other_value_gives_a_page_or_one_error(data: st.DataObject, value: Any) -> None:
    header, arrays = parts(BODY)
    place: Any = header
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = value
    _decode(body(header, arrays))


def _decode(content: bytes) -> None:
    """Decode a body. If it is accepted, everything in it must be usable."""
    text = ""
    try:
        page = decode_page(content)
    except TransportError as error:
        text = str(error)
    assert len(text) < 300
    assert len(text.splitlines()) <= 1
    if text:
        return
    for column in page.items.embeddings.values():
        assert np.isfinite(column.rows[column.index]).all()
    assert all(len(values) == len(page.items) for values in page.items.columns.values())


def changed(*path: str, value: Any) -> bytes:
    header, arrays = parts(BODY)
    place = header
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return body(header, arrays)


def array_changed(*path: str, dtype: str, value: float) -> bytes:
    header, arrays = parts(BODY)
    place = header
    for key in path:
        place = place[key]
    content = bytearray(arrays)
    size = np.dtype(dtype).itemsize
    content[place["offset"] : place["offset"] + size] = np.array(value, dtype).tobytes()
    return body(header, bytes(content))


WRONG: dict[str, Callable[[], bytes]] = {
    "it should begin with b'EDGERECP'": lambda: b"<html>",
    "it should have the format 1; received 2": lambda: BODY[:8] + struct.pack("<I", 2) + BODY[12:],
    "its header should have at most": lambda: BODY[:12] + struct.pack("<I", 2**31) + BODY[16:],
    "its JSON cannot be read": lambda: body(b"{", b""),
    "its JSON has more than 16 levels": lambda: body(b"[" * 20 + b"]" * 20, b""),
    "recursion": lambda: body(b"[" * 10**6, b""),
    "twice": lambda: body(b'{"kind": "page", "kind": "page"}', b""),
    "NaN is not a number of JSON": lambda: body(b'{"kind": NaN}', b""),
    "a number is too large": lambda: body(b'{"kind": 1e999}', b""),
    "it should be of the kind 'page'": lambda: encode_items(make_items()),
    "`count` should be from 0 to 10000": lambda: changed("count", value=10**9),
    "`version_id` should be a string": lambda: changed("version_id", value=3),
    "`item_id` should have the type int64": lambda: changed("item_id", "type", value="float64"),
    "`item_id` should have the shape": lambda: changed("item_id", "shape", value=[4]),
    "`item_id` should begin at 0; received 8": lambda: changed("item_id", "offset", value=8),
    "its arrays should have": lambda: BODY + bytes(8),
    "should end before byte": lambda: BODY[:-8],
    "column 'price' should be of the kind": lambda: changed("columns", "price", "kind", value="dates"),
    "column 'gender' should have indexes from -1 to 0": lambda: changed("columns", "gender", "words", value=["any"]),
    "column 'gender' should have a list of strings": lambda: changed("columns", "gender", "words", value=[1, 2]),
    "column 'premium' should have indexes from -1 to 1": lambda: array_changed(
        "columns", "premium", "values", dtype="i1", value=9
    ),
    "column 'price' has an infinite number": lambda: array_changed(
        "columns", "price", "values", dtype="<f8", value=np.inf
    ),
    "embedding 'shop': index should be from 0 to 1; received 0 to 2": lambda: array_changed(
        "embeddings", "shop", "index", dtype="<i4", value=2
    ),
    "embedding 'shop': index should be from 0 to 1; received -1": lambda: array_changed(
        "embeddings", "shop", "index", dtype="<i4", value=-1
    ),
    "embedding 'shop': rows have NaN": lambda: array_changed("embeddings", "shop", "rows", dtype="<f4", value=np.nan),
    "embedding 'brand': rows have NaN": lambda: array_changed("embeddings", "brand", "rows", dtype="<f2", value=np.inf),
    "embedding 'shop': keys should be different": lambda: array_changed(
        "embeddings", "shop", "keys", dtype="<i8", value=-(2**63)
    ),
    "`served` should be a list of columns": lambda: changed("page", "served", value=["none"]),
    "`page_id` should be an integer of 64 bits": lambda: changed("page", "page_id", value=2**63),
    "`complete` should be true or false": lambda: changed("page", "complete", value=1),
    "the value 'a' of `context`": lambda: changed("page", "context", value={"a": [1]}),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_body_is_refused(text: str) -> None:
    with pytest.raises(TransportError) as error:
        decode_page(WRONG[text]())
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1.0, float("nan"), 2.0], "NaN or infinity"),
        ([1.0, None, float("inf")], "NaN or infinity"),
        ([2**70, 1, 2], "too large"),
        (["a", 1, 2], "received int, str"),
        ([[1], [2], [3]], "received list"),
        ([1, 2], "should have 3 values; received 2"),
        (["x" * 1001, "a", "b"], "more than 1000 characters"),
    ],
)
def test_values_that_cannot_be_sent_are_refused(values: list[Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        encode_items(replace(make_items(), columns={"price": values}))


def test_a_row_that_items_share_is_sent_once() -> None:
    count, width = 1000, 64
    column = EmbeddingColumn(np.array([3]), np.ones((1, width), np.float32), np.zeros(count, np.int32))
    content = encode_items(ItemBatch("v", np.arange(count), {}, {"shop": column}))
    assert len(content) < count * 12 + width * 4 + 1000
