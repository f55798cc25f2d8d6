"""The rows of the tables of `edgerec explain`, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

Document = Mapping[str, Any]

CANDIDATE_HEADS = (
    "position",
    "item",
    "sent at",
    "without behaviours",
    "click probability",
    "clicked",
    "exposures",
    "page-views",
)
BEHAVIOUR_HEADS = ("behaviour", "largest effect", "raises", "by", "lowers", "by ")
STRONGEST = 10
"""Number of behaviours in the table of behaviours."""
KINDS = {"exposure": "exposures", "page_view": "page-views"}


def request_rows(document: Document) -> list[tuple[str, str]]:
    """Return what the request was."""
    request = document["request"]
    when = datetime.fromtimestamp(request["time"] / 1000, timezone.utc)
    rows = [
        ("request", f"{request['request_id']} ({request['trigger']})"),
        ("user", str(request["user_id"])),
        ("time", f"{when:%Y-%m-%d %H:%M:%S} UTC"),
        ("candidates", str(request["candidates"])),
        *((KINDS[kind], str(count)) for kind, count in request["known"].items()),
        ("model version", document["version_id"]),
    ]
    if request["chosen"] != "given":
        rows.append(("chosen", request["chosen"]))
    if document["logged_scores"] is not None:
        rows.append(("difference to the logged scores", f"{document['logged_scores']['max_abs']:.1e}"))
    return rows


def shown_candidates(document: Document) -> list[Mapping[str, Any]]:
    """Return the candidates to show, best first."""
    return [document["candidates"][index] for index in document["shown"]]


def candidate_rows(document: Document) -> list[tuple[str, ...]]:
    """Return a row for each candidate to show."""
    return [
        (
            str(one["rank"]),
            one["name"],
            str(one["sent_at"]),
            str(one["without_behaviours"]["rank"]),
            f"{100 * one['probability']:.1f} %",
            {None: "not shown", True: "yes", False: "no"}[one["clicked"]],
            *(_of_kind(one, kind) for kind in KINDS),
        )
        for one in shown_candidates(document)
    ]


def behaviour_rows(document: Document) -> list[tuple[str, ...]]:
    """Return a row for each of the strongest behaviours: which candidates it raises and lowers most."""
    strongest = strongest_behaviours(document)
    rows = []
    for index in strongest:
        effects = [one["effects"][index] for one in document["candidates"]]
        ends = (max(range(len(effects)), key=effects.__getitem__), min(range(len(effects)), key=effects.__getitem__))
        rows.append(
            (
                document["behaviours"][index]["words"],
                f"{document['behaviours'][index]['largest_effect']:.2f}",
                *_ends(document, effects, ends),
            )
        )
    return rows


def strongest_behaviours(document: Document) -> list[int]:
    """Return the indices of the behaviours with the largest effects on any candidate, the strongest first."""
    behaviours = document["behaviours"]
    order = sorted(range(len(behaviours)), key=lambda index: -behaviours[index]["largest_effect"])
    return order[:STRONGEST]


def of_kind(document: Document, kind: str) -> list[int]:
    """Return the indices of the behaviours of one kind, oldest first."""
    return [index for index, one in enumerate(document["behaviours"]) if one["kind"] == kind]


def _ends(document: Document, effects: list[float], ends: tuple[int, int]) -> Iterator[str]:
    for index, sign in zip(ends, (1, -1), strict=True):
        exists = effects[index] * sign > 0
        yield document["candidates"][index]["name"] if exists else "-"
        yield f"{effects[index]:+.2f}" if exists else "-"


def _of_kind(candidate: Mapping[str, Any], kind: str) -> str:
    """Return the effect of all behaviours of a kind on the score."""
    if kind not in candidate["without_kind"]:
        return "-"
    return f"{candidate['score'] - candidate['without_kind'][kind]['score']:+.2f}"
