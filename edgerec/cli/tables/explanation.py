"""The tables of `edgerec explain`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.text import Text

from edgerec.cli.output import table_of
from edgerec.core.text import shown
from edgerec.reports.explanation.rows import (
    BEHAVIOUR_HEADS,
    CANDIDATE_HEADS,
    behaviour_rows,
    candidate_rows,
    request_rows,
)


def explanation_table(document: Mapping[str, Any]) -> Group:
    """Return the tables of the document of `run_explain`."""
    sentences = (document["candidates"][index]["sentence"] for index in document["shown"])
    return Group(
        table_of(("", ""), request_rows(document), header=False),
        "",
        table_of(CANDIDATE_HEADS, candidate_rows(document), texts=2),
        "",
        table_of(BEHAVIOUR_HEADS, behaviour_rows(document), texts=1),
        "",
        *(Text(shown(sentence) + "\n") for sentence in sentences),
    )
