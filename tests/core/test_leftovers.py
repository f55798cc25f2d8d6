"""If a writer is killed at any step, its output is never incomplete, and the next writer removes all leftovers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgerec.core.atomic import output_folder, write_bytes
from edgerec.core.leftovers import clear_leftovers, discard, temporary_folder

KILLED_AT_EACH_STEP = '''
import json, os, shutil, sys
from pathlib import Path
from edgerec.core.atomic import check_output, output_folder, write_bytes, write_json
from edgerec.core.errors import EdgeRecError
from edgerec.core.resumable import resumable_folder

HEAD = {"format": 1, "kind": "logs", "name": "a"}
STEPS = {"open", *("os." + name for name in ("mkdir", "rename", "remove", "rmdir", "listdir", "scandir", "chmod"))}

def folder(out, force, resume=False):
    with output_folder(out, force=force, kind="logs") as path:
        write_bytes(path / "items.parquet", b"new")
        write_json(path / "logs.json", HEAD)

def resumable(out, force, resume=False):
    with resumable_folder(out, kind="logs", job={"seed": 1}, force=force, resume=resume) as work:
        for part in ("items.parquet", "features.json"):
            if work.finished(part) is None:
                write_bytes(work.path / part, b"new")
                work.finish(part, {}, [work.path / part])
        write_json(work.path / "logs.json", HEAD)

def file(out, force, resume=False):
    check_output(out, force=force, kind="file")
    write_bytes(out, b"new")

def content(out):
    if not out.exists():
        return None
    return out.read_text() if out.is_file() else {path.name: path.read_text() for path in sorted(out.iterdir())}

def killed(work, step):
    "Return whether a child that runs `work` is killed before its file-system operation number `step`."
    child = os.fork()
    if child == 0:
        seen = [0]
        def hook(event, arguments):
            if event in STEPS:
                if seen[0] == step:
                    os.kill(os.getpid(), 9)
                seen[0] += 1
        sys.addaudithook(hook)
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])

def prove(write, root, before):
    """Kill `write` at its steps, with or without an older output. Return a row with the state after each kill.

    A file is killed at each step. A folder is killed at every n-th step, where n is the second argument of the script.
    """
    seen, step = [], 0
    while True:
        home = root / str(step)
        home.mkdir(parents=True)
        out = home / "out"
        if before:
            write(out, False)
            for path in [out] if out.is_file() else [path for path in out.iterdir() if path.name != "logs.json"]:
                path.write_text("old")
        old = content(out)
        if not killed(lambda: write(out, before), step):
            break
        row = {"after": content(out), "old": old}
        # Run again as a user would: first without options, then with the options that the error names.
        ways = [(False, False), (before, True), (True, False)]
        for force, resume in ways if step % 2 else (ways[0], ways[2]):
            try:
                write(out, force, resume)
                break
            except EdgeRecError:
                pass
        row["then"] = content(out)
        row["beside"] = sorted(path.name for path in home.iterdir())
        seen.append(row)
        step += 1 if write is file else int(sys.argv[2])
    return seen

root = Path(sys.argv[1])
print(json.dumps({f"{write.__name__} {before}": prove(write, root / write.__name__ / str(before), before)
    for write in (folder, resumable, file) for before in (False, True)}))
'''


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and signals")
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_at_any_step_leaves_no_incomplete_output(tmp_path: Path, every: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EACH_STEP, str(tmp_path), str(every)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    head = json.dumps({"format": 1, "kind": "logs", "name": "a"}, indent=2) + "\n"
    folder = {"items.parquet": "new", "logs.json": head}
    new = {"folder": folder, "resumable": {**folder, "features.json": "new"}}
    for name, rows in json.loads(done.stdout).items():
        complete = new.get(name.split()[0], "new")
        assert len(rows) > 5, name
        for row in rows:
            assert row["after"] in (None, row["old"], complete), name
            assert row["then"] == complete, (name, row)
            assert row["beside"] == ["out"], (name, row)


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks on folders")
def test_only_leftovers_without_a_lock_are_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    kept = [".out.edgerec-partial-abcdefg", ".out.edgerec-partial-abcdefghi", ".outer.edgerec-partial-abcdefgh"]
    kept += [".out.edgerec-other-abcdefgh", ".out.old-20261128"]  # The last folder is a copy that a user made.
    for name in [*kept, ".out.edgerec-partial-abcdefgh", ".out.edgerec-parts-01234567"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / ".out.edgerec-partial-zzzzzzzz").write_text("half a file")
    (tmp_path / ".out.edgerec-done-link0000").symlink_to(tmp_path / kept[0])
    os.mkfifo(tmp_path / ".out.edgerec-old-pipe0000")
    with temporary_folder(out, "partial") as active:
        clear_leftovers(out)
        write_bytes(out, b"file")
        remaining = {path.name for path in tmp_path.iterdir()}
    assert remaining == {*kept, ".out.edgerec-done-link0000", "out", active.name}
    assert (tmp_path / kept[0] / "file").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks on folders")
def test_an_older_output_that_a_killed_writer_moved_away_is_moved_back(tmp_path: Path) -> None:
    aside = tmp_path / ".out.edgerec-old-abcdefgh" / "out"
    aside.mkdir(parents=True)
    (aside / "whole").touch()
    # A leftover named `partial` may contain an entry with the name of the output, too. It is no older output.
    (tmp_path / ".out.edgerec-partial-abcdefgh" / "out").mkdir(parents=True)
    clear_leftovers(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


def test_an_entry_with_the_name_of_the_output_is_not_published_after_a_failure(
    tmp_path: Path,
) -> None:
    def fail() -> None:
        with output_folder(tmp_path / "out") as folder:
            (folder / "out").mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks on folders")
def test_partitioned_rows_of_a_killed_process_are_removed_by_the_next_reader(tmp_path: Path) -> None:
    script = (
        "import os; from pathlib import Path; from edgerec.data.partition import scratch_folder\n"
        "with scratch_folder(Path('logs')) as folder:\n"
        "    (folder / 'rows').touch(); os.kill(os.getpid(), 9)\n"
    )
    (tmp_path / "logs").mkdir()
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False)
        assert len(list(tmp_path.glob(".logs.edgerec-parts-*"))) == 1
    clear_leftovers(tmp_path / "logs")
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_discarded_work_is_renamed_before_it_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / ".out.training"
    work.mkdir()
    (work / "file").touch()
    monkeypatch.setattr("edgerec.core.leftovers.shutil.rmtree", lambda *_, **__: None)
    discard(work, tmp_path / "out")
    monkeypatch.undo()
    [remaining] = tmp_path.iterdir()
    assert remaining.name.startswith(".out.edgerec-done-")
    clear_leftovers(tmp_path / "out")
    assert not list(tmp_path.iterdir())
