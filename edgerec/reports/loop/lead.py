"""The top of the report of a loop: the result in one sentence, what was simulated, and the caution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgerec.core.text import counted
from edgerec.reports.metrics import metric
from edgerec.reports.simulated import CAUTION, Lead
from edgerec.reports.uplift import read_uplift

PRIMARY = "click"
"""The metric of the headline, unless the document names another one."""
_TITLE = "Training in rounds in a simulated world"
BEGIN = f"## {_TITLE}"
"""First line of the Markdown."""


def lead(document: Mapping[str, Any]) -> Lead:
    """Return the top of the report of the document of `edgerec loop`."""
    return Lead(_TITLE, headline(document), facts(document), (CAUTION,))


def primary_of(document: Mapping[str, Any]) -> str:
    """Return the key of the primary metric."""
    found: str = document.get("primary") or PRIMARY
    return found


def headline(document: Mapping[str, Any]) -> str:
    """Return the effect of the latest model as one sentence."""
    primary, rounds = primary_of(document), document["rounds"]
    words = metric(primary).words
    if not rounds:
        return "No round is complete, so there is no result."
    latest = rounds[-1]
    against_cloud = read_uplift(latest["uplift"].get(primary))
    if against_cloud.mean is None:
        return f"The effect of the model of round {latest['round']} on {words} was not measured."
    sentence = f"In this simulated world, the model of round {latest['round']} {against_cloud.sentence(words)}"
    sentence += " against the cloud alone"
    against_first = read_uplift((latest["against_first"] or {}).get(primary))
    if against_first.mean is not None:
        sentence += f"; against the model of round {rounds[0]['round']}, it {against_first.sentence(words)}"
    return f"{sentence}."


def facts(document: Mapping[str, Any]) -> list[str]:
    """Return what was simulated, and what drift does to an old model, as sentences."""
    rounds = document["rounds"]
    what = (
        f"{counted(len(rounds), 'round', 'rounds')}. {_first_model(rounds)}; each later one is trained further on logs "
        "of the latest model's devices in the round before. In each round, the same users get the latest model, the "
        "first model, and the cloud alone."
    )
    words = metric(primary_of(document)).words
    ends = [read_uplift((each["first_uplift"] or {}).get(primary_of(document))).mean for each in rounds]
    if len(rounds) < 2 or ends[0] is None or ends[-1] is None:
        return [what]
    old = (
        f"Uplift of {words} by the model of round {rounds[0]['round']}: {100 * ends[0]:+.1f} % in its own round, and "
        f"{100 * ends[-1]:+.1f} % in round {rounds[-1]['round']}. The tables have the intervals."
    )
    return [what, old]


def _first_model(rounds: Sequence[Mapping[str, Any]]) -> str:
    """Return where the first model comes from. The logs that trained a run from outside are not known."""
    logs = (rounds[0]["trained_on"] or {}).get("bucket") if rounds else None
    return "The first model was given" if logs is None else f"The first model is trained on {logs}"
