"""The log writer of the simulated app: rows of behaviours and requests, and the truth kept apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.errors import ConfigurationError
from edgerec.simulation.cloud import Pages
from edgerec.simulation.users import ACTIONS, REASONS, Exposures, PageViews
from edgerec.simulation.world import Floats, Ints

MODEL_VERSION = "base"
"""Who ordered the lists: the cloud's initial ranking, no re-ranker."""
MAX_REQUESTS = 1_000_000
"""Of one user: request ``n`` of user ``u`` has the identity ``u * MAX_REQUESTS + n``."""

TRIGGERS = ("page", "click", "delete", "exposures")
PAGE, CLICK, DELETE, EXPOSURES = range(4)
NO_TRIGGER = -1
OPENED_FROM = ("feed", "search")
FEED, SEARCH = range(2)

Rows = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Tables:
    """What was recorded of some users, each table in order of user and time.

    Attributes:
        events: behaviours, columns of the other kind empty.
        requests: re-rank opportunities.
        truth: `request_id` and `probability` of a click on each candidate, were it exposed at the request's instant.
        truth_exposures: `user_id`, `time`, `item_id` and `probability` of a click at the instant of each exposure.
    """

    events: pl.DataFrame
    requests: pl.DataFrame
    truth: pl.DataFrame
    truth_exposures: pl.DataFrame


