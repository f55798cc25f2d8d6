"""What the pages of simulated tests share: the caution, and the page around their blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgerec.reports.block import Block, Table
from edgerec.reports.drawing import Figure
from edgerec.reports.markdown import escaped, to_markdown
from edgerec.reports.metrics import in_order, metric
from edgerec.reports.sections import render_sections

CAUTION = (
    "This is a simulation: a program makes the users, the items and the clicks. It shows whether all parts work "
    "together, and which way to serve is better in this world. It does not predict the effect in a real application."
)
PAPER = "a real deployment (paper)"
"""Name of the uplifts that the paper reports."""
PAPER_CAUTION = (
    f"Marks named “{PAPER}” are measurements of Mobile Taobao with real users. Do not expect equal numbers here."
)


@dataclass(frozen=True)
class Lead:
    """The top of a page.

    Attributes:
        title: title of the page.
        headline: the result as one sentence.
        facts: what was simulated, as sentences.
        caution: what the result does not show, as sentences.
    """

    title: str
    headline: str
    facts: Sequence[str]
    caution: Sequence[str]


def simulated_page(lead: Lead, blocks: Sequence[Block], plots: Mapping[str, Figure], *, definitions: str) -> str:
    """Return the HTML page of a simulated test."""
    return render_sections(
        "simulated.html.jinja",
        title=lead.title,
        definitions=definitions,
        blocks=blocks,
        plots=plots,
        lead=lead,
        # A number and its unit stay in one line.
        headline=lead.headline.replace(" %", "\u00a0%"),
    )


def simulated_markdown(lead: Lead, blocks: Sequence[Block]) -> str:
    """Return the Markdown of a simulated test."""
    head = [
        f"## {lead.title}", "",
        f"**{escaped(lead.headline)}**", "",
        escaped(" ".join(lead.facts)), "",
        f"> {escaped(' '.join(lead.caution))}",
    ]  # fmt: skip
    return to_markdown(head, blocks)


def words_block(metrics: Sequence[str], further: Mapping[str, str]) -> Block:
    """Return the block that explains the words of a page."""
    rows = [(metric(key).name, metric(key).meaning) for key in in_order(metrics)]
    table = Table(("word", "meaning"), [*rows, *further.items()], texts=2)
    return Block("words", "Words on this page", table=table, prose=True)
