"""Documents of `edgerec bench` in which every part is filled, with random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgerec.bench.document import (
    BenchDocument,
    Energy,
    Failure,
    Interval,
    Memory,
    Operation,
    Phase,
    Ratio,
    Row,
    Settings,
    Size,
    Target,
)
from edgerec.bench.values import Environment


def bench_row(
    stage: str, name: str, processes: list[list[list[float]]], *, parameters: dict[str, Any] | None = None
) -> Row:
    """Return a row with these durations: for each process, the durations of each round."""
    rounds = [samples for rounds in processes for samples in rounds]
    every = np.concatenate([np.array(samples) for samples in rounds])
    p50, p90, p99, p999 = np.percentile(every, [50, 90, 99, 99.9])
    low, middle, high = np.percentile([np.median(samples) for samples in rounds], [25, 50, 75])
    return Row(
        name=name,
        stage=stage,
        parameters=parameters or {},
        n=len(every),
        min_us=every.min(),
        mean_us=every.mean(),
        p50_us=p50,
        p90_us=p90,
        p99_us=p99,
        p999_us=p999,
        spread=(high - low) / middle,
        per_second=1e6 / every.mean(),
        cpu_us=0.97 * every.mean(),
        unstable=name == "onnxruntime",
        processes=[len(rounds) for rounds in processes],
        samples_us=rounds,
    )


def bench_document(seed: int = 1, *, processor: str = "Test processor") -> dict[str, Any]:
    """Return a document with a value in every part."""
    rng = np.random.default_rng(seed)

    def number(size: float) -> float:
        return float(size * rng.lognormal(0, 0.2))

    def row(stage: str, name: str, size: float, **parameters: int) -> Row:
        samples = (size * rng.lognormal(0, 0.2, (2, 3, 20))).round(3).tolist()
        return bench_row(stage, name, samples, parameters=parameters)

    results = [row("hubsm_ie", name, 10) for name in ("mnn", "edgerec", "onnxruntime")]
    results += [row("rerank", name, 700) for name in ("mnn", "edgerec", "onnxruntime")]
    results += [row("behaviour", "edgerec", 900), row("response", "edgerec", 2000)]
    results += [row("sequence", name, 10, length=length) for length in (1, 10, 100) for name in ("step", "full")]
    results += [row("rerank", "mnn", 600, candidates=count) for count in (10, 50, 100)]
    results += [row("rerank", "mnn", 600, threads=count) for count in (1, 2)]
    document = BenchDocument(
        what="all",
        environment=Environment(
            processor=processor,
            machine="x86_64",
            cores=2,
            features=["avx2"],
            frequency_mhz={"min": None, "current": number(2600)},
            memory_bytes=int(number(8e9)),
            load_start=number(0.3),
            emulated=False,
            versions={"MNN": "3.6.1"},
            date="2026-11-29T10:30:00Z",
        ),
        model="crban",
        version_id="20261129-abc",
        precision="fp32",
        sizes={"candidates": 100, "exposures": 100, "page_views": 50},
        settings=Settings(rounds=6, processes=2),
        results=results,
        ratios=[
            Ratio(stage=stage, peer="onnxruntime", median=number(0.3), min=number(0.2), max=number(0.4))
            for stage in ("hubsm_ie", "rerank")
        ]
        + [
            Ratio(
                stage="sequence", peer="full", parameters={"length": 10}, median=0.31, min=number(0.2), max=number(0.4)
            )
        ],
        operations=[
            Operation(stage="rerank", type=name, commands=3, mean_us=number(90), share=number(0.4))
            for name in ("MatMul", "<b>Softmax</b>")
        ],
        size=[
            Size(half="device", part="crban.mnn", bytes=int(number(3e5))),
            Size(half="device", part="total", bytes=int(number(5e5)), paper_bytes=3_000_000),
            Size(half="cloud", part="total", bytes=int(number(5e7)), paper_bytes=230_000_000),
            Size(half="cloud", part="brand", bytes=int(number(4e7))),
        ],
        cold=[
            Phase(phase=name, median_ms=number(60), min_ms=number(50), max_ms=number(70), samples_ms=[])
            for name in ("imports", "models", "total")
        ],
        memory=[
            Memory(phase=name, resident_bytes=int(number(7e7)), above_base_bytes=int(number(1e7)), samples_bytes=[])
            for name in ("first order", "steady", "peak")
        ],
        sustained=[
            Interval(stage="rerank", name="mnn", second=second, n=50, p50_us=number(700), p99_us=number(900))
            for second in (0.0, 2.0, 4.0)
        ],
        energy=[Energy(stage="rerank", name="mnn", microjoules=number(5000))],
        targets=[
            Target(what="device models", unit="MB", required=1, excellent=0.5, measured=number(0.6), result="required")
        ],
        failed=[Failure(peer="litert", reason="its keys differ")],
        warnings=["rerank of onnxruntime is unstable: measure again when the machine is idle"],
        seconds=number(200),
    )
    return document.to_json()


def replay_document() -> dict[str, Any]:
    """Return what a report reads of a document of `edgerec replay`."""
    return {
        "logs": "logs",
        "mode": "forced",
        "table3": [
            {"what": "response time, ms", "edge": {"p50": 1.8231, "p99": 3.4712}, "cloud": {"p50": 4.06, "p99": 7.8}},
            {"what": "orders of the list per user", "edge": 103.9, "cloud": None},
        ],
    }
