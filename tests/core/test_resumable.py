"""Work that is broken off goes on where it was, and shows nothing under the final name before it is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerec.core.atomic import write_json
from edgerec.core.errors import FormatError, OutputError
from edgerec.core.resumable import held, resumable_folder

JOB = {"seed": 1}


def make(out: Path, *, parts: int, stop_after: int | None = None, **options: bool) -> list[int]:
    """Write `parts` parts, those that are not finished; returns which were written."""
    written = []
    with resumable_folder(
        out, kind="logs", job=JOB, force=options.get("force", False), resume=options.get("resume", False)
    ) as work:
        (work.path / "events").mkdir(exist_ok=True)
        for number in range(parts):
            if work.finished(str(number)) is not None:
                continue
            if number == stop_after:
                raise KeyboardInterrupt
            (work.path / "events" / f"part-{number}.parquet").write_text(str(number))
            work.finish(str(number), {"rows": number})
            written.append(number)
        write_json(work.path / "logs.json", {"format": 1, "kind": "logs", "name": "a"})
    return written


def test_whole_work_stands_under_its_name_and_leaves_nothing_else(tmp_path):
    assert make(tmp_path / "out", parts=3) == [0, 1, 2]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["events", "logs.json"]
    assert len(list((tmp_path / "out" / "events").iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_broken_work_goes_on_after_its_last_part(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", parts=3, stop_after=2)
    assert not (tmp_path / "out").exists()
    with pytest.raises(OutputError, match="--resume"):
        make(tmp_path / "out", parts=3)
    assert make(tmp_path / "out", parts=3, resume=True) == [2]
    assert (tmp_path / "out" / "events" / "part-0.parquet").read_text() == "0"


def test_broken_work_can_be_begun_anew(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", parts=3, stop_after=1)
    assert make(tmp_path / "out", parts=3, force=True) == [0, 1, 2]


def test_work_without_a_part_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", parts=3, stop_after=0)
    assert not list(tmp_path.iterdir())


def test_work_is_not_resumed_for_another_job(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", parts=3, stop_after=1)
    monkeypatch.setitem(JOB, "seed", 2)
    with pytest.raises(FormatError, match="other settings"):
        make(tmp_path / "out", parts=3, resume=True)


def test_what_cannot_be_used_any_more_is_not_kept(tmp_path):
    def begin_in_vain() -> None:
        with resumable_folder(tmp_path / "out", kind="logs", job=JOB, force=False, resume=False) as work:
            (work.scratch / "notes").touch()
            work.finish("0", {})
            work.discard()
            raise ValueError

    with pytest.raises(ValueError):
        begin_in_vain()
    assert not list(tmp_path.iterdir())


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(FormatError, match="leave --resume out"):
        make(tmp_path / "out", parts=1, resume=True)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_held_by_one(tmp_path):
    with held(tmp_path), pytest.raises(OutputError, match="another process"), held(tmp_path):
        pass


def broken_after_publishing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave what a kill leaves between the output's appearance and the end of tidying up."""
    with monkeypatch.context() as patch:
        patch.setattr("edgerec.core.resumable.discard", lambda *_: None)
        assert make(out, parts=2) == [0, 1]
    assert (out.parent / f".{out.name}.logs" / "parts" / "0.json").exists()


def test_notes_of_published_work_are_not_taken_for_unfinished_work(tmp_path, monkeypatch):
    broken_after_publishing(tmp_path / "out", monkeypatch)
    with pytest.raises(FormatError, match="leave --resume out"):
        make(tmp_path / "out", parts=2, force=True, resume=True)
    assert (tmp_path / "out" / "events" / "part-1.parquet").exists()
    assert make(tmp_path / "out", parts=2, force=True) == [0, 1]
    broken_after_publishing(tmp_path / "other", monkeypatch)
    (tmp_path / "other").rename(tmp_path / "moved")
    assert make(tmp_path / "other", parts=2) == [0, 1]


def test_a_kill_while_old_work_is_thrown_away_leaves_no_note_of_what_is_gone(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", parts=3, stop_after=2)
    removed = []

    def stop_at_output(path: Path, **_: object) -> None:
        if path.name == "output":
            raise KeyboardInterrupt
        removed.append(path.name)
        for entry in path.iterdir():
            entry.unlink()
        path.rmdir()

    with monkeypatch.context() as patch:
        patch.setattr("edgerec.core.resumable.shutil.rmtree", stop_at_output)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "out", parts=3, force=True)
    assert removed == ["parts"]
    assert make(tmp_path / "out", parts=3, resume=True) == [0, 1, 2]


def test_a_file_that_a_kill_left_half_written_is_not_published(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", parts=3, stop_after=1)
    (tmp_path / ".out.logs" / "output" / ".logs.json.abcd").touch()
    make(tmp_path / "out", parts=3, resume=True)
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_part_whose_file_is_gone_or_cut_is_made_again(tmp_path, damage):
    out, made = tmp_path / "out", []

    def work(stop: bool) -> None:
        with resumable_folder(out, kind="logs", job=JOB, force=False, resume=not stop) as folder:
            for part in ("a", "b"):
                if folder.finished(part) is None:
                    file = folder.path / part
                    file.write_text("whole")
                    folder.finish(part, {}, [file])
                    made.append(part)
            if stop:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(stop=True)
    file = tmp_path / ".out.logs" / "output" / "a"
    if damage == "gone":
        file.unlink()
    else:
        file.write_text("who")
    work(stop=False)
    assert made == ["a", "b", "a"]
    assert (out / "a").read_text() == "whole"


def test_a_folder_that_a_kill_left_half_written_is_not_published(tmp_path: Path) -> None:
    with resumable_folder(tmp_path / "out", kind="samples", job={}, force=False, resume=False) as work:
        (work.path / "runs" / ".one.partial-x" / "vocabulary").mkdir(parents=True)
        (work.path / "runs" / ".one.partial-x" / ".run.json.y").write_text("{")
        (work.path / "runs" / "kept").write_text("")
    assert [path.name for path in (tmp_path / "out" / "runs").iterdir()] == ["kept"]
