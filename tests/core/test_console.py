from __future__ import annotations

import time

import pytest

from edgerec.core.console import log, progress, progress_lines, stage


def test_a_log_is_one_line_and_a_stage_says_when_it_begins_and_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log("[bold] " + "x" * 300)
    with stage("work"):
        pass
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "[bold] " + "x" * 300
    assert lines[1] == "work ..."
    assert lines[2].startswith("work: 0.")
    assert len(lines) == 3


def test_a_failed_stage_has_no_end(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), stage("work"):
        raise RuntimeError
    assert capsys.readouterr().err == "work ...\n"


def test_long_progress_without_a_terminal_writes_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgerec.core.console.LINE_EVERY_S", 0.0)
    assert list(progress(iter("ab"), what="epoch 1", total=2000, note=lambda: "loss 0.5")) == ["a", "b"]
    assert list(progress(iter("a"), what="export")) == ["a"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["epoch 1: 1 of 2,000, loss 0.5", "epoch 1: 2 of 2,000, loss 0.5", "export: 1"]


def test_lines_are_written_more_often_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgerec.core.console.LINE_EVERY_S", 0.06)
    for terminal, expected in ((False, []), (True, ["rounds of step: 2 of 2"])):
        monkeypatch.setattr("edgerec.core.console._is_terminal", lambda terminal=terminal: terminal)
        assert list(progress_lines(map(_slowly, (0, 0.03)), what="rounds of step", total=2)) == [0, 0.03]
        assert capsys.readouterr().err.splitlines() == expected


def _slowly(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_short_progress_without_a_terminal_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(iter([3, 1, 2]), what="work", total=3)) == [3, 1, 2]
    assert capsys.readouterr() == ("", "")
