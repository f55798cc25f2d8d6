"""Compare two documents of `edgerec bench`: a verdict for each row and for all, which needs a test and an effect.

The independent unit is the process, because calls of one process share its memory layout and the machine's state at
that time. A row of a document has one value for each process.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edgerec.bench.compare.rank_tests import Shift, holm, least_p, mann_whitney, signed_rank
from edgerec.bench.document import BenchDocument, Row
from edgerec.core.errors import InputError

KIND = "bench_compare"
ALPHA = 0.01
"""A row differs only if its p-value, adjusted for the number of rows, is at most this."""
LEAST_EFFECT = 0.03
"""A row differs only if its ratio is at least this far from 1. Smaller differences are real but rarely matter."""
WIDE = 0.1
"""If the interval of an equal row reaches further than this, a difference of this size could be there unseen."""
SAME, SLOWER, FASTER = "same", "slower", "faster"


class Key(NamedTuple):
    """What a row measures."""

    stage: str
    name: str
    parameters: tuple[tuple[str, int | float | str], ...]

    def __str__(self) -> str:
        more = ", ".join(f"{name} {value}" for name, value in self.parameters)
        return f"{self.stage} by {self.name}" + (f" ({more})" if more else "")


def compare(a: BenchDocument, b: BenchDocument, *, fail_above: float | None = None) -> dict[str, Any]:
    """Compare `b` with `a`.

    If the processes of both took turns (`Settings.turns`), the differences of pairs are tested by Wilcoxon's
    signed-rank test. If not, the medians of processes are tested by Mann and Whitney's test.

    Args:
        a: the document that is the measure.
        b: the document that is judged.
        fail_above: a slowdown, such as 0.1 for 10 %. A row fails if the lower bound of its interval is above it.

    Returns:
        The document of `edgerec bench compare` (docs/formats.md).

    Raises:
        InputError: the numbers of threads differ, no row is in both documents, or there are too few processes for a
            test.
    """
    threads = a.settings.threads, b.settings.threads
    if threads[0] != threads[1]:
        raise InputError(
            f"bench compare: A and B should have the same number of threads; received {threads[0]} and {threads[1]}: "
            "measure again with the same --threads"
        )
    rows_a, rows_b = _by_key(a), _by_key(b)
    both = [key for key in rows_a if key in rows_b]
    if not both:
        raise InputError(
            f"bench compare: the documents have no row in common: A has {_listed(rows_a)}; B has {_listed(rows_b)}: "
            "measure the same stage"
        )
    in_turns = a.settings.turns is not None and a.settings.turns == b.settings.turns
    pairs = {key: (rows_a[key], rows_b[key]) for key in both}
    paired = {key: in_turns and len(x.processes) == len(y.processes) for key, (x, y) in pairs.items()}
    too_few = [key for key in both if not _can_differ(*pairs[key], paired=paired[key], rows=len(both))]
    if too_few == both:
        raise _too_few(*pairs[both[0]], rows=len(both))
    pairs = {key: pair for key, pair in pairs.items() if key not in too_few}
    shifts = {key: _shift(x, y, paired=paired[key]) for key, (x, y) in pairs.items()}
    adjusted = holm(np.array([shift.p for shift in shifts.values()]))
    rows = [
        _row(key, *pairs[key], shift, float(p), paired=paired[key])
        for (key, shift), p in zip(shifts.items(), adjusted, strict=True)
    ]
    verdicts = {row["verdict"] for row in rows}
    return {
        "kind": KIND,
        "verdict": next(verdict for verdict in (SLOWER, FASTER, SAME) if verdict in verdicts),
        "rows": rows,
        "alpha": ALPHA,
        "least_effect": LEAST_EFFECT,
        "fail_above": fail_above,
        "failed": [row["row"] for row in rows if _fails(row, fail_above)],
        "only_in_a": [str(key) for key in rows_a if key not in rows_b],
        "only_in_b": [str(key) for key in rows_b if key not in rows_a],
        "too_few_processes": [str(key) for key in too_few],
        "notes": list(_notes(a, b, rows, in_turns=in_turns)),
        "a": _described(a),
        "b": _described(b),
    }


def _by_key(document: BenchDocument) -> dict[Key, Row]:
    return {Key(row.stage, row.name, tuple(sorted(row.parameters.items()))): row for row in document.results}


def _listed(names: Collection[object]) -> str:
    """Return the first four names as text."""
    return ", ".join(map(str, itertools.islice(names, 4))) + (", ..." if len(names) > 4 else "") or "none"


def _can_differ(a: Row, b: Row, *, paired: bool, rows: int) -> bool:
    """Return whether there are enough processes for a p-value of `ALPHA`, even if no other of the `rows` differs."""
    first, second = len(a.processes), len(b.processes)
    return least_p(first, None if paired else second) * rows <= ALPHA


def _too_few(a: Row, b: Row, *, rows: int) -> InputError:
    enough = next(count for count in itertools.count(2) if least_p(count, count) * rows <= ALPHA)
    return InputError(
        f"bench compare: to judge {rows} rows, each document should have at least {enough} processes; received "
        f"{len(a.processes)} and {len(b.processes)}: measure again with --processes {max(enough, 15)}, or give two "
        "bundles, which are then measured in turns"
    )


def _shift(a: Row, b: Row, *, paired: bool) -> Shift:
    """Return the difference of the logarithms of B and A."""
    if not paired:
        return mann_whitney(*(np.log(list(_medians(row))) for row in (a, b)))
    return signed_rank(np.array([_log_ratio(x, y) for x, y in zip(_rounds(a), _rounds(b), strict=True)]))


def _log_ratio(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> float:
    """Return the logarithm of B / A for two processes: the median over rounds, which took turns."""
    ratios = [statistics.median(y) / statistics.median(x) for x, y in zip(a, b, strict=False)]
    return math.log(statistics.median(ratios))


def _rounds(row: Row) -> Iterator[list[list[float]]]:
    """Yield the rounds of each process."""
    rounds = iter(row.samples_us)
    for count in row.processes:
        yield list(itertools.islice(rounds, count))


def _medians(row: Row) -> Iterator[float]:
    """Yield the median of each process."""
    for rounds in _rounds(row):
        yield statistics.median(sample for samples in rounds for sample in samples)


def _row(key: Key, a: Row, b: Row, shift: Shift, adjusted: float, *, paired: bool) -> dict[str, Any]:
    ratio = math.exp(shift.estimate)
    differs = adjusted <= ALPHA and abs(ratio - 1) >= LEAST_EFFECT
    return {
        "row": str(key),
        "stage": key.stage,
        "name": key.name,
        "parameters": dict(key.parameters),
        "verdict": (SLOWER if ratio > 1 else FASTER) if differs else SAME,
        "ratio": ratio,
        "ci95": [math.exp(shift.low), math.exp(shift.high)],
        "p": shift.p,
        "p_adjusted": adjusted,
        "paired": paired,
        "a_us": statistics.median(_medians(a)),
        "b_us": statistics.median(_medians(b)),
        "a_processes": len(a.processes),
        "b_processes": len(b.processes),
    }


def _fails(row: Mapping[str, Any], fail_above: float | None) -> bool:
    return fail_above is not None and row["verdict"] == SLOWER and row["ci95"][0] > 1 + fail_above


def _notes(a: BenchDocument, b: BenchDocument, rows: Sequence[Mapping[str, Any]], *, in_turns: bool) -> Iterator[str]:
    """Yield what a reader has to know before believing the verdict."""
    machines = ("processor", "machine", "cores_usable", "memory_bytes", "system", "python")
    differing = [name for name in machines if getattr(a.environment, name) != getattr(b.environment, name)]
    if differing:
        yield f"the documents are from different machines ({', '.join(differing)}), so not only the builds differ"
    x, y = _conditions(a), _conditions(b)
    for what in {**x, **y}:
        if x.get(what) != y.get(what):
            yield f"A and B differ in {what}: {x.get(what, 'unknown')} and {y.get(what, 'unknown')}"
    if not in_turns:
        yield (
            "A and B were measured one after the other: a difference may also come from the machine. Compare the two "
            "bundles to measure them in turns"
        )
    unsteady = [str(key) for key, row in _by_key(a).items() if row.unstable]
    unsteady += [str(key) for key, row in _by_key(b).items() if row.unstable]
    compared = [row["row"] for row in rows if row["row"] in unsteady]
    if compared:
        yield f"the machine was unsteady for {_listed(compared)}: do not trust their durations, only the ratios"
    wide = [
        row["row"]
        for row in rows
        if row["verdict"] == SAME and (row["ci95"][0] < 1 - WIDE or row["ci95"][1] > 1 + WIDE)
    ]
    if wide:
        yield (
            f"the machine was too noisy for {_listed(wide)}: a difference of {WIDE:.0%} would not be seen. Use more "
            "processes (--runs), or close other programs"
        )


def _conditions(document: BenchDocument) -> dict[str, str]:
    """Return what was measured and how, by name."""
    cpus = document.settings.cpus
    return {
        "the model": document.model or "unknown",
        "the precision": document.precision or "unknown",
        **{f"the maximum number of {name}": str(limit) for name, limit in document.sizes.items()},
        "the version of MNN": document.environment.versions.get("MNN") or "unknown",
        "--cpu": "any" if cpus is None else ",".join(map(str, cpus)),
    }


def _described(document: BenchDocument) -> dict[str, Any]:
    names = ("processor", "machine", "python", "date", "versions")
    return {
        "bundle": document.bundle,
        "version_id": document.version_id,
        "precision": document.precision,
        "environment": {name: getattr(document.environment, name) for name in names},
    }
