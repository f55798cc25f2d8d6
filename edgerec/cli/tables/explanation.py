"""The tables of `edgerec explain`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from edgerec.cli.output import table_of
from edgerec.core.text import shown
from edgerec.reports.explanation.rows import (
    BEHAVIOUR_HEADS,
    CANDIDATE_HEADS,
    CANDIDATE_NOTE,
    REASON_HEADS,
    behaviour_rows,
    candidate_rows,
    explained_candidates,
    reason_rows,
    request_rows,
)

if TYPE_CHECKING:
    from rich.console import RenderableType


def explanation_table(document: Mapping[str, Any]) -> Group:
    """Return the tables of the document of `run_explain`."""
    return Group(
        table_of(("", ""), request_rows(document), header=False),
        "",
        table_of(CANDIDATE_HEADS, candidate_rows(document), texts=2),
        Text(CANDIDATE_NOTE),
        *_reasons(document),
        "",
        table_of(BEHAVIOUR_HEADS, behaviour_rows(document), title="The behaviours with the largest effects", texts=3),
    )


def _reasons(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield why each candidate is where it is: the clicked ones first, with their behaviours, then the others.

    The same behaviours often decide for all candidates. So the tables of the others are only on the page. If no
    candidate was clicked, the best one has its table.
    """
    explained = explained_candidates(document)
    clicked = sum(bool(candidate["clicked"]) for candidate in explained)
    for index, candidate in enumerate(explained):
        said = " The user clicked it." if candidate["clicked"] else ""
        yield ""
        yield Text(shown(f"{candidate['sentence']}{said}"))
        rows = reason_rows(document, candidate) if index < max(clicked, 1) else []
        if rows:
            yield Padding(table_of(REASON_HEADS, rows, texts=5), (0, 0, 0, 4))
    if len(explained) > max(clicked, 1):
        yield ""
        yield Text("The behaviours for and against each of the others are on the page that --html FILE writes.")
