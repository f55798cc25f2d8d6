"""Paths that are not UTF-8, and outputs inside inputs: each command works, or ends in one clear line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgerec.bundle.manifest_file import read_bundle_manifest, write_manifest
from tests.command_line import edgerec_here

ODD = os.fsdecode(b"odd\xff\x1b[31m")
SAID = "odd\\udcff\\x1b[31m"


def edgerec(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgerec", *map(str, arguments)]
    return clean(subprocess.run(command, capture_output=True, text=True, errors="strict", check=False))


def clean(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert "\x1b" not in done.stdout + done.stderr
    assert "bug in EdgeRec" not in done.stderr
    return done


def refused(*arguments: str | Path) -> str:
    """The one line of an expected error."""
    done = clean(edgerec_here(*arguments))
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("edgerec: ")
    return line


@pytest.fixture
def odd(tmp_path: Path, samples_path: Path, bundle_path: Path) -> Path:
    """A folder whose name is not UTF-8, with logs, samples and a bundle."""
    folder = tmp_path / ODD
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has names of UTF-8 alone")
    shutil.copytree(samples_path.parent / "logs", folder / "logs")
    shutil.copytree(samples_path, folder / "samples")
    shutil.copytree(bundle_path, folder / "bundle")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "samples {odd}/logs --out {tmp}/out",
        "samples {logs} --out {odd}/out",
        "samples {logs} --features {odd}/logs/features.json --out {odd}/out",
        "stats {odd}/logs",
        "stats {logs} --against {odd}/logs",
        "simulate --users 1 --items 60 --out {odd}/out",
        "evaluate {odd}/samples",
        "train {odd}/samples --out {tmp}/out",
        "import kuairand {odd} --out {tmp}/out",
        "import ebnerd {odd} --out {tmp}/out",
        "import taobao-mcc {odd} --out {tmp}/out",
    ],
)
def test_what_polars_cannot_open_is_one_clear_line(odd: Path, samples_path: Path, command: str) -> None:
    places = {"{odd}": odd, "{tmp}": odd.parent, "{logs}": samples_path.parent / "logs"}
    arguments = command
    for name, place in places.items():
        arguments = arguments.replace(name, str(place))
    line = refused(*arguments.split(" "))
    assert SAID in line
    assert "should be UTF-8" in line
    assert not (odd.parent / "out").exists()


def test_what_needs_python_alone_works(odd: Path) -> None:
    assert edgerec("verify", odd / "bundle", "--json").returncode == 0
    shown = edgerec("verify", odd / "bundle")
    assert shown.returncode == 0
    assert SAID in shown.stdout.replace("\n", "").replace(" ", "")
    out = odd / "bench.json"
    assert edgerec("bench", "kv", odd / "bundle", "--rounds", "1", "--out", out).returncode == 0
    assert out.is_file()


def test_a_bundle_whose_version_is_no_text(odd: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(odd / "bundle", tmp_path / "bundle"))
    manifest = read_bundle_manifest(bundle)
    for change in ({"version_id": "\ud800"}, {"version_id": "\x1b[31m"}, {"tools": {"a": "\x1b[31m"}}):
        write_manifest(manifest.model_copy(update=change), bundle)
        for command in ("verify", "inspect"):
            assert "manifest.json" in refused(command, bundle)


def test_an_output_inside_its_input_is_refused(samples_path: Path, bundle_path: Path, run_path: Path) -> None:
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
        ("import", "taobao-mcc", logs, "--out", logs / "out"),
    ):
        assert "is inside" in refused(*command)
        assert "are the same" in refused(*command[:-1], command[-3])
