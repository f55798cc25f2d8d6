"""What all plots of a report share: colours, labels, and the layout."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from edgerec.core.text import printable
from edgerec.reports.page import GREY, GRID, figure

COLORS = ("#2f7fc1", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#848484")
"""Colours of lines and bars, after Okabe and Ito. Colour-blind readers can tell them apart, on white and on black."""
_PATTERNS = ("", "/", "x")
"""Patterns of bars. The second is used when the colours are used up, then the third."""
TICK, LEGEND = 22, 36
"""Longest lines of the labels of bars and of the legend, in characters. Longer names are wrapped."""

Figure = dict[str, Any]


def shown_label(text: str, width: int = LEGEND) -> str:
    """Return `text` for plotly, which reads HTML: escaped, and with lines of at most `width` characters."""
    lines = textwrap.wrap(printable(text), width, break_on_hyphens=False)
    return "<br>".join(html.escape(line, quote=False) for line in lines)


def short_label(text: str) -> str:
    """Return `text` as a label of at most two lines for a tick. The middle of a longer text is left out."""
    plain = printable(text)
    return shown_label(plain if len(plain) <= 2 * TICK else f"{plain[: TICK - 2]}… {plain[2 - TICK :]}", TICK)


def color(index: int) -> str:
    """Return the colour of the series with this index."""
    return COLORS[index % len(COLORS)]


def bar_marker(index: int) -> dict[str, Any]:
    """Return the colour of the bars with this index, and a pattern if another series has the same colour."""
    pattern = _PATTERNS[index // len(COLORS) % len(_PATTERNS)]
    return {"color": color(index), **({"pattern": {"shape": pattern, "size": 6}} if pattern else {})}


def lines_in(text: str) -> int:
    """Return the number of lines of a label."""
    return 1 + text.count("<br>")


def plot(traces: Sequence[Mapping[str, Any]], *, height: int, title: str = "", **layout: Any) -> Figure:
    """Return a figure without a legend.

    Args:
        traces: the traces for plotly.
        height: height of the plot in pixels.
        title: the page shows it above the plot. plotly would not wrap it.
        layout: further settings for plotly.
    """
    axes = {
        name: {"gridcolor": GRID, "linecolor": GREY, "zeroline": False, "automargin": True, **layout.pop(name, {})}
        for name in ("xaxis", "yaxis")
    }
    return figure(
        [dict(trace) for trace in traces],
        height=height,
        margin={"l": 50, "r": 12, "t": 12, "b": 40},
        # The page draws the legend. That of plotly is cut on a narrow screen.
        showlegend=False,
        meta=title,
        **axes,
        **layout,
    )
