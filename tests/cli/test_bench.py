"""The options of `edgerec bench`. `tests/bench` tests the measurement."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from edgerec.bench.document import read_bench_document
from edgerec.bench.outputs import Outputs
from edgerec.bench.plan import Plan
from edgerec.core.errors import InputError
from tests.command_line import document, edgerec_here, error_line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cpu", "x"], "--cpu should be a list of processors"),
        (["--cpu", "99999"], "--cpu should name processors that this process may use"),
        (["--sustained", "0"], "--sustained should be 0.1 to 86,400 seconds"),
        (["--threads", "1000"], "--threads should be at most the number of processors that this process may use"),
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


@pytest.mark.parametrize("command", ["size", "report"])
def test_a_page_without_plotly_names_the_small_extra(
    command: str, bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = bundle_path
    if command == "report":
        measured = tmp_path / "size.json"
        edgerec_here("bench", "size", bundle_path, "--out", measured)
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "plotly" else find(name))
    done = edgerec_here("bench", command, measured, "--html", tmp_path / "page.html")
    assert "plotly is not installed: run pip install 'edgerec[report]'" in error_line(done)
    if command == "report":  # What is wrong with the file is said first.
        nosuch = edgerec_here("bench", command, tmp_path / "nosuch", "--html", tmp_path / "page.html")
        assert "nosuch" in error_line(nosuch)


@pytest.mark.parametrize("rounds", ["0", "1000000000"])
def test_the_number_of_rounds_is_bounded(rounds: str, bundle_path: Path) -> None:
    done = edgerec_here("bench", "rerank", bundle_path, "--rounds", rounds)
    assert done.returncode == 2
    assert "should be a whole number from 1 to 100000" in done.stderr
    with pytest.raises(InputError, match="--rounds should be at "):
        Plan("rerank", rounds=int(rounds))


def test_an_empty_name_of_an_output_is_an_error(bundle_path: Path) -> None:
    done = edgerec_here("bench", "size", bundle_path, "--out", "")
    assert done.returncode == 2
    assert "Invalid value for '--out': the name is empty" in done.stderr


def test_missing_files_and_folders_have_their_own_errors(tmp_path: Path, bundle_path: Path) -> None:
    missing = tmp_path / "none.json"
    for command in (["report", missing], ["compare", missing, missing], ["compare", bundle_path, missing]):
        assert f"{missing} does not exist: give " in error_line(edgerec_here("bench", *command))
    assert f"{tmp_path} is a folder: give a file" in error_line(edgerec_here("bench", "report", tmp_path))


def test_processes_without_a_round_are_named_and_the_table_has_no_empty_columns(bundle_path: Path) -> None:
    done = edgerec_here("bench", "rerank", bundle_path, "--processes", "3", "--rounds", "1", "--sustained", "0.3")
    assert "1 processes instead of 3" not in done.stderr
    assert "1 process instead of 3, because each needs a round" in done.stderr
    assert "1 round in 1 process" in done.stdout
    assert "mnn / it" not in done.stdout
    # On a busy machine, a later row may begin later than after a tenth of a second.
    assert "from 0.0 s" in done.stdout
    assert len(set(re.findall(r"from \d+\.\d s", done.stdout))) > 1
