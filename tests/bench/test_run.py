"""Runs in fresh processes. `test_process.py` tests the measurement itself, in the process of the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerec.bench.document import read_bench_document
from edgerec.bench.outputs import Outputs
from edgerec.bench.pinning import usable
from edgerec.bench.plan import Plan
from edgerec.bench.run import run_bench
from edgerec.core.errors import InputError, OutputError


def test_the_rounds_are_shared_by_processes_and_the_document_is_written(bundle_path: Path, tmp_path: Path) -> None:
    cpus = tuple(usable() or ())[:1] or None
    document = run_bench(bundle_path, Plan("rerank", rounds=3, processes=2, cpus=cpus))
    assert {row.name for row in document.results} == {"mnn", "edgerec"}
    for row in document.results:
        assert row.processes == [2, 1]
        assert len(row.samples_us) == 3
        assert len(row.warmup_us) == 2
    assert document.settings.cpus == (None if cpus is None else list(cpus))
    assert document.environment.cores_usable == (1 if cpus else document.environment.cores_usable)
    assert document.environment.load_end is not None
    outputs = Outputs(tmp_path / "bench.json", markdown=tmp_path / "bench.md")
    outputs.check([bundle_path])
    outputs.write(document)
    assert read_bench_document(tmp_path / "bench.json").to_json() == document.to_json()
    assert document.version_id in (tmp_path / "bench.md").read_text()
    with pytest.raises(OutputError, match="exists already"):
        outputs.check([bundle_path])
    Outputs(tmp_path / "bench.json", markdown=tmp_path / "bench.md", force=True).check([bundle_path])


def test_no_process_has_no_rounds() -> None:
    assert Plan("step", rounds=10, processes=3).shares == [4, 3, 3]
    assert Plan("step", rounds=2, processes=3).shares == [1, 1]


def test_two_outputs_in_one_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="different files"):
        Outputs(tmp_path / "a", html=tmp_path / "." / "a").check([])


def test_a_processor_that_does_not_exist_is_refused(bundle_path: Path) -> None:
    with pytest.raises(InputError, match="received 99999"):
        run_bench(bundle_path, Plan("size", cpus=(99_999,)))
