"""What a look at folders shows is refused before packages are imported that take seconds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.command_line import edgerec_here, error_line


@pytest.mark.parametrize(
    ("command", "kind"), [(("train",), "training"), (("train", "--tune", "2"), "tuning"), (("ablate",), "ablation")]
)
def test_unfinished_work_is_seen_before_tensorflow_is_imported(
    command: tuple[str, ...], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgerec.cli.learning.import_tensorflow", pytest.fail)
    work = tmp_path / f".run.{kind}"
    (work / "parts").mkdir(parents=True)
    (work / "output").mkdir()
    for name in ("job.json", "parts/one.json"):
        (work / name).write_text("{}")
    arguments = (*command, tmp_path / "samples", "--out", tmp_path / "run")
    assert error_line(edgerec_here(*arguments)).startswith(f"edgerec: {kind}: partial results exist in {work}: ")
    # With --force, the next fault is the missing folder of samples.
    assert error_line(edgerec_here(*arguments, "--force")).startswith("edgerec: samples: ")
    none = error_line(edgerec_here(*arguments[:-1], tmp_path / "other", "--resume"))
    assert none.startswith(f"edgerec: {kind}: there are no partial results in {tmp_path / f'.other.{kind}'} to resume")


@pytest.mark.parametrize("options", [(), ("--mix",)])
def test_a_bundle_that_is_none_is_seen_before_the_test_is_imported(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ab_test", "mix_test"):
        monkeypatch.setitem(sys.modules, f"edgerec.simulation.{name}.run", None)
    line = error_line(edgerec_here("abtest", tmp_path / "none", "--out", tmp_path / "test", *options))
    assert line.startswith(f"edgerec: bundle: {tmp_path / 'none'} is not a folder")
