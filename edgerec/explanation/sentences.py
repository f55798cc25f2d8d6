"""Short sentences: what a behaviour was, and why a candidate is where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgerec.explanation.words import ago
from edgerec.features.behaviours import EXPOSURE, BehaviourKind

SMALL = 0.05
"""Logits. A sentence calls no smaller effect a reason: it changes a click probability by at most 1.25 points."""


def behaviour_sentence(kind: BehaviourKind, name: str, seconds: float, actions: Sequence[str]) -> str:
    """Return for example ``opened item 88 (category 4) 40 s ago: stayed 35 s, read comments``."""
    said = f"{'saw' if kind is EXPOSURE else 'opened'} {name} {ago(seconds)}"
    return f"{said}: {', '.join(actions)}" if actions else said


def candidate_sentences(
    candidate: Mapping[str, Any], behaviours: Sequence[Mapping[str, Any]], *, candidates: int
) -> str:
    """Return why a candidate is where it is.

    The behaviour that is named is the one with the largest effect in the direction of the move. Its effect is exact:
    the sentence says where the candidate would be without it.

    Args:
        candidate: a candidate of the document (`edgerec.explanation.document`).
        behaviours: the behaviours of the document.
        candidates: number of candidates.
    """
    rank, sent, without = candidate["rank"], candidate["sent_at"], candidate["without_behaviours"]["rank"]
    move = "rose" if rank < sent else "fell"
    name = _capital(candidate["name"])
    moved = f"{name} stays at position {rank}" if rank == sent else f"{name} {move} from position {sent} to {rank}"
    first = f"{moved} of {candidates}."
    if not behaviours:
        return f"{first} The user has no behaviour yet."
    alone = "the same" if without == rank else str(without)
    together = f" Without any behaviour of the user, its position would be {alone}."
    reason = _reason(candidate, rank - sent)
    if reason is None:
        return f"{first} No single behaviour changes its score much.{together}"
    words = behaviours[reason["behaviour"]]["words"]
    direction = "raises" if reason["logits"] > 0 else "lowers"
    alone = "the same" if reason["rank_without"] == rank else str(reason["rank_without"])
    return (
        f"{first} What {direction} its score most: the user {words} ({reason['points']:+.1f} points of click "
        f"probability; without that, its position would be {alone}).{together}"
    )


def _reason(candidate: Mapping[str, Any], moved: int) -> Mapping[str, Any] | None:
    """Return the strongest effect in the direction of the move, or None if it is small."""
    raising, lowering = candidate["for"][:1], candidate["against"][:1]
    if moved < 0:
        found = raising
    elif moved > 0:
        found = lowering
    else:
        found = sorted(raising + lowering, key=lambda one: -abs(one["logits"]))[:1]
    return found[0] if found and abs(found[0]["logits"]) >= SMALL else None


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
