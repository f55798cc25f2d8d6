"""String IDs get numbers that never change, from a file that only grows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.core.errors import EdgeRecError, FormatError, InputError, OutputError
from edgerec.features.id_map import UNKNOWN, IdMap, load_id_map, write_id_map


def test_new_strings_get_the_next_numbers_and_old_ones_keep_theirs() -> None:
    ids = IdMap()
    assert ids.add(["pasta", "soup", "pasta"]).tolist() == [0, 1, 0]
    assert ids.add(["apple", "soup"]).tolist() == [2, 1]
    assert ids.strings == ("pasta", "soup", "apple")
    assert len(ids) == 3
    assert ids.find(["apple", "curry"]).tolist() == [2, UNKNOWN]
    assert ids.find([]).dtype == np.int64


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20), st.randoms())
def test_the_order_within_one_call_does_not_matter(strings: list[str], random: object) -> None:
    one, other = IdMap(), IdMap()
    one.add(strings)
    random.shuffle(strings)  # type: ignore[attr-defined]
    other.add(strings)
    assert one.strings == other.strings


def test_a_written_map_is_read_without_change_and_can_be_extended(tmp_path: Path) -> None:
    path = tmp_path / "ids" / "item.jsonl"
    odd = ["", "a\nb", "\u2028", "é", '"', "007", "7"]
    write_id_map(IdMap(odd), path)
    first = path.read_bytes()
    write_id_map(load_id_map(path), str(path))
    assert path.read_bytes() == first
    ids = load_id_map(path)
    assert ids.strings == tuple(odd)
    ids.add(["new", *odd])
    write_id_map(ids, path)
    assert load_id_map(path).strings == (*odd, "new")
    # Any language can read it: line n (the first has the number 0) is the JSON of string n - 1.
    lines = path.read_text("utf-8").split("\n")
    assert json.loads(lines[0]) == {"format": 1, "kind": "ids", "strings": 8}
    assert [json.loads(line) for line in lines[1:-1]] == [*odd, "new"]


def test_a_map_never_loses_or_renumbers_a_string(tmp_path: Path) -> None:
    path = tmp_path / "item.jsonl"
    write_id_map(IdMap(["a", "b"]), path)
    before = path.read_bytes()
    for strings in (["a"], ["b", "a"], ["a", "c", "b"], []):
        with pytest.raises(OutputError, match="has other numbers than the map"):
            write_id_map(IdMap(strings), path)
    assert path.read_bytes() == before


def test_values_that_are_no_strings_are_refused() -> None:
    ids = IdMap(["a"])
    for value, text in ((7, r"should be strings; received 7 \(int\)"), (None, "None"), ("\ud800", "valid Unicode")):
        with pytest.raises(InputError, match=text):
            ids.add(["b", value])  # type: ignore[list-item]
    assert ids.strings == ("a",)
    with pytest.raises(InputError, match="'a' occurs twice"):
        IdMap(["a", "b", "a"])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "damaged"),
        (b'{"format": 2, "kind": "ids", "strings": 0}\n', "should begin with"),
        (b'{"format": 1, "kind": "logs"}\n', "should begin with"),
        (b"[]\n", "should begin with"),
        (b'{"format": 1, "kind": "ids", "strings": 2}\n"a"\n', "2 strings; received 1"),
        (b'{"format": 1, "kind": "ids", "strings": 1}\n"a"', "damaged"),
        (b'{"format": 1, "kind": "ids", "strings": 1}\n7\n', "should be strings"),
        (b'{"format": 1, "kind": "ids", "strings": 2}\n"a"\n"a"\n', "occurs twice"),
        (b'{"format": 1, "kind": "ids", "strings": 1}\n"a", "b"\n', "one string"),
        (b'{"format": 1, "kind": "ids", "strings": 1}\n"\xff"\n', "damaged"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "item.jsonl"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=text):
        load_id_map(path)


@given(st.binary(max_size=40), st.integers(0, 70))
def test_any_change_of_bytes_gives_a_map_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, piece: bytes, at: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.jsonl"
    content = b'{"format": 1, "kind": "ids", "strings": 3}\n"a"\n"b"\n"c"\n'
    path.write_bytes(content[:at] + piece + content[at + len(piece) :])
    try:
        load_id_map(path)
    except EdgeRecError as error:
        assert "\n" not in str(error)  # noqa: PT017 - every message should be one line


def test_a_missing_file_is_an_error_or_a_new_map(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        load_id_map(tmp_path / "item.jsonl")
    assert len(load_id_map(tmp_path / "item.jsonl", new=True)) == 0


def test_a_device_reads_a_map_without_polars() -> None:
    code = "import sys; from edgerec import load_id_map; load_id_map; print('polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
