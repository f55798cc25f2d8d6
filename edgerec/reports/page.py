"""What all pages share: the HTML skeleton, the plots, and the check of the file that a page replaces."""

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
    """Return the page of a jinja2 template. Equal fields give equal text. Every name is escaped.

    Args:
        template: path of a template within this package. It fills the blocks of `skeleton.html.jinja`.
        title: of the page.
        definitions: the document that defines what the page shows.
        plots: figures by the `id` of the element that each is drawn in.
        fields: what else the template reads.
    """
    import jinja2
    from plotly.offline import get_plotlyjs

    def finalize(value: Any) -> Any:
        # What has `__html__` is marked as safe in the template: the library and the plots.
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
        # A name must not end the script element that holds the plots.
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
    """Check, before any work is done, that a page can be written to `path`. `force` replaces a page and nothing else.

    Raises:
        OutputError: `path` exists and `force` is false, it is not a page, cannot be written, or lies in an input.
    """
    check_output(path, force=force, kind=FILE, inputs=inputs)
    if path.exists():
        with path.open("rb") as file:
            if not file.read(len(_BEGIN)).lower() == _BEGIN:
                raise OutputError(f"output {path} exists already and is no page of plots: choose another name")
