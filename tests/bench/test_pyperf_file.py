"""pyperf's own commands read what EdgeRec writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgerec.bench.document import BenchDocument
from edgerec.bench.pyperf_file import write_pyperf
from tests.reports.bench_documents import bench_document

pyperf = pytest.importorskip("pyperf", reason="pip install '.[dev]'")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for seed, path in enumerate(paths):
        write_pyperf(BenchDocument.model_validate(bench_document(seed)), path)
    return paths


def test_pyperf_loads_all_rows_with_their_processes_and_rounds(files: list[Path]) -> None:
    rows = bench_document(0)["results"]
    found = pyperf.BenchmarkSuite.load(str(files[0])).get_benchmarks()
    assert len({benchmark.get_name() for benchmark in found}) == len(found) == len(rows)
    for row, benchmark in zip(rows, found, strict=True):
        assert benchmark.get_nrun() == len(row["processes"])
        assert benchmark.get_nvalue() == sum(row["processes"])
        assert benchmark.median() == pytest.approx(row["p50_us"] / 1e6, rel=0.1)
    assert found[0].get_metadata()["cpu_model_name"] == "Test processor"


def test_the_commands_of_pyperf_read_the_files(files: list[Path]) -> None:
    def run(command: str, *paths: Path) -> str:
        done = subprocess.run([sys.executable, "-m", "pyperf", command, *paths], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "Number of value per run: 3" in run("stats", files[0])
    assert "Geometric mean" in run("compare_to", *files)
