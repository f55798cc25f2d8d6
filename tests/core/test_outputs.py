"""What `--force` may remove, where an output may lie, and how long its name may be."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edgerec.core.atomic import (
    FILE,
    check_document,
    check_output,
    check_outside,
    output_folder,
    write_bytes,
    write_json,
)
from edgerec.core.errors import EdgeRecError, InputError, OutputError
from edgerec.core.resumable import resumable_folder
from edgerec.core.written import LAYOUTS, layout_of

FIELDS = {"format": 1, "schema": 1, "name": "a", "version_id": "1"}
REST = {"spec": {}, "limits": {}, "config": {}, "files": {}, "paths": {}, "rows": [], "proof": "", "finding": ""}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make(folder: Path, head: str = "logs.json", **change: object) -> Path:
    """A folder of nothing but its head."""
    folder.mkdir(parents=True)
    (folder / head).write_text(json.dumps({**FIELDS, **REST, "kind": LAYOUTS[head].kind, **change}))
    return folder


def add(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("mine")


@pytest.mark.parametrize("head", LAYOUTS)
@pytest.mark.parametrize("name", ["notes.txt", ".git/config", "device/x.so", "events/day=1/part-0.parquet"])
def test_force_removes_no_file_of_others(tmp_path: Path, head: str, name: str) -> None:
    target = make(tmp_path / "out", head)
    check_output(target, force=True, kind=LAYOUTS[head].kind)
    add(target, name)
    with (
        pytest.raises(OutputError, match=rf"out holds {name}, which EdgeRec did not write"),
        output_folder(target, force=True),
    ):
        pytest.fail("no work should begin")
    assert (target / name).read_text() == "mine"


@pytest.mark.parametrize(
    "change", [{"format": None, "kind": "samples"}, {"kind": "logs "}, {"kind": None}, {"kind": ["logs"]}]
)
def test_a_head_says_more_than_its_kind(tmp_path: Path, change: dict[str, object]) -> None:
    make(tmp_path / "out", **change)
    (tmp_path / "samples.json").write_text('{"kind": "samples"}')
    for folder in (tmp_path, tmp_path / "out"):
        with pytest.raises(OutputError, match=r"EdgeRec did not write.*remove it yourself"):
            check_output(folder, force=True)


def test_a_link_is_no_file_of_edgerec(tmp_path: Path) -> None:
    target = make(tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (target / "events").symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match="out holds events, which"):
        check_output(target, force=True)


def test_force_knows_every_file_of_a_run_and_a_bundle(samples_path: Path, run_path: Path, bundle_path: Path) -> None:
    for folder, kind in (
        (samples_path.parent / "logs", "logs"),
        (samples_path, "samples"),
        (run_path, "run"),
        (bundle_path, "bundle"),
    ):
        check_output(folder, force=True, kind=kind)
        layout = layout_of(folder)
        assert layout is not None
        assert layout.kind == kind


@pytest.mark.parametrize("content", [b"", b"precious", b"[1]", b"{}", b'{"schema": 2}', b"\xff"])
def test_force_replaces_no_file_but_a_document(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "out.json"
    path.write_bytes(content)
    with pytest.raises(OutputError, match="no document of EdgeRec's"):
        check_document(path, force=True)
    write_json(path, {"schema": 1, "results": []})
    check_document(path, force=True)
    with pytest.raises(OutputError, match="exists already"):
        check_document(path, force=False)


def test_an_output_lies_apart_from_its_inputs(tmp_path: Path) -> None:
    given = make(tmp_path / "logs")
    (tmp_path / "link").symlink_to(given)
    beside = tmp_path / "logs-2"
    check_output(beside, inputs=[given, tmp_path / "nowhere"])
    for out, said in (
        (given / "out", "lies inside"),
        (given / "deep" / "out", "lies inside"),
        (tmp_path / "link" / "out", "lies inside"),
        (given, "are one place"),
        (tmp_path / "link", "are one place"),
        (tmp_path / "other" / ".." / "logs", "are one place"),
        (tmp_path, "which is read"),
    ):
        for force in (False, True):
            with pytest.raises(OutputError, match=said):
                check_output(out, force=force, inputs=[given])
    assert names(given) == ["logs.json"]
    check_outside(tmp_path, [given])


@pytest.mark.parametrize("length", [200, 250, 255])
@pytest.mark.parametrize("letter", ["x", "é"])
def test_an_output_of_a_long_name_is_written(tmp_path: Path, length: int, letter: str) -> None:
    out = tmp_path / (letter * (length // len(letter.encode())))
    with output_folder(out) as folder:
        write_bytes(folder / "logs.json", b"{}")
    write_bytes(out / ("y" * 255), b"1")
    with resumable_folder(tmp_path / ("z" * 255), kind="logs", job={}, force=False, resume=False) as work:
        write_bytes(work.path / "logs.json", b"{}")
    assert names(tmp_path) == sorted([out.name, "z" * 255])


@pytest.mark.parametrize("name", ["x" * 256, "é" * 200, "x/" * 3000, "\x00"])
@pytest.mark.parametrize("kind", ["logs", FILE])
def test_a_name_that_no_file_has_is_one_clear_line(tmp_path: Path, name: str, kind: str) -> None:
    with pytest.raises(OutputError, match=r"choose another|cannot make"):
        check_output(tmp_path / name, kind=kind)
    assert names(tmp_path) == []


def test_a_folder_is_at_a_path_of_utf8(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"out\xff")
    with pytest.raises(InputError, match=r"out\\udcff should be UTF-8"):
        check_output(odd, kind="samples")
    check_document(odd, force=False)
    write_json(odd, {"path": str(odd)})
    assert json.loads(odd.read_bytes()) == {"path": str(odd)}


def test_links_in_a_circle_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for out in (tmp_path / "a", tmp_path / "a" / "out"):
        with pytest.raises(EdgeRecError):
            check_output(out)
