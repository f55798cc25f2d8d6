"""Interrupted work can be resumed. Its output appears only when it is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerec.core.atomic import write_json
from edgerec.core.errors import FormatError, OutputError
from edgerec.core.resumable import held, resumable_folder

JOB = {"seed": 1}


def make(out: Path, *, parts: int, stop_after: int | None = None, **options: bool) -> list[int]:
    """Write an output of `parts` parts. Skip the parts that are finished, and return the numbers of the others."""
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


def test_finished_work_is_published_without_leftovers(tmp_path):
    assert make(tmp_path / "out", parts=3) == [0, 1, 2]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["events", "logs.json"]
    assert len(list((tmp_path / "out" / "events").iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_interrupted_work_resumes_after_its_last_part(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", parts=3, stop_after=2)
    assert not (tmp_path / "out").exists()
    with pytest.raises(OutputError, match="--resume"):
        make(tmp_path / "out", parts=3)
    assert make(tmp_path / "out", parts=3, resume=True) == [2]
    assert (tmp_path / "out" / "events" / "part-0.parquet").read_text() == "0"


def test_interrupted_work_can_be_started_again_with_force(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", parts=3, stop_after=1)
    assert make(tmp_path / "out", parts=3, force=True) == [0, 1, 2]


def test_interrupted_work_without_a_finished_part_is_removed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", parts=3, stop_after=0)
    assert not list(tmp_path.iterdir())


def test_work_of_another_job_is_not_resumed(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", parts=3, stop_after=1)
    monkeypatch.setitem(JOB, "seed", 2)
    with pytest.raises(FormatError, match=r"other settings.*\(seed is 1, now 2\)"):
        make(tmp_path / "out", parts=3, resume=True)


def test_discarded_work_leaves_no_files(tmp_path):
    def discard_and_fail() -> None:
        with resumable_folder(tmp_path / "out", kind="logs", job=JOB, force=False, resume=False) as work:
            (work.scratch / "notes").touch()
            work.finish("0", {})
            work.discard()
            raise ValueError

    with pytest.raises(ValueError):
        discard_and_fail()
    assert not list(tmp_path.iterdir())


def test_resume_without_unfinished_work_is_refused(tmp_path):
    with pytest.raises(FormatError, match="leave out --resume"):
        make(tmp_path / "out", parts=1, resume=True)
    assert not list(tmp_path.iterdir())


def test_only_one_process_can_lock_a_folder(tmp_path):
    with held(tmp_path), pytest.raises(OutputError, match="another process"), held(tmp_path):
        pass


def kill_after_publishing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write an output and keep its work folder, as if the process was killed before it could remove the folder."""
    with monkeypatch.context() as patch:
        patch.setattr("edgerec.core.resumable.discard", lambda *_: None)
        assert make(out, parts=2) == [0, 1]
    assert (out.parent / f".{out.name}.logs" / "parts" / "0.json").exists()


def test_published_work_is_not_resumed(tmp_path, monkeypatch):
    kill_after_publishing(tmp_path / "out", monkeypatch)
    with pytest.raises(FormatError, match="leave out --resume"):
        make(tmp_path / "out", parts=2, force=True, resume=True)
    assert (tmp_path / "out" / "events" / "part-1.parquet").exists()
    assert make(tmp_path / "out", parts=2, force=True) == [0, 1]
    kill_after_publishing(tmp_path / "other", monkeypatch)
    (tmp_path / "other").rename(tmp_path / "moved")
    assert make(tmp_path / "other", parts=2) == [0, 1]


def test_records_of_finished_parts_are_removed_before_the_output(tmp_path, monkeypatch):
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
    assert removed[0] == "parts"
    assert make(tmp_path / "out", parts=3, resume=True) == [0, 1, 2]


def test_an_incomplete_file_of_a_killed_process_is_not_published(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", parts=3, stop_after=1)
    (tmp_path / ".out.logs" / "output" / ".logs.json.abcd").touch()
    make(tmp_path / "out", parts=3, resume=True)
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_part_with_a_missing_or_truncated_file_is_written_again(tmp_path, damage):
    out, written_parts = tmp_path / "out", []

    def work(stop: bool) -> None:
        with resumable_folder(out, kind="logs", job=JOB, force=False, resume=not stop) as folder:
            for part in ("a", "b"):
                if folder.finished(part) is None:
                    file = folder.path / part
                    file.write_text("whole")
                    folder.finish(part, {}, [file])
                    written_parts.append(part)
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
    assert written_parts == ["a", "b", "a"]
    assert (out / "a").read_text() == "whole"


def test_an_incomplete_folder_of_a_killed_process_is_not_published(tmp_path: Path) -> None:
    with resumable_folder(tmp_path / "out", kind="samples", job={}, force=False, resume=False) as work:
        (work.path / "runs" / ".one.partial-x" / "vocabulary").mkdir(parents=True)
        (work.path / "runs" / ".one.partial-x" / ".run.json.y").write_text("{")
        (work.path / "runs" / "kept").write_text("")
    assert [path.name for path in (tmp_path / "out" / "runs").iterdir()] == ["kept"]
