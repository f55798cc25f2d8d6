"""Measure two bundles, or one bundle with two installations of EdgeRec, in pairs of new processes that take turns."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

import edgerec
from edgerec.bench.document import BenchDocument, Row
from edgerec.bench.measure import Durations
from edgerec.bench.rows import row_of
from edgerec.bench.steadiness import COLD
from edgerec.bench.turns import Turns
from edgerec.bench.warnings import warnings_of
from edgerec.core.console import progress
from edgerec.core.errors import InputError, ResourceError
from edgerec.core.faults import first_fault

ROUNDS = 20
"""Number of rounds of each process."""
# The present folder may contain another edgerec than the one that is installed.
_INSTALLED = "import sys; sys.path[:] = [path for path in sys.path if path]; from edgerec.cli import main; main()"
_THIS = f"import sys; sys.path[0] = {str(Path(edgerec.__file__).parents[1])!r}; from edgerec.cli import main; main()"


@dataclass(frozen=True)
class Side:
    """One of the two builds that are compared.

    Attributes:
        name: its name in error texts, `A` or `B`.
        bundle: the folder of the bundle.
        command: the command that runs this build's `edgerec`.
    """

    name: str
    bundle: Path
    command: tuple[str, ...]


def command_of(python: Path | None) -> tuple[str, ...]:
    """Return the command that runs the `edgerec` which is installed for the interpreter `python`.

    None is the interpreter and the installation of this process.
    """
    return (sys.executable, "-c", _THIS) if python is None else (str(python), "-c", _INSTALLED)


def measure_in_turns(
    sides: Sequence[Side], *, stage: str, runs: int, rounds: int = ROUNDS, public_key: Path | None = None
) -> list[BenchDocument]:
    """Measure `stage` of each side in `runs` new processes. Return a document for each side.

    The processes of a run take turns, round by round (`edgerec.bench.turns`), in the order ABBA. The side that begins
    alternates, too.

    Args:
        sides: the builds.
        stage: one of `edgerec.bench.compare.stages.STAGES`.
        runs: number of processes of each side.
        rounds: number of rounds of each process.
        public_key: PEM file of the key that must have signed the bundles. None requires no signature.

    Raises:
        InputError: `runs` or `rounds` is less than one, or an interpreter cannot be started.
        ResourceError: a process failed. The text has its error.
    """
    for name, value in (("runs", runs), ("rounds", rounds)):
        if value < 1:
            raise InputError(f"bench compare: --{name} should be at least 1; received {value}")
    key = () if public_key is None else ("--public-key", str(public_key))
    arguments = ("--rounds", str(rounds), "--json", *key)
    found: list[list[BenchDocument]] = [[] for _ in sides]
    for run in progress(range(runs), what=f"measure {stage}", total=runs):
        documents = _run(sides, ("bench", stage), arguments, first=run % len(sides))
        for documents_of_side, document in zip(found, documents, strict=True):
            documents_of_side.append(document)
    turns = secrets.token_hex(8)
    return [_merged(documents, turns) for documents in found]


def _run(sides: Sequence[Side], what: Sequence[str], arguments: Sequence[str], *, first: int) -> list[BenchDocument]:
    """Measure each side in one process, in turns."""
    with tempfile.TemporaryDirectory() as folder, Turns(len(sides)) as turns:
        outputs = [(Path(folder) / f"{side.name}.out", Path(folder) / f"{side.name}.err") for side in sides]
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for side, variables, (out, err) in zip(sides, turns.variables, outputs, strict=True):
                with out.open("wb") as stdout, err.open("wb") as stderr:
                    command = (*side.command, *what, str(side.bundle), *arguments)
                    processes.append(_start(side, command, variables, stdout, stderr))
            in_turns = turns.give(processes, first=first)
            codes = [process.wait() for process in processes] if in_turns else [process.poll() for process in processes]
        finally:
            for process in processes:
                process.terminate()
                process.wait()
        for side, code, (_, err) in zip(sides, codes, outputs, strict=True):
            if code:
                raise ResourceError(f"bench compare: {side.name} ({side.bundle}) cannot be measured: {_last_line(err)}")
        if not in_turns:
            raise InputError(
                "bench compare: an installation does not take turns: both need an EdgeRec that has `bench compare`"
            )
        return [_document(side, out) for side, (out, _) in zip(sides, outputs, strict=True)]


def _start(
    side: Side, command: Sequence[str], variables: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env={**os.environ, **variables}
        )
    except OSError as error:
        raise InputError(
            f"bench compare: the Python of {side.name} cannot be started ({command[0]}: {error.strerror}): give the "
            "path of an interpreter"
        ) from None


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("edgerec: ") if lines else "it ended without a message"


def _document(side: Side, path: Path) -> BenchDocument:
    try:
        return BenchDocument.model_validate(json.loads(path.read_bytes()))
    except ValidationError as error:
        reason = first_fault(error)
    except ValueError:
        reason = "its output is no JSON"
    raise InputError(
        f"bench compare: {side.name} ({side.bundle}) gave no document of this version ({reason}): install one EdgeRec "
        "for both"
    )


def _merged(documents: Sequence[BenchDocument], turns: str) -> BenchDocument:
    """Return one document with the processes of all `documents`."""
    first, last = documents[0], documents[-1]
    rows = [[document.results[index] for document in documents] for index in range(len(first.results))]
    changed: dict[str, Any] = {
        "environment": first.environment.model_copy(update={"load_end": last.environment.load_end}),
        "settings": first.settings.model_copy(
            update={
                "rounds": sum(document.settings.rounds for document in documents),
                "processes": len(documents),
                "turns": turns,
            }
        ),
        "results": [_merged_row(each) for each in rows],
        "ratios": [],
        "targets": [],
        "seconds": None,
    }
    merged = first.model_copy(update=changed)
    merged.warnings = warnings_of(merged)
    return merged


def _merged_row(rows: Sequence[Row]) -> Row:
    durations = [
        Durations(
            [sample for samples in row.warmup_us for sample in samples],
            row.samples_us,
            [] if row.cpu_us is None else [row.cpu_us] * len(row.samples_us),
            warm=COLD not in row.reasons,
        )
        for row in rows
    ]
    return row_of(durations, name=rows[0].name, stage=rows[0].stage, parameters=rows[0].parameters)
