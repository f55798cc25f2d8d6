from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from edgerec.core.console import emit, log, progress, scalars, show, stage, table_of
from edgerec.core.errors import OutputError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567, "1,234,567"),
        (True, "True"),
        (None, "None"),
        (0.0, "0.0000"),
        (0.12345, "0.1235"),
        (1e-5, "1e-05"),
        (123456.0, "1.23e+05"),
        (-0.5, "-0.5000"),
        ("[red]", "[red]"),
    ],
)
def test_values_as_people_read_them(value: object, text: str) -> None:
    assert show(value) == text


def test_json_is_one_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"name": "é[bold]", "rows": [1.5, None]}, as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out) == {"schema": 1, "name": "é[bold]", "rows": [1.5, None]}
    assert err == ""


def test_no_json_that_others_cannot_read(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_columns_of_numbers_stand_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    emit({}, as_json=False, table=table_of(("name", "n", "time"), [("a", "1", "22"), ("long", "333", "4")]))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [len(line) for line in lines] == [len(lines[0])] * 3
    assert lines[1].startswith("a ")
    assert scalars({"a": 1}).row_count == 1


def test_logs_and_stages_go_to_stderr_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log("[bold] " + "x" * 300)
    with stage("work"):
        pass
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "[bold] " + "x" * 300
    assert lines[1].startswith("work: 0.")
    assert len(lines) == 2


def test_a_stage_that_fails_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), stage("work"):
        raise RuntimeError
    assert capsys.readouterr().err == ""


def test_long_progress_without_a_terminal_writes_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgerec.core.console.LINE_EVERY_S", 0.0)
    assert list(progress(iter("ab"), what="epoch 1", total=2000, note=lambda: "loss 0.5")) == ["a", "b"]
    assert list(progress(iter("a"), what="deal")) == ["a"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["epoch 1: 1 of 2,000, loss 0.5", "epoch 1: 2 of 2,000, loss 0.5", "deal: 1"]


def test_short_progress_without_a_terminal_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(iter([3, 1, 2]), what="work", total=3)) == [3, 1, 2]
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("as_json", [True, False])
def test_a_result_that_cannot_be_written_is_one_error(monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            return os.write(full, text.encode())

    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr("sys.stdout", Full())
    with pytest.raises(OutputError, match=r"standard output \(No space left on device\); files .* are complete"):
        emit({"requests": 1}, as_json=as_json)
    os.close(full)
