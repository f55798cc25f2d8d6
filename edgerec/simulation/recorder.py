"""The log writer of the simulated app: rows of behaviours and requests, and the truth kept apart."""

from __future__ import annotations

from typing import Any

import polars as pl

from edgerec.simulation.behaviour import ACTIONS, Exposure, PageView

MODEL_VERSION = "base"
"""Who ordered the lists: the cloud's initial ranking, no re-ranker."""

_BEHAVIOUR: dict[str, Any] = {
    "user_id": pl.Int64,
    "time": pl.Int64,
    "kind": pl.String,
    "item_id": pl.Int64,
    "score": pl.Float64,
    "time_decay_s": pl.Float64,
}
_EXPOSURE: dict[str, Any] = _BEHAVIOUR | {
    "exposure_duration_s": pl.Float64,
    "exposure_count": pl.Int64,
    "scroll_speed": pl.Float64,
    "scroll_duration_s": pl.Float64,
    "scroll_count": pl.Int64,
    "delete_reason": pl.String,
}
_PAGE_VIEW: dict[str, Any] = _BEHAVIOUR | {"page_duration_s": pl.Float64} | dict.fromkeys(ACTIONS, pl.Int8)
_REQUEST: dict[str, Any] = {
    "user_id": pl.Int64,
    "time": pl.Int64,
    "trigger": pl.String,
    "model_version": pl.String,
    "item_id": pl.List(pl.Int64),
    "clicked": pl.List(pl.Int8),
    "score": pl.List(pl.Float64),
    "probability": pl.List(pl.Float64),
    "probability_exposed": pl.List(pl.Float64),
}
TRUTH = ("probability", "probability_exposed")
"""Columns of requests that no app could know."""


class Recorder:
    """Collects rows of all users and makes tables of them."""

    def __init__(self) -> None:
        self._exposures: list[tuple[Any, ...]] = []
        self._page_views: list[tuple[Any, ...]] = []
        self._requests: list[tuple[Any, ...]] = []
        self._last: dict[tuple[int, str], int] = {}

    def exposure(self, user: int, time: int, item: int, seen: Exposure, *, score: float) -> None:
        """Log an exposure that was complete at `time` (milliseconds since 1970)."""
        self._exposures.append(
            (
                user,
                time,
                "exposure",
                item,
                score,
                self._decay(user, "exposure", time),
                seen.duration_s,
                seen.count,
                seen.scroll_speed,
                seen.scroll_duration_s,
                seen.scroll_count,
                seen.delete_reason,
            )
        )

    def page_view(self, user: int, time: int, item: int, view: PageView, *, score: float) -> None:
        """Log a page-view that was complete at `time`."""
        decay = self._decay(user, "page_view", time)
        self._page_views.append((user, time, "page_view", item, score, decay, view.duration_s, *view.actions))

    def request(
        self,
        user: int,
        time: int,
        *,
        trigger: str,
        items: list[int],
        scores: list[float],
        labels: list[int],
        known: list[float],
        met: list[float],
    ) -> None:
        """Log a re-rank opportunity; one of which no item was exposed is dropped.

        Args:
            user: identity.
            time: milliseconds since 1970.
            trigger: why the list was (re-)ordered.
            items: (n,), identities on offer, in order.
            scores: (n,), as served.
            labels: (at most n,), 0 or 1 for the items exposed before the next request: the first ones.
            known: (n,), true click probabilities at `time`.
            met: as `labels`, true click probabilities at the instant of exposure.
        """
        if not labels:
            return
        unseen = [None] * (len(items) - len(labels))
        row = (user, time, trigger, MODEL_VERSION, items, labels + unseen, scores, known, met + unseen)
        self._requests.append(row)

    def events(self) -> pl.DataFrame:
        """Behaviours in order of user and time, columns of the other kind empty."""
        parts = [
            pl.DataFrame(self._exposures, schema=_EXPOSURE, orient="row"),
            pl.DataFrame(self._page_views, schema=_PAGE_VIEW, orient="row"),
        ]
        # The app's clock ticks in milliseconds: no digit beyond them is a measurement.
        seconds = pl.col("^.*(_s|_speed)$").round(3)
        return pl.concat(parts, how="diagonal").sort("user_id", "time").with_columns(seconds)

    def requests(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Requests in order of time, numbered in it from 1; and the truth about them, by `request_id`."""
        table = pl.DataFrame(self._requests, schema=_REQUEST, orient="row").sort("time", "user_id")
        table = table.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("request_id"))
        truth = table.select("request_id", *TRUTH)
        return table.select("request_id", pl.exclude("request_id", *TRUTH)), truth

    def _decay(self, user: int, kind: str, time: int) -> float | None:
        """Seconds since the user's previous event of `kind`; None for the first (e7, d12)."""
        last = self._last.get((user, kind))
        self._last[user, kind] = time
        return None if last is None else (time - last) / 1000
