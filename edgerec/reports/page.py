"""The parts that all pages share: the HTML skeleton, the plots, and the check of the file that a page replaces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgerec.core.atomic import FILE, check_output
from edgerec.core.errors import OutputError
from edgerec.core.text import shown

GREY, GRID = "#848484", "rgba(128, 128, 128, 0.25)"
"""Colours of axes and of grid lines. They are visible on white and on black."""
_BEGIN = b"<!doctype html>"


def render(template: str, *, title: str, definitions: str, plots: dict[str, Any], **fields: Any) -> str:
    """Fill a jinja2 template and return the page. Equal arguments give equal text. All text is escaped.

    Args:
        template: path of a template within this package. It fills the blocks of `skeleton.html.jinja`.
        title: title of the page.
        definitions: path of the documentation that defines the values on the page.
        plots: figures for plotly.js. The key is the `id` of the HTML element for the figure.
        fields: further variables of the template.
    """
    import jinja2
    from plotly.offline import get_plotlyjs

    def finalize(value: Any) -> Any:
        # Values with `__html__` are marked as safe in the template. These are the library and the plots.
        return shown(value) if isinstance(value, str) and not hasattr(value, "__html__") else value

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        finalize=finalize,
    )
    return environment.get_template(template).render(
        **fields,
        title=title,
        definitions=definitions,
        library=get_plotlyjs(),
        # Escape "<", so that a name with "</script>" does not end the script element of the plots.
        plots=json.dumps(plots, sort_keys=True, allow_nan=False).replace("<", "\\u003c"),
    )


def figure(traces: Sequence[dict[str, Any]], **layout: Any) -> dict[str, Any]:
    """Return a figure for plotly.js, with a transparent background."""
    import plotly.graph_objects as go

    ground = {"template": "none", "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}
    font = {"color": GREY, "size": 12, "family": "system-ui, sans-serif"}
    # plotly checks the settings, so a misspelt one is an error here.
    drawn = go.Figure(data=list(traces), layout={**ground, "font": font, **layout})
    found: dict[str, Any] = json.loads(drawn.to_json())
    return found


def check_page(path: Path, *, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Check that a page can be written to `path`. Commands call this before they start to work.

    With `force`, `path` may exist if it is an HTML page.

    Raises:
        OutputError: `path` exists and `force` is false, it is not an HTML page, it cannot be written, or it is inside
            an input.
    """
    check_output(path, force=force, kind=FILE, inputs=inputs)
    if path.exists():
        with path.open("rb") as file:
            if not file.read(len(_BEGIN)).lower() == _BEGIN:
                raise OutputError(f"output {path} already exists and is not an HTML page: choose another name")
