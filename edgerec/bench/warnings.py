"""Sentences about a measurement: which figures not to trust, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from edgerec.bench.document import BenchDocument
from edgerec.bench.stages.sequence import FULL
from edgerec.bench.stages.stage import ENGINE
from edgerec.bench.steadiness import is_busy
from edgerec.bench.sustained import slowed
from edgerec.bench.values import Environment


def warnings_of(document: BenchDocument) -> list[str]:
    """Return what is wrong with the machine, and then with single rows. Rows of sweeps are only counted."""
    return [*machine_warnings(document), *_row_warnings(document)]


def machine_warnings(document: BenchDocument) -> list[str]:
    """Return what is wrong with the machine, and how many rows are unsteady."""
    return [
        *environment_warnings(document.environment),
        *_of_threads(document),
        *_of_sustained(document),
        *_of_all_rows(document),
    ]


def environment_warnings(machine: Environment) -> Iterator[str]:
    """Yield what is wrong with a machine, whatever is measured on it."""
    governor = machine.governor
    if is_busy(machine):
        yield (
            f"the load of the last minute was {machine.load_start:g} on {machine.cores_usable} cores at the start: "
            "close other programs"
        )
    if machine.emulated:
        yield "the processor is emulated: results are correct, but durations mean nothing"
    if governor in ("powersave", "ondemand", "conservative", "schedutil"):
        yield f"the governor {governor} changes the frequency: choose `performance` before you compare figures"
    if machine.power == "battery":
        yield "the machine runs on its battery, which may limit its frequency: connect it to power"


def _of_threads(document: BenchDocument) -> Iterator[str]:
    threads, ours = document.settings.threads, (FULL, f"{ENGINE}:")
    if threads > 1 and any(not ratio.peer.startswith(ours) for ratio in document.ratios):
        yield f"MNN used {threads} threads and peers used one: ratios to peers are not fair, and no target judges them"


def _of_sustained(document: BenchDocument) -> Iterator[str]:
    factor = slowed(document.sustained)
    if factor is not None:
        first = document.sustained[0]
        yield (
            f"{first.stage} by {first.name} became {factor:.2f} times slower while it was repeated: expect that "
            "on a warm device"
        )


def _of_all_rows(document: BenchDocument) -> Iterator[str]:
    unsteady = [row for row in document.results if row.unstable]
    if unsteady:
        yield (
            f"{len(unsteady)} of {len(document.results)} rows are unsteady: do not trust their durations, and "
            "a ratio only if its range is narrow; measure again on an idle machine, with more --rounds or with --cpu"
        )


def _row_warnings(document: BenchDocument) -> Iterator[str]:
    swept: dict[tuple[str, str], list[bool]] = {}
    for row in document.results:
        if row.parameters:
            swept.setdefault((row.stage, ", ".join(row.parameters)), []).append(row.unstable)
        elif row.unstable:
            yield f"{row.stage} by {row.name}: {'; '.join(row.reasons)}"
    for (stage, parameter), unstable in swept.items():
        if any(unstable):
            yield f"{stage} with other {parameter}: {sum(unstable)} of {len(unstable)} rows are unsteady"
