"""Tests of output paths: what `--force` may remove, overlaps with inputs, and long names."""

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
REST = {
    **{name: {} for name in ("spec", "limits", "config", "files", "paths", "buckets", "goals", "policies")},
    **{name: [] for name in ("rows", "rounds", "models")},
    **dict.fromkeys(("proof", "finding", "design"), ""),
}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make(folder: Path, head: str = "logs.json", **change: object) -> Path:
    """Make an output folder that contains only its head, the JSON file that states its format and its kind."""
    folder.mkdir(parents=True)
    (folder / head).write_text(json.dumps({**FIELDS, **REST, "kind": LAYOUTS[head].kind, **change}))
    return folder


def add(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("mine")


@pytest.mark.parametrize("head", LAYOUTS)
@pytest.mark.parametrize("name", ["notes.txt", ".git/config", "device/x.so", "events/day=1/part-0.parquet"])
def test_force_does_not_remove_foreign_files(tmp_path: Path, head: str, name: str) -> None:
    target = make(tmp_path / "out", head)
    check_output(target, force=True, kind=LAYOUTS[head].kind)
    add(target, name)
    with (
        pytest.raises(OutputError, match=rf"out contains {name}, which EdgeRec did not write"),
        output_folder(target, force=True),
    ):
        pytest.fail("the block should not run")
    assert (target / name).read_text() == "mine"


@pytest.mark.parametrize(
    "change", [{"format": None, "kind": "samples"}, {"kind": "logs "}, {"kind": None}, {"kind": ["logs"]}]
)
def test_a_head_with_a_wrong_format_or_kind_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    make(tmp_path / "out", **change)
    (tmp_path / "samples.json").write_text('{"kind": "samples"}')
    for folder in (tmp_path, tmp_path / "out"):
        with pytest.raises(OutputError, match=r"EdgeRec did not write.*remove it yourself"):
            check_output(folder, force=True)


def test_a_link_in_a_folder_is_a_foreign_file(tmp_path: Path) -> None:
    target = make(tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (target / "events").symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match="out contains events, which"):
        check_output(target, force=True)


def test_force_accepts_every_file_that_edgerec_writes(samples_path: Path, run_path: Path, bundle_path: Path) -> None:
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
def test_force_replaces_a_file_only_if_it_is_a_document(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "out.json"
    path.write_bytes(content)
    with pytest.raises(OutputError, match="not a document of EdgeRec"):
        check_document(path, force=True)
    write_json(path, {"schema": 1, "results": []})
    check_document(path, force=True)
    with pytest.raises(OutputError, match="exists already"):
        check_document(path, force=False)


def test_an_output_that_overlaps_with_an_input_is_refused(tmp_path: Path) -> None:
    source = make(tmp_path / "logs")
    (tmp_path / "link").symlink_to(source)
    beside = tmp_path / "logs-2"
    check_output(beside, inputs=[source, tmp_path / "nowhere"])
    for out, message in (
        (source / "out", "is inside"),
        (source / "deep" / "out", "is inside"),
        (tmp_path / "link" / "out", "is inside"),
        (source, "are the same"),
        (tmp_path / "link", "are the same"),
        (tmp_path / "other" / ".." / "logs", "are the same"),
        (tmp_path, "contains the input"),
    ):
        for force in (False, True):
            with pytest.raises(OutputError, match=message):
                check_output(out, force=force, inputs=[source])
    assert names(source) == ["logs.json"]
    check_outside(tmp_path, [source])


@pytest.mark.parametrize("length", [200, 250, 255])
@pytest.mark.parametrize("letter", ["x", "é"])
def test_an_output_with_a_long_name_is_written(tmp_path: Path, length: int, letter: str) -> None:
    out = tmp_path / (letter * (length // len(letter.encode())))
    with output_folder(out) as folder:
        write_bytes(folder / "logs.json", b"{}")
    write_bytes(out / ("y" * 255), b"1")
    with resumable_folder(tmp_path / ("z" * 255), kind="logs", job={}, force=False, resume=False) as work:
        write_bytes(work.path / "logs.json", b"{}")
    assert names(tmp_path) == sorted([out.name, "z" * 255])


@pytest.mark.parametrize("name", ["x" * 256, "é" * 200, "x/" * 3000, "\x00"])
@pytest.mark.parametrize("kind", ["logs", FILE])
def test_an_impossible_name_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    with pytest.raises(OutputError, match=r"choose another|cannot make"):
        check_output(tmp_path / name, kind=kind)
    assert names(tmp_path) == []


def test_a_folder_needs_a_utf8_path_but_a_document_does_not(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"out\xff")
    with pytest.raises(InputError, match=r"out\\udcff should be UTF-8"):
        check_output(path, kind="samples")
    check_document(path, force=False)
    write_json(path, {"path": str(path)})
    assert json.loads(path.read_bytes()) == {"path": str(path)}


def test_circular_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for out in (tmp_path / "a", tmp_path / "a" / "out"):
        with pytest.raises(EdgeRecError):
            check_output(out)
