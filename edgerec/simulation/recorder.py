"""The log recorder of the simulated app. It makes tables of behaviours, requests and true click probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.errors import ConfigurationError
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW, BehaviourKind
from edgerec.simulation.actions import ACTIONS, REASONS, Exposures, PageViews
from edgerec.simulation.cloud import Pages
from edgerec.simulation.world import Floats, Ints

MODEL_VERSION = "base"
"""The model version in simulated logs. No model re-ranks the lists: they are in the cloud's initial order."""
MAX_REQUESTS = 1_000_000
"""A user must have fewer requests than this. Request ``n`` of user ``u`` has the ID ``u * MAX_REQUESTS + n``."""

TRIGGERS = ("page", "click", "delete", "exposures")
PAGE, CLICK, DELETE, EXPOSURES = range(4)
NO_TRIGGER = -1
KIND_PROPENSITIES = "kind_propensities"
"""Column of the requests of a mixed world: the probability with which each place got its kind of card."""
MIXED_TRUTH = ("neighbours", "attention")
"""Columns of the truth of a mixed world: the logits that are added to those of a card by the cards before it, and by
its place."""
OPENED_FROM = ("feed", "search")
FEED, SEARCH = range(2)

Rows = dict[str, NDArray[Any]]
NOT_MIXED: Mapping[str, Floats] = {}


@dataclass(frozen=True)
class Tables:
    """The recorded tables of a group of users, each sorted by user and time.

    Attributes:
        events: exposures and page-views. Columns of the other kind of behaviour are null.
        requests: re-rank requests.
        truth: `request_id` and `probability`, the click probability of each candidate if it were exposed at the time of
            the request. A mixed world has `MIXED_TRUTH`, too.
        truth_exposures: `user_id`, `time`, `item_id` and `probability`, the click probability at each exposure. A mixed
            world has `MIXED_TRUTH` and `leaving`, too: the probability of leaving after the exposure.
    """

    events: pl.DataFrame
    requests: pl.DataFrame
    truth: pl.DataFrame
    truth_exposures: pl.DataFrame


