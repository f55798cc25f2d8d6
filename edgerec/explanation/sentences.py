"""Short sentences: what a behaviour was, and why a candidate is where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgerec.core.text import counted
from edgerec.explanation.probability import points
from edgerec.explanation.words import ago
from edgerec.features.behaviours import EXPOSURE, BehaviourKind

Part = Mapping[str, Any]


def behaviour_sentence(kind: BehaviourKind, name: str, seconds: float, actions: Sequence[str]) -> str:
    """Return for example ``opened item 88 (category 4) 40 s ago: stayed 35 s, read comments``."""
    said = f"{'saw' if kind is EXPOSURE else 'opened'} {name} {ago(seconds)}"
    return f"{said}: {', '.join(actions)}" if actions else said


def candidate_sentences(candidate: Part, behaviours: Sequence[Part], groups: Sequence[Part], *, candidates: int) -> str:
    """Return why a candidate is where it is.

    Each position is exact: that of the candidate if the device had never recorded these behaviours. The category that
    is named is the one that changes the position most, in the direction in which all behaviours together change it.

    Args:
        candidate: a candidate of the document (`edgerec.explanation.document`).
        behaviours: the behaviours of the document.
        groups: the groups of the document.
        candidates: number of candidates.
    """
    rank, sent, without = candidate["rank"], candidate["sent_at"], candidate["without_behaviours"]["rank"]
    name = candidate["name"][:1].upper() + candidate["name"][1:]
    if rank == sent:
        moved = f"{name} stays at position {rank} of {candidates}."
    else:
        moved = f"{name} {'rose' if rank < sent else 'fell'} from position {sent} to {rank} of {candidates}."
    if without == rank:
        return f"{moved} Without the user's behaviours, it would be there, too."
    sign = 1 if without > rank else -1
    together = f"{moved} Without the user's behaviours, it would be at {without}."
    group, single = _group(candidate, groups, sign), _single(candidate, behaviours, groups, sign)
    if group is None and single is None:
        return f"{together} No single category or behaviour decides this."
    return together + "".join(part for part in (group, single) if part is not None)


def _group(candidate: Part, groups: Sequence[Part], sign: int) -> str | None:
    """Return the sentence on the category that changes the position most, or None if none changes it so."""
    index = _best_group(candidate, sign)
    if index is None:
        return None
    members, name = groups[index]["behaviours"], groups[index]["name"]
    only, did = len(members) == 1, "raised" if sign > 0 else "lowered"
    return (
        f" {counted(len(members), 'behaviour', 'behaviours')} with {name} {did} it most: without "
        f"{'it' if only else 'them'}, it would be at {candidate['groups'][index]['rank_without']}."
    )


def _best_group(candidate: Part, sign: int) -> int | None:
    """Return the index of the group without which the candidate would move most against `sign`."""
    rank = candidate["rank"]
    moves = [(sign * (one["rank_without"] - rank), sign * one["effect"]) for one in candidate["groups"]]
    best = max(range(len(moves)), key=moves.__getitem__, default=None)
    return None if best is None or moves[best][0] <= 0 else best


def _single(candidate: Part, behaviours: Sequence[Part], groups: Sequence[Part], sign: int) -> str | None:
    """Return the sentence on the strongest single behaviour of that category, or of all without a category."""
    index = _best_group(candidate, sign)
    among = range(len(behaviours)) if index is None else groups[index]["behaviours"]
    effects, rank = candidate["effects"], candidate["rank"]
    best = max(among, key=lambda column: sign * effects[column], default=None)
    if best is None or sign * effects[best] <= 0:
        return None
    without = candidate["ranks_without"][best]
    if index is None and sign * (without - rank) <= 0:
        return None
    changed = points(candidate["score"], candidate["score"] - effects[best])
    alone = "" if index is not None and len(among) == 1 else f"; without this alone, it would be at {without}"
    start = "The strongest: the user" if index is not None and len(among) > 1 else "The user"
    return f" {start} {behaviours[best]['words']} ({changed:+.1f} points of click probability{alone})."
