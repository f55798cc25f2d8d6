"""`edgerec mix evaluate`: click rates with and without surroundings, by kind and by the kind of the card before."""

from __future__ import annotations

from typing import Any

from edgerec.data.samples import Samples
from edgerec.model.evaluation import scorer, scorer_in_list
from edgerec.model.plugin_layers import graphs_of
from edgerec.model.run_head import check_samples
from edgerec.model.runs import Run
from edgerec.model.surroundings.document import comparison
from edgerec.model.surroundings.shown import logits_of, shown_cards

IN_LIST, RELEVANCE = "in_list", "relevance"


def evaluate_in_list(run: Run, samples: Samples, *, split: str) -> dict[str, Any]:
    """Return the document of `edgerec mix evaluate`. Its two "models" are `in_list` and `relevance` of one run.

    Raises:
        ConfigurationError: the samples have no kinds of cards.
        SpecificationError: the samples have other features, vocabularies or limits than the run.
        InputError: the split has no clicked or no unclicked card.
        FormatError: a shard is missing or damaged.
    """
    check_samples(run.head, run.vocabularies, samples)
    cards = shown_cards(samples, split)
    with graphs_of(run.model):
        logits = {
            IN_LIST: [logits_of(scorer_in_list(run.model), samples, split, cards, what="in the list")],
            RELEVANCE: [logits_of(scorer(run.model), samples, split, cards, what="relevance")],
        }
    head = {"version_id": run.head.version_id, "model": run.head.config.model, "split": split}
    return {**head, **comparison(cards, logits, reference=IN_LIST)}
