from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgerec.core import atomic
from edgerec.core.atomic import FILE, check_output, output_folder, write_bytes, write_json
from edgerec.core.errors import OutputError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    with output_folder(tmp_path / "deep" / "out") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "deep" / "out").exists()
    assert names(tmp_path / "deep") == ["out"]
    assert (tmp_path / "deep" / "out" / "a").read_text() == "1"
    assert (tmp_path / "deep" / "out").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("fault", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), MemoryError()])
@pytest.mark.parametrize("force", [False, True])
def test_an_exception_leaves_the_old_state_unchanged(tmp_path: Path, fault: BaseException, force: bool) -> None:
    target = tmp_path / "out"
    if force:
        target.mkdir()
        (target / "logs.json").write_text(LOGS)

    def work() -> None:
        with output_folder(target, force=force) as folder:
            (folder / "half").write_text("1")
            raise fault

    with pytest.raises(type(fault)):
        work()
    assert names(tmp_path) == (["out"] if force else [])
    assert not force or names(target) == ["logs.json"]


def test_an_existing_output_is_refused_before_the_block_runs(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(OutputError, match=r"out exists already.*--force"), output_folder(target):
        pytest.fail("the block should not run")
    assert names(tmp_path) == ["out"]


LOGS = '{"format": 1, "kind": "logs", "name": "a"}'


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "logs.json").write_text(LOGS)


@pytest.mark.parametrize("kind", ["logs", None])
def test_force_replaces_a_folder_of_the_same_kind(tmp_path: Path, kind: str | None) -> None:
    _folder(tmp_path / "out")
    with output_folder(tmp_path / "out", force=True, kind=kind) as folder:
        (folder / "new").write_text("new")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["new"]


def test_force_restores_the_old_folder_if_the_new_one_cannot_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _folder(tmp_path / "out")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if ".edgerec-partial-" in self.name:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output"), output_folder(tmp_path / "out", force=True) as folder:
        (folder / "new").write_text("new")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["logs.json"]


def test_a_killed_process_leaves_no_incomplete_output(tmp_path: Path) -> None:
    script = (
        "import signal, sys; from pathlib import Path; from edgerec.core.atomic import output_folder\n"
        "with output_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('1'); print('in the middle', flush=True); signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "out")], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"in the middle\n"
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert not any(name == "half" for name in names(tmp_path))
    with output_folder(tmp_path / "out") as folder:
        (folder / "whole").write_text("1")
    assert names(tmp_path / "out") == ["whole"]


def test_paths_that_cannot_be_written_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make folder"):
        check_output(tmp_path / "file" / "out")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="symbolic link to a path that does not exist"):
        check_output(tmp_path / "link")
    # `os.access` is replaced, because tests may run as root, and root may write into every folder.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="cannot write into"):
        check_output(tmp_path / "out")


def test_a_file_is_replaced_completely_or_stays_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"first")
    assert path.stat().st_mode & 0o777 == 0o644

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"second")
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["file"]


def test_equal_documents_have_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": ["é", None, 0.1]})
    write_json(tmp_path / "b", {"a": ["é", None, 0.1], "b": 1})
    content = (tmp_path / "a").read_bytes()
    assert content == (tmp_path / "b").read_bytes()
    assert content == '{\n  "a": [\n    "é",\n    null,\n    0.1\n  ],\n  "b": 1\n}\n'.encode()
    assert json.loads(content) == {"a": ["é", None, 0.1], "b": 1}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "c", {"a": float("nan")})
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda path: path.write_text("mine"), None, "is a file"),
        (lambda path: path.write_text("mine"), "logs", "is a file"),
        (lambda path: path.mkdir(), "logs", "did not write"),
        # Other projects have files named manifest.json, too.
        (
            lambda path: (path.mkdir(), (path / "manifest.json").write_text('{"name": "app"}')),
            "bundle",
            "did not write",
        ),
        (_folder, "samples", "is logs"),
        (_folder, FILE, "is logs"),
    ],
)
def test_force_does_not_replace_other_outputs(
    tmp_path: Path, make: Callable[[Path], None], kind: str | None, message: str
) -> None:
    make(tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=message), output_folder(tmp_path / "out", force=True, kind=kind):
        pytest.fail("the block should not run")
    assert sorted(tmp_path.rglob("*")) == before