class Recorder:
    """Collects the behaviours and requests of many users and returns them as tables."""

    def __init__(self, item_id: Ints, user_id: Ints, *, mixed: bool = False) -> None:
        """Args:
        item_id: (items,), the ID of each row of the catalogue.
        user_id: (users,), the ID of each user.
        mixed: whether the world is mixed.
        """
        self._item_id, self._user_id = item_id, user_id
        self._truth = ("probability", *MIXED_TRUTH) if mixed else ("probability",)
        self._served = (KIND_PROPENSITIES,) if mixed else ()
        self._exposed = (*MIXED_TRUTH, "leaving") if mixed else ()
        self._exposures: list[Rows] = []
        self._page_views: list[Rows] = []
        self._requests: list[Rows] = []
        self._lists: list[Rows] = []
        self._open_requests: list[tuple[Rows, Mapping[str, Floats]]] = []

    def exposures(
        self,
        who: Ints,
        time: Ints,
        items: Ints,
        scores: Floats,
        actions: Exposures,
        *,
        looks: Ints,
        probability: Floats,
        mixed: Mapping[str, Floats] = NOT_MIXED,
    ) -> None:
        """Record one exposure for each user of `who` (n,); all arrays are (n,).

        Args:
            who: row indices of the users.
            time: end of the exposure in milliseconds since 1970.
            items: row indices of the catalogue.
            scores: the served scores.
            actions: what the users did.
            looks: how often the item has come into view so far, including this exposure.
            probability: true click probability.
            mixed: in a mixed world, `MIXED_TRUTH` and `leaving`.
        """
        rows: Rows = {
            "user": who,
            "time": time,
            "item": items,
            "score": scores,
            "probability": probability,
            "looks": looks,
        }
        self._exposures.append(rows | {name: getattr(actions, name) for name in _ACTION_COLUMNS} | dict(mixed))

    def page_views(
        self, who: Ints, time: Ints, items: Ints, scores: Floats, views: PageViews, opened_from: int
    ) -> None:
        """Record one page-view for each user. `time` is its end. A score is NaN if the feed did not serve the item."""
        origin = np.full(len(who), opened_from, np.int8)
        rows: Rows = {"user": who, "time": time, "item": items, "score": scores, "opened_from": origin}
        self._page_views.append(rows | {"duration_s": views.duration_s, "actions": views.actions})

    def requests(
        self, rows: Ints, who: Ints, time: Ints, position: int, trigger: Ints, truth: Mapping[str, Floats]
    ) -> None:
        """Record re-rank requests for the items from `position` on. Call `end_pages` when the pages end.

        Args:
            rows: (r,), ascending row indices of the pages.
            who: (r,), row indices of the users.
            time: (r,), milliseconds since 1970.
            position: index of the first candidate on each page.
            trigger: (r,), indices into `TRIGGERS`.
            truth: (r, k - position), true click `probability` at `time`, and in a mixed world `MIXED_TRUTH`.
        """
        request_rows = {
            "row": rows,
            "user": who,
            "time": time,
            "trigger": trigger,
            "position": np.full(len(rows), position),
        }
        self._open_requests.append((request_rows, truth))

    def end_pages(self, pages: Pages, label: NDArray[np.int8]) -> None:
        """Label the recorded requests of `pages`. In `label` (n, k), 1 is clicked, 0 not clicked, -1 not exposed."""
        if not self._open_requests:
            return
        batches, self._open_requests = self._open_requests, []
        request_rows = _concatenate([rows for rows, _ in batches])
        truth = {name: np.zeros((len(request_rows["row"]), pages.items.shape[1]), np.float32) for name in self._truth}
        done = 0
        for rows, batch in batches:
            end = done + len(rows["row"])
            for name, values in truth.items():
                values[done:end, rows["position"][0] :] = batch[name]
            done = end
        length = pages.length[request_rows["row"]] - request_rows["position"]
        request = np.repeat(np.arange(len(length)), length)
        position = np.arange(len(request)) - np.repeat(np.cumsum(length) - length - request_rows["position"], length)
        page = request_rows["row"][request]
        self._requests.append(
            {
                "user": request_rows["user"],
                "time": request_rows["time"],
                "trigger": request_rows["trigger"],
                "n": length,
            }
        )
        self._lists.append(
            {
                "item": pages.items[page, position],
                "label": label[page, position],
                "score": pages.scores[page, position],
                **({} if pages.propensities is None else {KIND_PROPENSITIES: pages.propensities[page, position]}),
                **{name: values[request, position] for name, values in truth.items()},
            }
        )

    def tables(self) -> Tables:
        """Return all recorded rows as tables.

        Raises:
            ConfigurationError: a user has `MAX_REQUESTS` or more requests.
        """
        exposures, truth_exposures = self._exposure_tables()
        events = pl.concat([exposures, self._page_view_table()], how="diagonal").sort("user_id", "time")
        requests = self._request_table()
        truth = requests.select("request_id", *self._truth)
        return Tables(events, requests.drop(self._truth), truth, truth_exposures)

    def _exposure_tables(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        types = _EXPOSURE_TYPES | dict.fromkeys(self._exposed, np.float32)
        rows = _sorted_by_time(_concatenate(self._exposures, types=types))
        common = self._common(rows, EXPOSURE)
        actions: dict[str, Any] = {
            "exposure_duration_s": _rounded(rows["duration_s"]),
            "exposure_count": rows["looks"].astype(np.int32),
            "scroll_speed": _rounded(rows["scroll_speed"]),
            "scroll_duration_s": _rounded(rows["scroll_duration_s"]),
            "scroll_count": rows["scroll_count"].astype(np.int16),
            "delete_reason": _decode(rows["reason"], REASONS),
        }
        table = pl.DataFrame(common | actions)
        truth = [pl.Series(name, rows[name]) for name in ("probability", *self._exposed)]
        return table, table.select("user_id", "time", "item_id").with_columns(truth)

    def _page_view_table(self) -> pl.DataFrame:
        rows = _sorted_by_time(_concatenate(self._page_views, types=_PAGE_VIEW_TYPES))
        actions = {name: rows["actions"][:, position] for position, name in enumerate(ACTIONS)}
        return pl.DataFrame(
            self._common(rows, PAGE_VIEW)
            | {"opened_from": _decode(rows["opened_from"], OPENED_FROM)}
            | {"page_duration_s": _rounded(rows["duration_s"])}
            | actions
        )

    def _common(self, rows: Rows, kind: BehaviourKind) -> dict[str, Any]:
        same = np.diff(rows["user"], prepend=-1) == 0
        decay = np.where(same, np.diff(rows["time"], prepend=0) / 1000, np.nan)
        return {
            "user_id": self._user_id[rows["user"]],
            "time": rows["time"],
            "kind": pl.repeat(kind.name, len(same), eager=True),
            "item_id": self._item_id[rows["item"]],
            "score": _nullable(rows["score"]),
            "time_decay_s": _nullable(decay),
        }

    def _request_table(self) -> pl.DataFrame:
        rows, lists = (
            _concatenate(self._requests, types=_REQUEST_TYPES),
            _concatenate(
                self._lists, types=_CANDIDATE_TYPES | dict.fromkeys((*self._served, *self._truth), np.float32)
            ),
        )
        labels = pl.Series(lists["label"])
        candidates = pl.DataFrame(
            {
                "request": np.repeat(np.arange(len(rows["n"])), rows["n"]),
                "item_id": self._item_id[lists["item"]],
                "clicked": labels.set(labels < 0, None),
                **{name: lists[name] for name in ("score", *self._served, *self._truth)},
            }
        )
        grouped = candidates.with_columns(pl.col("request").set_sorted()).group_by("request", maintain_order=True)
        request_rows = pl.DataFrame(
            {
                "user_id": self._user_id[rows["user"]],
                "time": rows["time"],
                "trigger": _decode(rows["trigger"], TRIGGERS),
                "model_version": pl.repeat(MODEL_VERSION, len(rows["n"]), eager=True),
            }
        )
        table = request_rows.hstack(grouped.agg(pl.exclude("request")).drop("request")).sort("user_id", "time")
        number = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("user_id")
        table = table.with_columns(number=number)
        largest = cast(int, table["number"].max() or 0)
        if largest >= MAX_REQUESTS:
            raise ConfigurationError(
                f"simulation: each user should have fewer than {MAX_REQUESTS:,} requests; one has {largest:,}. "
                "Lower days, sessions_per_user or pages"
            )
        table = table.with_columns(request_id=pl.col("user_id") * MAX_REQUESTS + pl.col("number")).drop("number")
        page = pl.when(pl.col("trigger") == TRIGGERS[PAGE]).then("request_id").forward_fill()
        return table.select("request_id", page.alias("page_id"), pl.exclude("request_id"))


_ACTION_COLUMNS = ("duration_s", "scroll_speed", "scroll_duration_s", "scroll_count", "reason")
_COMMON_TYPES = {"user": np.int64, "time": np.int64, "item": np.int64, "score": np.float32}
_EXPOSURE_TYPES: dict[str, Any] = _COMMON_TYPES | {
    "probability": np.float32,
    "looks": np.int64,
    "duration_s": np.float32,
    "scroll_speed": np.float32,
    "scroll_duration_s": np.float32,
    "scroll_count": np.int64,
    "reason": np.int8,
}
_PAGE_VIEW_TYPES: dict[str, Any] = _COMMON_TYPES | {
    "opened_from": np.int8,
    "duration_s": np.float32,
    "actions": np.dtype((np.int8, len(ACTIONS))),
}
_REQUEST_TYPES: dict[str, Any] = {"user": np.int64, "time": np.int64, "trigger": np.int64, "n": np.int64}
_CANDIDATE_TYPES: dict[str, Any] = {"item": np.int64, "label": np.int8, "score": np.float32}


def _concatenate(parts: Sequence[Rows], types: Mapping[str, Any] | None = None) -> Rows:
    """Concatenate the columns of all `parts`. Without parts, return empty columns of the given `types`."""
    if not parts:
        return {name: np.zeros(0, dtype) for name, dtype in (types or {}).items()}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _sorted_by_time(rows: Rows) -> Rows:
    """Return `rows` sorted by user and time."""
    order = np.lexsort((rows["time"], rows["user"]))
    return {name: column[order] for name, column in rows.items()}


def _decode(codes: NDArray[Any], names: Sequence[str]) -> pl.Series:
    return pl.Series(names).gather(codes)


def _rounded(values: Floats) -> Floats:
    """Round to three decimals, because the app measures time in milliseconds."""
    rounded: Floats = values.astype(np.float64).round(3).astype(np.float32)
    return rounded


def _nullable(values: NDArray[Any]) -> pl.Series:
    return pl.Series(values.astype(np.float32)).fill_nan(None)
