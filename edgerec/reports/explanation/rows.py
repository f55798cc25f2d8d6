"""The rows of the tables of `edgerec explain`, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

Document = Mapping[str, Any]

CANDIDATE_HEADS = ("position", "item", "sent at", "no behaviour", "click", "clicked", "exposures", "page-views")
CANDIDATE_NOTE = (
    "Position: in the order of the device. Sent at: in the list that the device got. No behaviour: where the device "
    "would put it for a user without behaviours. Click: the click probability of the model. The last two columns: "
    "what all exposures, and all page-views, add to the score (in logits)."
)
BEHAVIOUR_HEADS = ("behaviour", "raises most", "lowers most")
REASON_HEADS = ("logits", "click", "than others", "behaviour", "position without")
"""Effect in logits and in points of click probability, effect minus its mean over all candidates, the behaviour, and
the position without it."""
STRONGEST = 8
"""Number of behaviours in the table of behaviours."""
LEAST = 0.005
"""Smaller effects are left out of this table: two digits would show them as 0."""
KINDS = {"exposure": "exposures", "page_view": "page-views"}
NOTHING = "-"


def signed(value: float, digits: int = 2) -> str:
    """Return a rounded number with its sign. Zero has none."""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


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
        rows.append(("difference to logged scores", f"{document['logged_scores']['max_abs']:.1e}"))
    return rows


def shown_candidates(document: Document) -> list[Mapping[str, Any]]:
    """Return the candidates to show, best first."""
    return [document["candidates"][index] for index in document["shown"]]


def explained_candidates(document: Document) -> list[Mapping[str, Any]]:
    """Return the candidates to show, those that the user clicked first."""
    return sorted(shown_candidates(document), key=lambda one: not one["clicked"])


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


def reason_rows(document: Document, candidate: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the strongest behaviours for and against a candidate. The columns are `REASON_HEADS`."""
    return [
        (
            signed(part["logits"]),
            f"{signed(part['points'], 1)} points",
            signed(part["relative"]),
            document["behaviours"][part["behaviour"]]["words"],
            str(part["rank_without"]),
        )
        for part in (*candidate["for"], *candidate["against"])
    ]


def behaviour_rows(document: Document) -> list[tuple[str, str, str]]:
    """Return a row for each of the strongest behaviours: which candidates it raises and lowers most."""
    rows = []
    for index in strongest_behaviours(document):
        effects = [(one["effects"][index], one["name"]) for one in document["candidates"]]
        raised, lowered = max(effects, key=lambda one: one[0]), min(effects, key=lambda one: one[0])
        rows.append(
            (
                document["behaviours"][index]["words"],
                f"{raised[1]} {signed(raised[0])}" if raised[0] >= LEAST else NOTHING,
                f"{lowered[1]} {signed(lowered[0])}" if lowered[0] <= -LEAST else NOTHING,
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


def _of_kind(candidate: Mapping[str, Any], kind: str) -> str:
    """Return the effect of all behaviours of a kind on the score."""
    if kind not in candidate["without_kind"]:
        return NOTHING
    return signed(candidate["score"] - candidate["without_kind"][kind]["score"])
