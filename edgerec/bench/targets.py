"""The numbers to reach, and which of them a document of `edgerec bench` reaches (docs/bench.md, "Targets")."""

from __future__ import annotations

from collections.abc import Iterator

from edgerec.bench.document import TOTAL, BenchDocument, Phase, Ratio, Row, Target
from edgerec.bench.steadiness import SPREAD, is_busy, spread

RATIOS = (
    ("step, exposures / ONNX Runtime", "hubsm_ie", "onnxruntime", 0.25, 0.10),
    ("step, exposures / LiteRT", "hubsm_ie", "litert", 0.6, 0.25),
    ("re-rank / ONNX Runtime, native GRU nodes", "rerank", "onnxruntime", 1.3, 0.6),
    ("re-rank / MNN's default export", "rerank", "mnn_default_export", 0.10, 0.03),
)
"""What, stage, peer, required and excellent ratio of p50."""
DURATIONS = (
    ("trigger to new order, p99", "response", 10.0, 3.0),
    ("behaviour to stored encoding, p99", "behaviour", 5.0, 1.0),
    ("plan of a mixed feed, p99", "mix", 5.0, 1.0),
)
"""What, stage, required and excellent milliseconds."""
DEVICE_MB = ("device models", 1.0, 0.5)
COLD_S = ("process start to first order, median", 1.0, 0.4)
MEMORY_MB = ("memory above Python, NumPy and MNN", 30.0, 10.0)


def judge(document: BenchDocument) -> list[Target]:
    """Return the targets that the document can judge. If the processor is emulated, only sizes mean something."""
    found = list(_judged(document))
    if document.environment.emulated:
        return [one if one.what == DEVICE_MB[0] else one.model_copy(update={"result": "unknown"}) for one in found]
    return found


def _judged(document: BenchDocument) -> Iterator[Target]:
    rows = {(row.stage, row.name): row for row in document.results if not row.parameters}
    ratios = {(ratio.stage, ratio.peer): ratio for ratio in document.ratios if not ratio.parameters}
    for what, stage, peer, required, excellent in RATIOS:
        # Peers have one thread, so a ratio to several threads of MNN says nothing.
        if (stage, peer) in ratios and document.settings.threads == 1:
            unstable = rows[stage, "mnn"].unstable or rows[stage, peer].unstable
            yield _of_ratio(what, ratios[stage, peer], unstable, required, excellent)
    for what, stage, required, excellent in DURATIONS:
        if (stage, "edgerec") in rows:
            yield _of_duration(what, rows[stage, "edgerec"], required, excellent)
    for phase in document.cold:
        if phase.phase == TOTAL:
            yield _of_cold_start(phase, busy=is_busy(document.environment))
    sizes = [size.bytes for size in document.size if (size.half, size.part) == ("device", TOTAL)]
    memory = [one.above_base_bytes for one in document.memory if one.phase == "steady"]
    for (what, required, excellent), found in ((DEVICE_MB, sizes), (MEMORY_MB, memory)):
        if found:
            yield _target(what, "MB", found[0] / 1e6, required, excellent)


def _of_ratio(what: str, ratio: Ratio, unstable: bool, required: float, excellent: float) -> Target:
    """Judge a ratio. On an unsteady machine, the median and all rounds must lead to the same result."""
    target = _target(what, "ratio", ratio.median, required, excellent)
    results = {_target(what, "ratio", value, required, excellent).result for value in (ratio.min, ratio.max)}
    return target.model_copy(update={"result": "unknown"}) if unstable and len(results) > 1 else target


def _of_duration(what: str, row: Row, required: float, excellent: float) -> Target:
    """Judge a duration. An unsteady machine makes calls slower and never faster, so a number that is reached counts."""
    target = _target(what, "ms", row.p99_us / 1e3, required, excellent)
    return target.model_copy(update={"result": "unknown"}) if row.unstable and target.result == "missed" else target


def _of_cold_start(phase: Phase, *, busy: bool) -> Target:
    """Judge the total of a cold start. As for a duration, a number that is reached counts on any machine."""
    what, required, excellent = COLD_S
    target = _target(what, "s", phase.median_ms / 1e3, required, excellent)
    unsteady = busy or spread(phase.samples_ms) > SPREAD
    return target.model_copy(update={"result": "unknown"}) if unsteady and target.result == "missed" else target


def _target(what: str, unit: str, measured: float, required: float, excellent: float) -> Target:
    result = "excellent" if measured <= excellent else "required" if measured <= required else "missed"
    return Target.model_validate(
        {
            "what": what,
            "unit": unit,
            "required": required,
            "excellent": excellent,
            "measured": round(measured, 4),
            "result": result,
        }
    )
