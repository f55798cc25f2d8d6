"""The HTML page of `edgerec explain`."""

from __future__ import annotations

from edgerec.reports.explanation.plots import plots_of
from edgerec.reports.explanation.rows import (
    CANDIDATE_HEADS,
    CANDIDATE_NOTE,
    KINDS,
    REASON_HEADS,
    Document,
    behaviour_rows,
    candidate_rows,
    explained_candidates,
    reason_rows,
    request_rows,
)
from edgerec.reports.page import render


def page(document: Document) -> str:
    """Return the page as text. Equal documents give equal text."""
    plots = plots_of(document)
    known = document["request"]["known"]
    return render(
        "explanation/page.html.jinja",
        title="Why this order?",
        definitions="docs/explain.md",
        plots=plots,
        facts=request_rows(document),
        chosen=document["request"]["chosen"],
        candidates=[(one, reason_rows(document, one)) for one in explained_candidates(document)],
        heads=CANDIDATE_HEADS,
        reason_heads=REASON_HEADS,
        rows=candidate_rows(document),
        note=CANDIDATE_NOTE,
        behaviours=behaviour_rows(document),
        heights={name: plot["layout"]["height"] for name, plot in plots.items()},
        kinds=[(kind, KINDS[kind], known[kind], document["attention"].get(kind)) for kind in known],
    )
