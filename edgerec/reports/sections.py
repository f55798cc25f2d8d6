"""A page of sections: each block of a report with its plots, its legend and its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgerec.reports.block import SHOWN, Block
from edgerec.reports.drawing import Figure
from edgerec.reports.legend import legend
from edgerec.reports.page import render


def render_sections(
    template: str,
    *,
    title: str,
    definitions: str,
    blocks: Sequence[Block],
    plots: Mapping[str, Figure],
    marks: Sequence[str] = (),
    **fields: Any,
) -> str:
    """Fill a template that extends `sections.html.jinja`, and return the page.

    Args:
        template: path of the template.
        title: title of the page.
        definitions: path of the documentation that defines the values on the page.
        blocks: the sections, in order.
        plots: the plots. The name of a plot is the ID of its block, a hyphen, and what it shows.
        marks: cells that are shown as coloured marks. They are also the names of style classes.
        fields: further variables of the template.
    """
    return render(
        template,
        title=title,
        definitions=definitions,
        plots=dict(plots),
        shown=SHOWN,
        marks=marks,
        blocks=[
            (
                block,
                [
                    (name, plots[name]["layout"], legend(plots[name]))
                    for name in plots
                    if name.startswith(f"{block.id}-")
                ],
            )
            for block in blocks
        ],
        **fields,
    )
