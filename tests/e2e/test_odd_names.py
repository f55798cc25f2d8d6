"""If a path is not UTF-8 or an output is inside an input, a command works or prints an error of one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgerec.bundle.manifest_file import read_bundle_manifest, write_manifest
from tests.command_line import edgerec_here

NOT_UTF8 = os.fsdecode(b"odd\xff\x1b[31m")
ESCAPED = "odd\\udcff\\x1b[31m"


def edgerec(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgerec", *map(str, arguments)]
    return clean(subprocess.run(command, capture_output=True, text=True, errors="strict", check=False))


def clean(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert "\x1b" not in done.stdout + done.stderr
    assert "bug in EdgeRec" not in done.stderr
    return done


def error_line(*arguments: str | Path) -> str:
    """Return the error line of a command that failed."""
    done = clean(edgerec_here(*arguments))
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("edgerec: ")
    return line


@pytest.fixture
def folder_not_utf8(tmp_path: Path, samples_path: Path, bundle_path: Path) -> Path:
    """Return a folder with logs, samples and a bundle. Its name is not UTF-8."""
    folder = tmp_path / NOT_UTF8
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("needs a file system that allows names that are not UTF-8")
    shutil.copytree(samples_path.parent / "logs", folder / "logs")
    shutil.copytree(samples_path, folder / "samples")
    shutil.copytree(bundle_path, folder / "bundle")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "samples {folder}/logs --out {tmp}/out",
        "samples {logs} --out {folder}/out",
        "samples {logs} --features {folder}/logs/features.json --out {folder}/out",
        "stats {folder}/logs",
        "stats {logs} --against {folder}/logs",
        "simulate --users 1 --items 60 --out {folder}/out",
        "evaluate {folder}/samples",
        "train {folder}/samples --out {tmp}/out",
        "import kuairand {folder} --out {tmp}/out",
        "import ebnerd {folder} --out {tmp}/out",
        "import movielens {folder} --out {tmp}/out",
        "import taobao-mcc {folder} --out {tmp}/out",
    ],
)
def test_paths_that_polars_cannot_open_are_refused_in_one_line(
    folder_not_utf8: Path, samples_path: Path, command: str
) -> None:
    paths = {"{folder}": folder_not_utf8, "{tmp}": folder_not_utf8.parent, "{logs}": samples_path.parent / "logs"}
    arguments = command
    for name, path in paths.items():
        arguments = arguments.replace(name, str(path))
    line = error_line(*arguments.split(" "))
    assert ESCAPED in line
    assert "should be UTF-8" in line
    assert not (folder_not_utf8.parent / "out").exists()


def test_commands_without_polars_accept_any_path(folder_not_utf8: Path) -> None:
    assert clean(edgerec_here("verify", folder_not_utf8 / "bundle", "--json")).returncode == 0
    shown = edgerec("verify", folder_not_utf8 / "bundle")
    assert shown.returncode == 0
    assert ESCAPED in shown.stdout.replace("\n", "").replace(" ", "")
    out = folder_not_utf8 / "bench.json"
    assert clean(edgerec_here("bench", "kv", folder_not_utf8 / "bundle", "--rounds", "1", "--out", out)).returncode == 0
    assert out.is_file()


def test_a_version_id_with_unsafe_characters_is_refused(folder_not_utf8: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(folder_not_utf8 / "bundle", tmp_path / "bundle"))
    manifest = read_bundle_manifest(bundle)
    for change in ({"version_id": "\ud800"}, {"version_id": "\x1b[31m"}, {"tools": {"a": "\x1b[31m"}}):
        write_manifest(manifest.model_copy(update=change), bundle)
        assert "manifest.json" in error_line("verify", bundle)
    assert "manifest.json" in error_line("inspect", bundle)


def test_an_output_inside_its_input_is_an_error(samples_path: Path, bundle_path: Path, run_path: Path) -> None:
    logs = samples_path.parent / "logs"
    for command in (
        ("samples", logs, "--out", logs / "out"),
        ("train", samples_path, "--out", samples_path / "out"),
        ("ablate", samples_path, "--out", samples_path / "out"),
        ("export", run_path, "--out", run_path / "out"),
        ("stats", logs, "--html", logs / "page.html"),
        ("bench", "kv", bundle_path, "--out", bundle_path / "out.json"),
        ("import", "kuairand", logs, "--out", logs / "out"),
        ("import", "ebnerd", logs, "--out", logs / "out"),
        ("import", "movielens", logs, "--out", logs / "out"),
        ("import", "taobao-mcc", logs, "--out", logs / "out"),
    ):
        assert "is inside" in error_line(*command)
        assert "are the same" in error_line(*command[:-1], command[-3])
