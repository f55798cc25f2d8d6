"""A re-rank: from a reason to a new order and a row of the logs. On any fault, the present order stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

from edgerec.core.errors import first_line
from edgerec.device_runtime.budget import Budget
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.exploration import Exploration, Explored
from edgerec.device_runtime.feed import Feed
from edgerec.device_runtime.mixing import FeedMixing
from edgerec.device_runtime.offered_page import OfferedPage
from edgerec.device_runtime.personal.ranking import PersonalRanking, PersonalScores
from edgerec.device_runtime.ranker import Scored
from edgerec.device_runtime.serving import ModelServing, best_first
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.rows import StoredRequest
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW

REORDERED, SHADOW, COLLECTED = "reordered", "shadow", "collected"
KEPT = "kept"
MIXED = "mixed"
NOT_MIXED = "reordered, not mixed"


class Reranking:
    """Orders the part of the feed that may move, and records each request.

    Args:
        store: where requests are recorded.
        serving: Model Serving; None in pass-through, where requests are only recorded.
        feed: the present list.
        mixing: mixes the kinds of cards, if the model has rules.
        personal: ranks with the user's patch, if the model has a head for patches.
        config: the configuration of the client.
        new_id: returns a new request ID.
        draw: returns a random number from 0 to below 1, for exploration.
    """

    def __init__(
        self,
        store: BehaviourStore,
        serving: ModelServing | None,
        feed: Feed,
        mixing: FeedMixing,
        personal: PersonalRanking,
        config: ClientConfig,
        new_id: Callable[[], int],
        draw: Callable[[], float],
    ) -> None:
        self._store, self._feed, self._mixing, self._config = store, feed, mixing, config
        self._personal, self._new_id = personal, new_id
        self._exploration = (
            Exploration(config.explore, config.explore_places, config.explore_among, draw) if config.explore else None
        )
        self._budget = Budget(None if config.shadow else config.budget_ms)
        self.use(serving)

    def use(self, serving: ModelServing | None) -> None:
        """Rank with this model from now on."""
        self._serving = serving
        model = None if serving is None else serving.model
        self._mixing.use(model)
        self._personal.use(model)
        most = self._config.fetch if serving is None else serving.model.ranker.limit
        self._most = min(most, self._config.candidates or most)

    def rerank(self, reason: str, context: Mapping[str, Any], time: int, *, refused: str | None = None) -> bool:
        """Rank the candidates, change the order, and record the request. Return whether the order changed.

        Args:
            reason: why, for the logs.
            context: values of the request from the application. A column that it lacks is taken from the page.
            time: the time of the request.
            refused: why the present order should stand; None to rank.

        Raises:
            StoreError: the request cannot be recorded. The order has changed nevertheless.
        """
        page, rows = self._feed.latest, self._feed.candidates(self._most)
        if page is None or not rows:
            return False
        values = self._context(page, context)
        started = perf_counter()
        scored, own, outcome = self._score(page, rows, values, time, refused)
        logits = None if scored is None else scored.logits
        answer = None if own is None else best_first(own.scored.logits)
        shows = outcome == REORDERED
        explored, outcome = self._explore(answer, outcome)
        answer = answer if explored is None else explored.positions
        answer, outcome = self._mix(page, rows, answer, None if own is None else own.scored, time, outcome)
        changed = False
        if answer is not None and shows and not outcome.startswith(KEPT):
            changed = self._feed.reorder(answer)
            self._mixing.showed(page, rows, mixed=outcome.startswith(MIXED))
        self._store.record_request(
            StoredRequest(
                request_id=self._new_id(),
                page_id=page.page_id,
                time=time,
                trigger=reason,
                model_version=None if logits is None or self._serving is None else self._serving.model.version_id,
                item_ids=[page.item_ids[row] for row in rows],
                served=page.served_lists(rows),
                context=values,
                exposures_end=self._store.next_ordinal(EXPOSURE),
                page_views_end=self._store.next_ordinal(PAGE_VIEW),
                outcome=outcome,
                positions=answer,
                scores=None if logits is None else logits.tolist(),
                duration_ms=_ms_since(started),
                propensities=None if explored is None else explored.propensities,
                explored_among=None if explored is None else explored.among,
                personal=None if own is None else own.personal,
                phi=None if own is None else own.phi,
            )
        )
        return changed

    def _score(
        self, page: OfferedPage, rows: list[int], context: Mapping[str, Any], time: int, refused: str | None
    ) -> tuple[Scored | None, PersonalScores | None, str]:
        """Return what the shared model returned, or None; the scores of the user, or None; and the outcome."""
        serving = self._serving
        if serving is None:
            return None, None, COLLECTED
        refused = refused or page.fault or serving.blocked() or self._budget.refusal()
        if refused or page.prepared is None:
            return None, None, f"kept: {refused or 'the page is not prepared'}"
        started = perf_counter()
        try:
            scored = serving.score_cards(page.prepared.take(rows), context=context, time=time)
            own = self._personal.rank(scored)
        except Exception as error:  # Whatever fails, the user keeps the present order.
            return None, None, f"kept: {first_line(error)}"
        late = self._budget.lateness(_ms_since(started))
        if late:
            return scored, own, f"kept: {late}"
        return scored, own, SHADOW if self._config.shadow else REORDERED

    def _mix(
        self,
        page: OfferedPage,
        rows: list[int],
        answer: Sequence[int] | None,
        scored: Scored | None,
        time: int,
        outcome: str,
    ) -> tuple[Sequence[int] | None, str]:
        """Return the mixed order and the outcome. On any fault, the order of the re-rank stands."""
        if not self._mixing.is_on or answer is None or scored is None or outcome not in (REORDERED, SHADOW):
            return answer, outcome
        try:
            mixed, reason = self._mixing.mix(page, rows, answer, scored, time)
        except Exception as error:  # Whatever fails, the user gets the order of the model.
            mixed, reason = None, first_line(error)
        if mixed is None:
            return answer, outcome if outcome == SHADOW else f"{NOT_MIXED}: {reason}"
        answer = [answer[index] for index in mixed.order.tolist()]
        if outcome == SHADOW:
            return answer, outcome
        return answer, f"{MIXED}, without: {', '.join(mixed.relaxed)}" if mixed.relaxed else MIXED

    def _explore(self, answer: Sequence[int] | None, outcome: str) -> tuple[Explored | None, str]:
        """Return the explored order, or None, and the outcome.

        A mixed order is not explored: the probability of a card at a place would not be that of the exploration.
        """
        if self._exploration is None or answer is None or outcome != REORDERED or self._mixing.is_on:
            return None, outcome
        try:
            return self._exploration.of(answer), outcome
        except Exception as error:  # `draw` may be a function of the application.
            return None, f"kept: {first_line(error)}"

    def _context(self, page: OfferedPage, given: Mapping[str, Any]) -> dict[str, Any]:
        values = {**page.context, **given}
        if self._serving is None:
            return values
        return {name: values.get(name) for name in self._serving.model.candidates.context_columns}


def _ms_since(started: float) -> float:
    return (perf_counter() - started) * 1000
