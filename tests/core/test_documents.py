from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from edgerec.core import documents
from edgerec.core.documents import read_document, read_toml
from edgerec.core.errors import ConfigurationError, FormatError


class Head(BaseModel):
    model_config = ConfigDict(extra="ignore")

    format: Literal[3] = 3
    name: str
    sizes: dict[str, int] = Field(default_factory=dict)
    share: float = 0.5


def read(path: Path) -> Head:
    return read_document(path, Head, what="thing", format_number=3)


def test_a_written_document_is_read_without_change(tmp_path: Path) -> None:
    head = Head(name="a", sizes={"b": 2})
    (tmp_path / "head.json").write_text(head.model_dump_json())
    assert read(tmp_path / "head.json") == head


@pytest.mark.parametrize("number", [2, 4, "3", None, True, [3], 3.5])
def test_another_format_number_is_refused(tmp_path: Path, number: object) -> None:
    (tmp_path / "head.json").write_text(json.dumps({"format": number, "name": 7}))
    # The format number is checked first, because other fields may differ between formats.
    with pytest.raises(FormatError, match=r"has format .*reads format 3"):
        read(tmp_path / "head.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b'{"format": 3, "name": "a"', "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON .more than 64 levels"),
        (b"[3]", "is not a JSON object with `format`"),
        (b'{"schema": 1}', "has no `format`, so EdgeRec did not write it"),
        (b'{"format": 3}', "name is missing: make it again"),
        (b'{"format": 3, "name": "a", "sizes": {"b": "c"}}', "sizes.b should be a whole number; received 'c'"),
    ],
)
def test_the_error_for_damaged_content_names_the_fault(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "head.json").write_bytes(content)
    with pytest.raises(FormatError, match=rf"thing: .*{message}") as caught:
        read(tmp_path / "head.json")
    assert len(str(caught.value)) < 500


def test_missing_or_too_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match="is not a folder"):
        read(tmp_path / "nothing" / "head.json")
    with pytest.raises(FormatError, match=r"has no head.json"):
        read(tmp_path / "head.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match="is a file"):
        read(tmp_path / "file" / "head.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FormatError, match="cannot be read"):
        read(tmp_path / "folder")
    monkeypatch.setattr(documents, "MAX_BYTES", 10)
    (tmp_path / "large").write_text(json.dumps({"format": 3, "name": "a"}))
    with pytest.raises(FormatError, match="should have at most 10 bytes"):
        read(tmp_path / "large")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"format": 3, "name": "a", "name": "b"}', "has the name 'name' twice"),
        (b'{"format": 3, "name": "a", "sizes": {"b": 1, "b": 2}}', "has the name 'b' twice"),
        (b'{"format": 3, "name": "a", "more": ' + b"[" * 200 + b"]" * 200 + b"}", "more than 64 levels"),
        (b'{"format": 3, "name": "a", "more": ' + b'{"a":' * 200 + b"1" + b"}" * 201, "more than 64 levels"),
        (b'{"format": 3, "name": "a", "sizes": {"b": ' + b"1" * 5000 + b"}}", "not valid JSON"),
    ],
)
def test_json_that_other_parsers_may_read_differently_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "head.json").write_bytes(content)
    with pytest.raises(FormatError, match=rf"thing: .*{message}") as caught:
        read(tmp_path / "head.json")
    assert len(str(caught.value)) < 500


def test_invalid_toml_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for content in (b"a = " + b"[" * 100_000, b"a = 1\na = 2\n", b"a = " + b"9" * 5000):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match="is not valid TOML") as caught:
            read_toml(path)
        assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "sizes", "a"]), inner),
    max_leaves=8,
)


@settings(max_examples=150)
@given(
    content=st.one_of(
        st.binary(max_size=60),
        st.dictionaries(st.sampled_from(["format", "name", "sizes", "share"]), JSON | st.just(3)),
    )
)
def test_any_content_gives_a_document_or_a_format_error(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "head.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    try:
        head = read(path)
    except FormatError:
        return
    assert head.format == 3
