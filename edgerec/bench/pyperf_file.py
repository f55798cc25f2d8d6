"""Write a document of `edgerec bench` as a file of pyperf, so that pyperf's commands can read it."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgerec.bench.document import BenchDocument, Row
from edgerec.core.atomic import FILE, check_output, write_json
from edgerec.core.documents import read_object
from edgerec.core.errors import OutputError

FORMAT = "1.0"
"""Version of pyperf's JSON format. pyperf has read it since version 1.0."""
SECONDS = 1e-6
"""Number of seconds in a microsecond."""


def check_pyperf(path: Path, *, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Check that the file can be written. With `force`, `path` may exist if it is a file of pyperf.

    Raises:
        OutputError: `path` exists and `force` is false, it is another file, it cannot be written, or it is inside an
            input.
    """
    check_output(path, force=force, kind=FILE, inputs=inputs)
    if path.exists() and "benchmarks" not in (read_object(path) or {}):
        raise OutputError(f"output {path} exists already and is not a file of pyperf: choose another name")


def write_pyperf(document: BenchDocument, path: Path) -> None:
    """Write the durations of all rows to `path` in seconds, with the metadata of the machine.

    Each row becomes a benchmark, and each process a run. A value is the median of a round, because pyperf computes with
    means, and single calls have outliers.
    """
    write_json(path, pyperf_document(document))


def pyperf_document(document: BenchDocument) -> dict[str, Any]:
    """Return the content of the file."""
    return {
        "version": FORMAT,
        "metadata": dict(_metadata(document)),
        "benchmarks": [
            {"metadata": {"name": _name(row), "loops": 1, "inner_loops": 1}, "runs": list(_runs(row))}
            for row in document.results
            if row.samples_us
        ],
    }


def _name(row: Row) -> str:
    return " ".join((row.stage, row.name, *(f"{name}={value}" for name, value in row.parameters.items())))


def _runs(row: Row) -> Iterator[Mapping[str, Any]]:
    rounds = iter(row.samples_us)
    warmups = itertools.chain(row.warmup_us, itertools.repeat([]))
    for count, warmup in zip(row.processes, warmups, strict=False):
        found: dict[str, Any] = {"values": [_value(samples) for samples in itertools.islice(rounds, count)]}
        if warmup:
            found["warmups"] = [[1, _value(warmup)]]
        yield found


def _value(samples: list[float]) -> float:
    return statistics.median(samples) * SECONDS


def _metadata(document: BenchDocument) -> Iterator[tuple[str, Any]]:
    """Yield the metadata under the names of pyperf."""
    environment = document.environment.model_dump()
    names = {
        "cpu_model_name": "processor",
        "cpu_count": "cores",
        "platform": "system",
        "python_version": "python",
        "date": "date",
        "load_avg_1min": "load_start",
    }
    for name, key in names.items():
        if environment[key] is not None:
            yield name, environment[key]
    yield "unit", "second"
    for name in ("bundle", "version_id", "model", "precision"):
        value = getattr(document, name)
        if value is not None:
            yield f"edgerec_{name}", value