class Recorder:
    """Collects rows, many users at a time, and makes tables of them."""

    def __init__(self, item_id: Ints, user_id: Ints) -> None:
        """Args:
        item_id: identity of each row of the catalogue.
        user_id: identity of each user.
        """
        self._item_id, self._user_id = item_id, user_id
        self._exposures: list[Rows] = []
        self._page_views: list[Rows] = []
        self._requests: list[Rows] = []
        self._lists: list[Rows] = []
        self._asked: list[tuple[Rows, Floats]] = []

    def exposures(
        self, who: Ints, time: Ints, items: Ints, scores: Floats, met: Exposures, *, looks: Ints, probability: Floats
    ) -> None:
        """Log an exposure each of users `who` (n,), complete at `time` (n,), milliseconds since 1970.

        Args:
            who: rows of users.
            time: when.
            items: rows of the catalogue.
            scores: as served.
            met: what the users did.
            looks: times the item came into view, this time included.
            probability: true probability of the click.
        """
        rows: Rows = {
            "user": who,
            "time": time,
            "item": items,
            "score": scores,
            "probability": probability,
            "looks": looks,
        }
        self._exposures.append(rows | {name: getattr(met, name) for name in _MET})

    def page_views(
        self, who: Ints, time: Ints, items: Ints, scores: Floats, views: PageViews, opened_from: int
    ) -> None:
        """Log a page-view each, complete at `time`; `scores` are NaN where the feed did not serve the item."""
        origin = np.full(len(who), opened_from, np.int8)
        rows: Rows = {"user": who, "time": time, "item": items, "score": scores, "opened_from": origin}
        self._page_views.append(rows | {"duration_s": views.duration_s, "actions": views.actions})

    def requests(self, rows: Ints, who: Ints, time: Ints, place: int, trigger: Ints, known: Floats) -> None:
        """Log re-rank opportunities over the rest of some of the pages that `end_pages` will be called for next.

        Args:
            rows: (r,), the pages, in order.
            who: (r,), rows of the users.
            time: (r,), milliseconds since 1970.
            place: of the next item on each page: where the rest begins.
            trigger: (r,), indices into `TRIGGERS`.
            known: (r, k - place), true click probabilities now.
        """
        asked = {"row": rows, "user": who, "time": time, "trigger": trigger, "place": np.full(len(rows), place)}
        self._asked.append((asked, known))

    def end_pages(self, pages: Pages, label: NDArray[np.int8]) -> None:
        """Take in what became of the pages: `label` (n, k), 1 clicked, 0 exposed without click, -1 not exposed."""
        if not self._asked:
            return
        batches, self._asked = self._asked, []
        asked = _joined([rows for rows, _ in batches])
        known = np.zeros((len(asked["row"]), pages.items.shape[1]), np.float32)
        done = 0
        for rows, found in batches:
            known[done : done + len(found), rows["place"][0] :] = found
            done += len(found)
        length = pages.length[asked["row"]] - asked["place"]
        request = np.repeat(np.arange(len(length)), length)
        place = np.arange(len(request)) - np.repeat(np.cumsum(length) - length - asked["place"], length)
        page = asked["row"][request]
        self._requests.append({"user": asked["user"], "time": asked["time"], "trigger": asked["trigger"], "n": length})
        self._lists.append(
            {
                "item": pages.items[page, place],
                "label": label[page, place],
                "score": pages.scores[page, place],
                "probability": known[request, place],
            }
        )

    def tables(self) -> Tables:
        """All that was recorded.

        Raises:
            ConfigurationError: a user has more requests than identities.
        """
        exposures, truth_exposures = self._exposure_tables()
        events = pl.concat([exposures, self._page_view_table()], how="diagonal").sort("user_id", "time")
        requests = self._request_table()
        truth = requests.select("request_id", "probability")
        return Tables(events, requests.drop("probability"), truth, truth_exposures)

    def _exposure_tables(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        rows = _in_time(_joined(self._exposures, like=_EXPOSED))
        common = self._common(rows, "exposure")
        actions: dict[str, Any] = {
            "exposure_duration_s": _rounded(rows["duration_s"]),
            "exposure_count": rows["looks"].astype(np.int32),
            "scroll_speed": _rounded(rows["scroll_speed"]),
            "scroll_duration_s": _rounded(rows["scroll_duration_s"]),
            "scroll_count": rows["scroll_count"].astype(np.int16),
            "delete_reason": _named(rows["reason"], REASONS),
        }
        table = pl.DataFrame(common | actions)
        probability = pl.Series("probability", rows["probability"])
        return table, table.select("user_id", "time", "item_id").with_columns(probability)

    def _page_view_table(self) -> pl.DataFrame:
        rows = _in_time(_joined(self._page_views, like=_VIEWED))
        actions = {name: rows["actions"][:, place] for place, name in enumerate(ACTIONS)}
        return pl.DataFrame(
            self._common(rows, "page_view")
            | {"opened_from": _named(rows["opened_from"], OPENED_FROM)}
            | {"page_duration_s": _rounded(rows["duration_s"])}
            | actions
        )

    def _common(self, rows: Rows, kind: str) -> dict[str, Any]:
        same = np.diff(rows["user"], prepend=-1) == 0
        decay = np.where(same, np.diff(rows["time"], prepend=0) / 1000, np.nan)
        return {
            "user_id": self._user_id[rows["user"]],
            "time": rows["time"],
            "kind": pl.repeat(kind, len(same), eager=True),
            "item_id": self._item_id[rows["item"]],
            "score": _nullable(rows["score"]),
            "time_decay_s": _nullable(decay),
        }

    def _request_table(self) -> pl.DataFrame:
        rows, lists = _joined(self._requests, like=_ASKED), _joined(self._lists, like=_LISTED)
        labels = pl.Series(lists["label"])
        candidates = pl.DataFrame(
            {
                "request": np.repeat(np.arange(len(rows["n"])), rows["n"]),
                "item_id": self._item_id[lists["item"]],
                "clicked": labels.set(labels < 0, None),
                "score": lists["score"],
                "probability": lists["probability"],
            }
        )
        offered = candidates.with_columns(pl.col("request").set_sorted()).group_by("request", maintain_order=True)
        asked = pl.DataFrame(
            {
                "user_id": self._user_id[rows["user"]],
                "time": rows["time"],
                "trigger": _named(rows["trigger"], TRIGGERS),
                "model_version": pl.repeat(MODEL_VERSION, len(rows["n"]), eager=True),
            }
        )
        table = asked.hstack(offered.agg(pl.exclude("request")).drop("request")).sort("user_id", "time")
        number = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("user_id")
        table = table.with_columns(number=number)
        most = cast(int, table["number"].max() or 0)
        if most >= MAX_REQUESTS:
            raise ConfigurationError(
                f"simulation: a user makes {most:,} requests, and identities are for fewer than {MAX_REQUESTS:,}: "
                "lower days, sessions_per_user or pages"
            )
        table = table.with_columns(request_id=pl.col("user_id") * MAX_REQUESTS + pl.col("number")).drop("number")
        page = pl.when(pl.col("trigger") == TRIGGERS[PAGE]).then("request_id").forward_fill()
        return table.select("request_id", page.alias("page_id"), pl.exclude("request_id"))


_MET = ("duration_s", "scroll_speed", "scroll_duration_s", "scroll_count", "reason")
_COMMON = {"user": np.int64, "time": np.int64, "item": np.int64, "score": np.float32}
_EXPOSED: dict[str, Any] = _COMMON | {
    "probability": np.float32,
    "looks": np.int64,
    "duration_s": np.float32,
    "scroll_speed": np.float32,
    "scroll_duration_s": np.float32,
    "scroll_count": np.int64,
    "reason": np.int8,
}
_VIEWED: dict[str, Any] = _COMMON | {
    "opened_from": np.int8,
    "duration_s": np.float32,
    "actions": np.dtype((np.int8, len(ACTIONS))),
}
_ASKED: dict[str, Any] = {"user": np.int64, "time": np.int64, "trigger": np.int64, "n": np.int64}
_LISTED: dict[str, Any] = {"item": np.int64, "label": np.int8, "score": np.float32, "probability": np.float32}


def _joined(parts: Sequence[Rows], like: Mapping[str, Any] | None = None) -> Rows:
    """Columns of all `parts` end to end; where there is no part, none of the types `like`."""
    if not parts:
        return {name: np.zeros(0, dtype) for name, dtype in (like or {}).items()}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _in_time(rows: Rows) -> Rows:
    """`rows` in order of user and time."""
    order = np.lexsort((rows["time"], rows["user"]))
    return {name: column[order] for name, column in rows.items()}


def _named(codes: NDArray[Any], names: Sequence[str]) -> pl.Series:
    return pl.Series(names).gather(codes)


def _rounded(seconds: Floats) -> Floats:
    """To the app's clock, which ticks in milliseconds: no digit beyond them is a measurement."""
    rounded: Floats = seconds.astype(np.float64).round(3).astype(np.float32)
    return rounded


def _nullable(values: NDArray[Any]) -> pl.Series:
    return pl.Series(values.astype(np.float32)).fill_nan(None)
