"""A function that returns logs becomes a command."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from edgerec.data.converter import run_converter
from edgerec.data.id_columns import hash_ids
from edgerec.data.logs import Logs, load_logs
from tests.synthetic import make_logs


def convert(source: Path) -> Logs:
    """Convert nothing."""
    return make_logs(users=2)


def wrong_type(source: Path) -> Logs:
    pl.DataFrame({"item": [1]}).select(hash_ids("item"))
    raise AssertionError


def test_the_logs_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "logs"
    run_converter(convert, [str(tmp_path), str(out)])
    logs = make_logs(users=2)
    said = f"wrote {len(logs.requests)} requests, {len(logs.events)} events and {len(logs.items)} items to {out}\n"
    assert capsys.readouterr().out.endswith(said)
    assert load_logs(out).counts() == make_logs(users=2).counts()
    run_converter(convert, [str(tmp_path), str(out), "--force"])


def test_an_error_is_one_line(tmp_path: Path) -> None:
    run_converter(convert, [str(tmp_path), str(tmp_path / "logs")])
    with pytest.raises(SystemExit, match=r"exists already.*--force$"):
        run_converter(convert, [str(tmp_path), str(tmp_path / "logs")])


def test_an_error_in_an_expression_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r": hash_ids: item should be strings; received Int64$"):
        run_converter(wrong_type, [str(tmp_path), str(tmp_path / "logs")])
    assert not (tmp_path / "logs").exists()


def test_a_missing_source_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"nowhere does not exist: give the folder with the files to convert$"):
        run_converter(convert, [str(tmp_path / "nowhere"), str(tmp_path / "logs")])
    assert not (tmp_path / "logs").exists()


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    def read(source: Path) -> Logs:
        pl.read_csv(source / "items.csv")
        raise AssertionError

    with pytest.raises(SystemExit, match=r"No such file .*items\.csv$"):
        run_converter(read, [str(tmp_path), str(tmp_path / "logs")])


def test_an_interrupt_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(source: Path) -> Logs:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        run_converter(stop, [str(tmp_path), str(tmp_path / "logs")])
    assert ended.value.code == 130
    assert capsys.readouterr().err.endswith(": interrupted\n")


def test_an_error_without_a_text_is_one_line(tmp_path: Path) -> None:
    def read(source: Path) -> Logs:
        raise FileNotFoundError

    with pytest.raises(SystemExit, match=r": FileNotFoundError$"):
        run_converter(read, [str(tmp_path), str(tmp_path / "logs")])
