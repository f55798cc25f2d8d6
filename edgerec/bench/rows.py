"""Rows of the document of `edgerec bench`, from the durations that processes measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgerec.bench.document import Quality, Ratio, Row
from edgerec.bench.measure import Durations, ratios
from edgerec.bench.steadiness import reasons, spread

Parameters = Mapping[str, "int | float | str"]


def row_of(
    durations: Sequence[Durations],
    *,
    name: str,
    stage: str,
    parameters: Parameters | None = None,
    quality: Quality | None = None,
) -> Row:
    """Return the row of one implementation.

    Args:
        durations: what each process measured. Each has at least one round.
        name: the implementation.
        stage: what was measured.
        parameters: what a sweep varied.
        quality: how good the results are, if they can be better or worse.
    """
    rounds = [samples for process in durations for samples in process.rounds]
    cpu = [used for process in durations for used in process.cpu]
    samples = np.array([sample for samples in rounds for sample in samples])
    p50, p90, p99, p999 = np.percentile(samples, [50, 90, 99, 99.9])
    mean = float(samples.mean())
    why = reasons(rounds, cpu, warm=all(process.warm for process in durations))
    return Row(
        name=name,
        stage=stage,
        parameters=dict(parameters or {}),
        n=len(samples),
        min_us=_rounded(samples.min()),
        mean_us=_rounded(mean),
        p50_us=_rounded(p50),
        p90_us=_rounded(p90),
        p99_us=_rounded(p99),
        p999_us=_rounded(p999),
        spread=round(spread([m for process in durations for m in process.medians]), 4),
        per_second=round(1e6 / mean, 1) if mean else 0.0,
        cpu_us=_rounded(sum(cpu) / len(cpu)) if cpu else None,
        unstable=bool(why),
        reasons=why,
        processes=[len(process.rounds) for process in durations],
        warmup_us=[[round(sample, 2) for sample in process.warmup] for process in durations],
        samples_us=[[round(sample, 2) for sample in samples] for samples in rounds],
        quality=quality,
    )


def ratio_of(
    ours: Sequence[Durations], peer: Sequence[Durations], *, name: str, stage: str, parameters: Parameters | None = None
) -> Ratio:
    """Return the ratio of our p50 to that of the peer `name`, over the rounds of all processes."""
    found = ratios(merged(ours), merged(peer))
    return Ratio(
        stage=stage,
        peer=name,
        parameters=dict(parameters or {}),
        **{key: round(value, 4) for key, value in found.items()},
    )


def merged(durations: Sequence[Durations]) -> Durations:
    """Return the rounds of all processes as if one had measured them."""
    return Durations(
        [sample for process in durations for sample in process.warmup],
        [samples for process in durations for samples in process.rounds],
        [used for process in durations for used in process.cpu],
        all(process.warm for process in durations),
    )


def _rounded(value: float) -> float:
    return round(float(value), 3)
