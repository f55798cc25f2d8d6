"""The picture of a measurement: how long a step and a re-rank take with MNN and with other engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgerec.core.errors import InputError
from edgerec.reports.cells import number
from edgerec.reports.pictures.documents import Bench
from edgerec.reports.pictures.svg import WIDTH, Drawing, short

RERANK = "rerank"
STAGES = {
    "hubsm_ie": "One exposure encoded: a step of the GRU",
    "hubsm_ipv": "One page-view encoded: a step of the GRU",
    RERANK: "{candidates} candidates re-ranked, with {behaviours} behaviours",
}
"""The stages that the picture shows, with their words."""
MNN = "mnn"
ENGINES = {
    "MNN, by EdgeRec": (MNN,),
    "ONNX Runtime": ("onnxruntime", "onnxruntime_io_binding", "onnxruntime_device_graph"),
    "LiteRT": ("litert",),
    "MNN, its default export": ("mnn_default_export", "mnn_default_export_as_is"),
}
"""The engines that the picture shows, with the names of their forms. The fastest form counts. Keras and NumPy are for
desks and not for devices, and so slow that the other bars would be too short to compare."""
_BAR_LEFT, _BAR_RIGHT = 190.0, 600.0
_TIME, _RATIO = 752.0, WIDTH - 28.0
_ROW, _HEAD = 25.0, 38.0


@dataclass(frozen=True)
class Bar:
    """One engine in one stage. `ratio` is its p50 divided by that of MNN, or None for MNN and if it is not known."""

    engine: str
    p50_us: float
    p99_us: float
    ratio: float | None
    unstable: bool


def bench_picture(document: Bench) -> str:
    """Return the picture as SVG. Equal documents give equal text.

    Raises:
        InputError: the document has no step and no re-rank with MNN.
    """
    groups = {stage: bars for stage in STAGES if (bars := bars_of(document, stage))}
    if not groups:
        raise InputError(
            "picture: the document of bench should have a step or a re-rank: measure with `edgerec bench step`, "
            "`rerank` or `all`, and with --peers"
        )
    top = 84.0
    height = top + sum(_HEAD + _ROW * len(bars) + 12 for bars in groups.values()) + 30
    drawing = Drawing(height, f"Durations of the device models ({_headline(groups)})")
    drawing.text(24, 36, _headline(groups), "title")
    drawing.text(24, 58, short(_machine(document), 130), "small")
    for stage, bars in groups.items():
        _group(drawing, top, _words(document, stage), bars)
        top += _HEAD + _ROW * len(bars) + 12
    note = (
        "Bars are medians (p50), marks are p99. × is the time of an engine divided by that of MNN, in the same rounds."
    )
    unstable = any(bar.unstable for bars in groups.values() for bar in bars)
    drawing.text(24, height - 18, f"{note}{' * unsteady' if unstable else ''}", "small")
    return drawing.to_svg()


def bars_of(document: Bench, stage: str) -> list[Bar]:
    """Return the bars of a stage, MNN first. Without a row of MNN there are none."""
    rows = {row.name: row for row in document.results if row.stage == stage and not row.parameters}
    ratios = {one.peer: one.median for one in document.ratios if one.stage == stage and not one.parameters}
    if MNN not in rows:
        return []
    bars = []
    for engine, names in ENGINES.items():
        found = min((rows[name] for name in names if name in rows), key=lambda row: row.p50_us, default=None)
        if found is not None:
            ratio = ratios.get(found.name)
            bars.append(Bar(engine, found.p50_us, found.p99_us, 1 / ratio if ratio else None, found.unstable))
    return [bars[0], *sorted(bars[1:], key=lambda bar: bar.p50_us)]


def _words(document: Bench, stage: str) -> str:
    sizes = document.sizes
    behaviours = sizes.get("exposures", 0) + sizes.get("page_views", 0)
    return STAGES[stage].format(candidates=sizes.get("candidates", "All"), behaviours=behaviours)


def _headline(groups: Mapping[str, Sequence[Bar]]) -> str:
    """Return the times of MNN, one for the first step and one for the re-rank, as far as they were measured."""
    steps = [bars for stage, bars in groups.items() if stage != RERANK]
    parts = [f"{_time(bars[0].p50_us)} to encode a behaviour" for bars in steps[:1]]
    if RERANK in groups:
        parts.append(f"{_time(groups[RERANK][0].p50_us)} to re-rank a list")
    return ", ".join(parts)


def _machine(document: Bench) -> str:
    machine = document.environment
    versions = {"MNN": "MNN", "onnxruntime": "ONNX Runtime", "ai-edge-litert": "LiteRT", "tensorflow": "TensorFlow"}
    named = [f"{words} {machine.versions[key]}" for key, words in versions.items() if machine.versions.get(key)]
    processor = ", ".join(filter(None, [machine.processor, machine.machine])) or "an unknown processor"
    date = (machine.date or "")[:10]
    return " · ".join(filter(None, [f"Model {document.model}, one thread", processor, ", ".join(named), date]))


def _group(drawing: Drawing, top: float, words: str, bars: Sequence[Bar]) -> None:
    """Draw the bars of a stage. Each stage has an axis of its own, from 0 to its slowest median."""
    drawing.text(24, top + 20, words, "strong")
    drawing.text(_TIME, top + 20, "p50 (p99)", "small", anchor="end")
    largest = max(bar.p50_us for bar in bars)
    for index, bar in enumerate(bars):
        y = top + _HEAD + _ROW * index
        kind = "strong" if not index else ""
        drawing.text(24, y + 13, bar.engine, kind)
        end = _BAR_LEFT + (_BAR_RIGHT - _BAR_LEFT) * bar.p50_us / largest * 0.8
        drawing.bar(_BAR_LEFT, y + 2, max(end - _BAR_LEFT, 1.5), 14, "f1" if not index else "f0")
        p99 = _BAR_LEFT + (_BAR_RIGHT - _BAR_LEFT) * bar.p99_us / largest * 0.8
        if p99 <= _BAR_RIGHT:
            drawing.line(end, y + 9, p99, y + 9, "axis")
            drawing.line(p99, y + 4, p99, y + 14, "axis", width=2)
        else:
            drawing.line(end, y + 9, _BAR_RIGHT, y + 9, "axis")
            drawing.text(_BAR_RIGHT + 3, y + 13, "›", "small")
        star = "*" if bar.unstable else ""
        drawing.text(_TIME, y + 13, f"{_time(bar.p50_us)} ({_time(bar.p99_us)}){star}", kind, anchor="end")
        if bar.ratio is not None:
            drawing.text(_RATIO, y + 13, f"× {number(bar.ratio)}", kind, anchor="end")


def _time(microseconds: float) -> str:
    value, unit = (microseconds, "µs") if microseconds < 999.5 else (microseconds / 1000, "ms")
    return f"{value:,.{1 if value < 9.95 else 0}f} {unit}"
