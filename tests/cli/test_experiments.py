"""The commands `abtest` and `loop`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgerec.core.written import layout_of
from tests.command_line import edgerec, edgerec_here
from tests.test_docs import documented_keys


def write_buckets(folder: Path) -> Path:
    path = folder / "buckets.toml"
    path.write_text(
        "[buckets.cloud]\npage = 12\nprefetch = 3\n[buckets.slow]\npage = 12\nprefetch = 3\ndevice_ms = 4000\n"
    )
    return path


@pytest.mark.slow
def test_abtest_prints_the_documented_keys(small_world_path: Path, tmp_path: Path) -> None:
    """Two processes simulate, and the table of the same test is printed afterwards."""
    arguments = ["abtest", small_world_path / "bundle", "--world", small_world_path / "logs", "--users", "20"]
    arguments += ["--buckets", write_buckets(tmp_path), "--processes", "2", "--logs"]
    done = edgerec(*arguments, "--out", tmp_path / "test", "--json")
    document = json.loads(done.stdout)
    layout = layout_of(tmp_path / "test")

    assert done.returncode == 0, done.stderr
    assert set(document) == {"schema", *documented_keys("edgerec abtest")} - {"sample_ratio", "aa"}
    assert list(document["buckets"]) == ["cloud", "bundle", "slow"]
    assert [(row["bucket"], row["against"]) for row in document["comparisons"]] == [
        ("bundle", "cloud"),
        ("slow", "cloud"),
        ("slow", "bundle"),
    ]
    assert layout is not None
    assert layout.foreign(tmp_path / "test") is None
    again = edgerec(*arguments, "--out", tmp_path / "test", "--force")
    assert again.returncode == 0, again.stderr
    assert "Uplift of bundle against cloud" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--world", "missing"], "is missing or damaged: give a folder that `edgerec simulate` wrote"),
        (["--buckets", "missing.toml"], "missing.toml"),
        (["--design", "split", "--users", "30"], "users should be at least 40"),
        (["--pre-days", "3"], "the paired design has no pre-period"),
    ],
)
def test_wrong_input_is_one_line(bundle_path: Path, tmp_path: Path, arguments: list[str], expected: str) -> None:
    done = edgerec_here("abtest", bundle_path, "--out", tmp_path / "test", *arguments)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr
    assert not (tmp_path / "test").exists()


def test_a_bundle_is_needed(tmp_path: Path) -> None:
    assert edgerec_here("abtest", "--out", tmp_path / "test").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--mix", "--primary", "ctr"], "--primary cannot be used with --mix"),
        (["--mix", "--primary", "click"], "--primary cannot be used with --mix"),
        (["--policies", "greedy,price"], "--policies needs --mix"),
        (["--share", "ad=0.1"], "--share needs --mix"),
        (["--pilot-users", "200"], "--pilot-users needs --mix"),
    ],
)
def test_options_that_would_be_ignored_are_refused(
    bundle_path: Path, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    done = edgerec_here("abtest", bundle_path, "--out", tmp_path / "test", *arguments)

    assert done.returncode == 2
    assert expected in done.stderr
    assert not (tmp_path / "test").exists()


def test_settings_of_the_first_training_do_not_fit_a_trained_run(run_path: Path, tmp_path: Path) -> None:
    done = edgerec_here("loop", run_path, "--config", "train.toml", "--out", tmp_path / "loop")

    assert done.returncode == 2
    assert "RUN is trained already" in done.stderr
