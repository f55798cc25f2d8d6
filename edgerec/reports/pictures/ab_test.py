"""The picture of an A/B test: click rates by display position (figure 5 of the paper), and uplifts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgerec.reports.metrics import in_order, metric
from edgerec.reports.pictures.documents import AbTest, Positions
from edgerec.reports.pictures.svg import WIDTH, Drawing, short
from edgerec.reports.uplift import Uplift, read_uplift

_HEIGHT = 392.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 560.0, 126.0, 334.0
"""Ends of the axes of the click rates, in pixels."""
_UPLIFT_LEFT, _UPLIFT_RIGHT = 640.0, WIDTH - 28.0
CONTROL = "cloud"
"""Name of the bucket without a model."""
_NAME = 24
"""Longest name of a bucket, in characters."""
LEAST_SHARE = 0.02
"""Positions with fewer exposures, as a share of the largest number, are left out, as on the page of the test."""


def ab_test_picture(document: AbTest) -> str:
    """Return the picture as SVG. It shows the control and the first treatment. Equal documents give equal text."""
    primary = metric(document.primary)
    uplift = _uplift(document, document.primary)
    headline = f"EdgeRec {uplift.sentence(primary.words)}"
    drawing = Drawing(_HEIGHT, f"{headline}, in a simulated A/B test")
    drawing.text(24, 36, headline, "title")
    who = f"{document.users:,} simulated users"
    how = "each of them with and without EdgeRec" if document.design == "paired" else "in two groups"
    drawing.text(24, 58, f"Simulated A/B test: {who}, {how}. A program makes users and clicks.", "small")
    # The control is known by its name: other programs may have sorted the keys.
    buckets = sorted(document.positions.items(), key=lambda bucket: bucket[0] != CONTROL)[:2]
    _rates(drawing, [(name, _shown(entries)) for name, entries in buckets])
    _uplifts(drawing, document)
    return drawing.to_svg()


def _uplift(document: AbTest, key: str) -> Uplift:
    found = document.uplift.get(key)
    return read_uplift(None if found is None else found.model_dump())


def _shown(entries: Sequence[Positions]) -> list[Positions]:
    least = LEAST_SHARE * max((entry.exposures for entry in entries), default=0)
    return [entry for entry in entries if entry.rate is not None and entry.exposures >= least]


def _place(entry: Positions) -> float:
    return (entry.first + (entry.to if entry.to is not None else entry.first)) / 2


def _rates(drawing: Drawing, buckets: Sequence[tuple[str, Sequence[Positions]]]) -> None:
    """Draw a line for each bucket. The control is grey."""
    drawing.text(24, 88, "Click rate by display position", "strong")
    highest = max(
        (entry.ci95[1] if entry.ci95 else entry.rate or 0.0 for _, found in buckets for entry in found), default=0.0
    )
    farthest = max((entry.to or entry.first for _, found in buckets for entry in found), default=1)
    step = _step(highest or 0.01, 5)
    top = step * math.ceil((highest or 0.01) / step - 1e-9)
    count = round(top / step)
    for index in range(count + 1):
        y = _BOTTOM - (_BOTTOM - _TOP) * index / count
        drawing.line(_LEFT, y, _RIGHT, y, "axis" if not index else "grid")
        drawing.text(_LEFT - 8, y + 4, f"{100 * step * index:.3g} %", "small", anchor="end")
    across = _step(farthest, 10)
    for index in range(int(farthest / across + 1e-9) + 1):
        x = _LEFT + (_RIGHT - _LEFT) * across * index / farthest
        drawing.text(x, _BOTTOM + 18, f"{across * index:.0f}", "small", anchor="middle")
    drawing.text(
        (_LEFT + _RIGHT) / 2,
        _BOTTOM + 38,
        "display position in the session, with 95 % intervals",
        "small",
        anchor="middle",
    )
    legend = _LEFT + 6
    for index, (name, found) in enumerate(buckets):
        points = [
            (
                _LEFT + (_RIGHT - _LEFT) * _place(entry) / farthest,
                _BOTTOM - (_BOTTOM - _TOP) * (entry.rate or 0.0) / top,
            )
            for entry in found
        ]
        for (x, _), entry in zip(points, found, strict=True):
            if entry.ci95:
                low, high = (_BOTTOM - (_BOTTOM - _TOP) * end / top for end in entry.ci95)
                drawing.line(x, low, x, high, f"c{index}", width=1.5)
        drawing.path(points, f"line c{index}")
        for x, y in points:
            drawing.dot(x, y, 3.2, f"f{index}")
        label = "without EdgeRec" if not index else f"with EdgeRec ({short(name, _NAME)})"
        drawing.dot(legend, 106, 4.5, f"f{index}")
        drawing.text(legend + 11, 110, label)
        legend += 7.2 * len(label) + 38


def _uplifts(drawing: Drawing, document: AbTest) -> None:
    """Draw the uplift of each metric with its interval, around a line at 0."""
    rows = [(metric(key).name, _uplift(document, key)) for key in in_order(document.uplift)]
    rows = [(name, uplift) for name, uplift in rows if uplift.mean is not None][:5]
    drawing.text(_UPLIFT_LEFT - 40, 88, "Uplift, with 95 % intervals", "strong")
    ends = [end for _, uplift in rows for end in (uplift.mean, *(uplift.ci95 or ()), uplift.paper) if end is not None]
    low: float = min([0.0, *ends])
    high: float = max([0.01, *ends])
    margin = 0.05 * (high - low)
    low, high = low - margin, high + margin

    def x_of(value: float) -> float:
        return _UPLIFT_LEFT + (_UPLIFT_RIGHT - _UPLIFT_LEFT) * (value - low) / (high - low)

    bottom = _TOP + 52.0 * len(rows) - 10
    drawing.line(x_of(0), _TOP - 24, x_of(0), bottom - 6, "axis")
    drawing.text(x_of(0), bottom + 10, "0", "small", anchor="middle")
    for index, (name, uplift) in enumerate(rows):
        y = _TOP + 52.0 * index + 10
        mean = uplift.mean or 0.0
        drawing.text(_UPLIFT_LEFT - 40, y - 14, name, "strong" if name == metric(document.primary).name else "")
        drawing.text(_UPLIFT_RIGHT, y - 14, _brief(uplift), anchor="end")
        if uplift.ci95:
            drawing.line(x_of(uplift.ci95[0]), y, x_of(uplift.ci95[1]), y, "c1", width=2.5)
        drawing.dot(x_of(mean), y, 5, "f1")
        if uplift.paper is not None:
            drawing.line(x_of(uplift.paper), y - 8, x_of(uplift.paper), y + 8, "c2", width=2.5)
    if any(uplift.paper is not None for _, uplift in rows):
        drawing.line(_UPLIFT_LEFT - 36, bottom + 25, _UPLIFT_LEFT - 36, bottom + 39, "c2", width=2.5)
        drawing.text(_UPLIFT_LEFT - 24, bottom + 36, "Mobile Taobao, real users (the paper)", "small")


def _brief(uplift: Uplift) -> str:
    if uplift.ci95 is None:
        return f"{100 * (uplift.mean or 0.0):+.1f} %"
    return f"{100 * (uplift.mean or 0.0):+.1f} % ({100 * uplift.ci95[0]:+.1f} to {100 * uplift.ci95[1]:+.1f})"


def _step(largest: float, most: int) -> float:
    """Return a round distance of ticks: 1, 2 or 5 times a power of ten, with at most `most` intervals."""
    power = math.pow(10, math.floor(math.log10(largest / most)))
    return next((factor * power for factor in (1, 2, 5) if factor * power * most >= largest * (1 - 1e-9)), 10 * power)
