from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from edgerec.cli.output import emit, scalars, table_of
from edgerec.core.errors import OutputError


def test_json_is_one_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"name": "é[bold]", "rows": [1.5, None]}, as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out) == {"schema": 1, "name": "é[bold]", "rows": [1.5, None]}
    assert err == ""


def test_values_that_json_does_not_allow_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="JSON"):
        emit({"value": float("nan")}, as_json=True)
    assert capsys.readouterr().out == ""


def test_a_table_shows_scalars_and_takes_text_literally(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/a/[red]end"
    emit({"requests": 1234, "path": path, "inner": {"no": 1}, "list": [1]}, as_json=False)
    out = capsys.readouterr().out
    assert "1,234" in out
    assert path in out
    assert "inner" not in out
    assert "list" not in out


def test_columns_of_numbers_are_aligned_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    emit({}, as_json=False, table=table_of(("name", "n", "time"), [("a", "1", "22"), ("long", "333", "4")]))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [len(line) for line in lines] == [len(lines[0])] * 3
    assert lines[1].startswith("a ")
    assert scalars({"a": 1}).row_count == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("as_json", [True, False])
def test_a_result_that_cannot_be_written_gives_one_error(monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            return os.write(full, text.encode())

    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr("sys.stdout", Full())
    with pytest.raises(OutputError, match=r"standard output \(No space left on device\); files .* are complete"):
        emit({"requests": 1}, as_json=as_json)
    os.close(full)


def test_a_table_has_no_words_of_python(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"deleted": False, "published": True, "retired_at": None, "share": 0.5}, as_json=False)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["deleted", "no"],
        ["published", "yes"],
        ["retired_at"],
        ["share", "0.5000"],
    ]
