"""Pages with plots: one HTML file each, which opens without a network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgerec.core.text import shown

GREY, GRID = "#848484", "rgba(128, 128, 128, 0.25)"
"""Of axes and of lines behind the data: seen on white and on black."""


def render(template: Path, *, plots: dict[str, Any], **fields: Any) -> str:
    """The page of a jinja2 template, which also gets `library` (plotly.js) and `plots` as JSON text.

    The same fields give the same text. Every name is escaped.
    """
    import jinja2
    from plotly.offline import get_plotlyjs

    def finalize(value: Any) -> Any:
        # Markup is what the template marks as safe: the library and the plots.
        return shown(value) if isinstance(value, str) and not hasattr(value, "__html__") else value

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, finalize=finalize
    )
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        **fields,
        library=get_plotlyjs(),
        # No name within may end the script that holds it.
        plots=json.dumps(plots, sort_keys=True, allow_nan=False).replace("<", "\\u003c"),
    )


def figure(traces: Sequence[dict[str, Any]], **layout: Any) -> dict[str, Any]:
    """Traces and a layout as plotly.js takes them, on a ground that shows through."""
    import plotly.graph_objects as go

    ground = {"template": "none", "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}
    font = {"color": GREY, "size": 12, "family": "system-ui, sans-serif"}
    # Checked by plotly, so that a misspelt setting is an error here and not an odd page.
    drawn = go.Figure(data=list(traces), layout={**ground, "font": font, **layout})
    found: dict[str, Any] = json.loads(drawn.to_json())
    return found
