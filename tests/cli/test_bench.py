"""The options of `edgerec bench`. `tests/bench` tests the measurement."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from edgerec.bench.document import read_bench_document
from edgerec.bench.outputs import Outputs
from tests.command_line import document, edgerec_here, error_line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cpu", "x"], "--cpu should be a list of processors"),
        (["--cpu", "99999"], "--cpu should name processors that this process may use"),
        (["--sustained", "0"], "--sustained should be 0.1 to 86,400 seconds"),
        (["--rounds", "0"], "--rounds should be at least 1"),
        (["--out", "same", "--html", "same"], "should name different files"),
    ],
)
def test_wrong_options_are_errors_of_one_line(options: list[str], message: str, bundle_path: Path) -> None:
    assert message in error_line(edgerec_here("bench", "rerank", bundle_path, *options))


def test_existing_files_are_kept(bundle_path: Path, tmp_path: Path) -> None:
    for option in ("--out", "--html", "--markdown", "--pyperf"):
        kept = tmp_path / "kept"
        kept.write_text("kept")
        for force in ([], ["--force"]):
            done = edgerec_here("bench", "size", bundle_path, option, kept, *force)
            assert "exists already" in error_line(done) or "already exists" in error_line(done)
        assert kept.read_text() == "kept"


def test_one_command_writes_all_files_and_could_replace_them(bundle_path: Path, tmp_path: Path) -> None:
    out, html, markdown, pyperf = (tmp_path / name for name in ("bench.json", "bench.html", "bench.md", "pyperf.json"))
    files = ["--out", out, "--html", html, "--markdown", markdown, "--pyperf", pyperf]
    found = document(edgerec_here("bench", "size", bundle_path, *files, "--json"))
    assert read_bench_document(out).to_json() == found
    assert found["version_id"] in html.read_text()
    assert found["version_id"] in markdown.read_text()
    Outputs(out, html, markdown, pyperf, force=True).check([bundle_path])
    assert json.loads(pyperf.read_text())["metadata"]["edgerec_version_id"] == found["version_id"]


@pytest.mark.parametrize("command", [["bench", "size"], ["bench", "report"]])
def test_a_page_without_plotly_names_the_small_extra(
    command: list[str], bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "plotly" else find(name))
    done = edgerec_here(*command, bundle_path, "--html", tmp_path / "page.html")
    assert "plotly is not installed: run pip install '.[report]'" in error_line(done)
