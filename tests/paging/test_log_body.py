from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.core.errors import InputError, TransportError
from edgerec.paging.log_body import decode_batch, encode_batch, inflate
from edgerec.paging.log_rows import LogBatch

BATCH = LogBatch(1, 2**63 - 1, 3, [{"time": 5, "reason": "seen", "price": 1.5, "none": None}], [{"item_id": [1, 2]}])


def test_a_batch_round_trips() -> None:
    assert decode_batch(encode_batch(BATCH)) == BATCH
    assert inflate(gzip.compress(encode_batch(BATCH))) == encode_batch(BATCH)


def test_a_value_that_json_does_not_have_is_refused() -> None:
    for value in (float("nan"), object()):
        with pytest.raises(InputError, match="log batch: a row has a value that JSON does not have"):
            encode_batch(LogBatch(1, 2, 3, [{"time": value}], []))


def test_inflation_has_a_bound() -> None:
    bomb = gzip.compress(bytes(10**7))
    assert len(bomb) < 20_000
    with pytest.raises(TransportError, match="should have at most 1000 bytes after inflation"):
        inflate(bomb, most=1000)
    whole = gzip.compress(b"abc")
    for wrong in (b"abc", whole[:-3], whole + b"x"):
        with pytest.raises(TransportError, match="gzip"):
            inflate(wrong)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("user_id", "1", "`user_id` should be an integer"),
        ("store_id", 2**63, "`store_id` should be an integer of 64 bits"),
        ("number", -1, "`number` should be at least 0"),
        ("number", True, "`number` should be an integer"),
        ("events", {}, "`events` should be a list"),
        ("events", [1], "a row of `events` should be a JSON object"),
        ("requests", [{"item_id": [[1]]}], "'item_id' should be a value or a list of at most 10000"),
        ("requests", [{"item_id": 2**63}], "'item_id' should be a value or a list of at most 10000"),
    ],
)
def test_a_wrong_batch_is_refused(field: str, value: Any, text: str) -> None:
    document = {**json.loads(encode_batch(BATCH)), field: value}
    with pytest.raises(TransportError) as error:
        decode_batch(json.dumps(document).encode())
    assert text in str(error.value)


@given(st.data())
def test_changed_bytes_give_a_batch_or_one_error(data: st.DataObject) -> None:
    content = bytearray(encode_batch(BATCH))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    text = ""
    try:
        decode_batch(bytes(content))
    except TransportError as error:
        text = str(error)
    assert len(text.splitlines()) <= 1


@pytest.mark.parametrize("depth", [20, 500, 900, 990, 5000])
@pytest.mark.parametrize("place", ["user_id", "events", "row", "value"])
def test_deep_json_is_one_declared_error(place: str, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    parts = {"user_id": "1", "events": "[]"} | ({place: deep} if place in ("user_id", "events") else {})
    if place == "row":
        parts["events"] = f"[{deep}]"
    if place == "value":
        parts["events"] = f'[{{"item_id": {deep}}}]'
    body = f'{{"user_id": {parts["user_id"]}, "store_id": 1, "number": 0, "events": {parts["events"]}, "requests": []}}'
    with pytest.raises(TransportError):
        decode_batch(body.encode())
