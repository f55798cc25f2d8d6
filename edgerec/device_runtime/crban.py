"""Ranking on the device: scores of a candidate list given what was stored of behaviours."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import NotFiniteError, SessionError
from edgerec.device_runtime.finite import check_finite, is_finite, not_finite
from edgerec.device_runtime.matches import Ids, Met, check_count, check_ids, check_met, matches
from edgerec.device_runtime.session import Session, check_rows, is_plain

Array = npt.NDArray[np.float32]

_WIDEST = 1 << 20
_GROUP, _SIGNS = 4, 16  # units and numbers of a group in the product form of attention (export/graphs/attention.py)


@dataclass(frozen=True)
class Encodings:
    """What was stored of one kind's behaviours, oldest first.

    Attributes:
        keys: `(t, key_width)` float32, `Step.key` of each. Positive in the product form of attention, where they are
            exponentials.
        values: `(t, hidden)` float32, `Step.value` of each.
        met: for a model with exact matches (CRBAN+), which items they were of, and when; else none.
    """

    keys: Array
    values: Array
    met: Met | None = None

    def latest(self, count: int) -> Encodings:
        """Give the last `count` of them, or all where there are fewer.

        Raises:
            SessionError: `count` is no whole number from 0, or keys, values and met are not of one length.
        """
        check_count("count", count)
        lengths = [_length(array) for array in (self.keys, self.values)]
        if self.met is not None:
            if not isinstance(self.met, Met):
                raise SessionError(f"`met` should be Met or None. Received: {type(self.met).__name__}")
            lengths += [_length(array) for array in (self.met.ids, self.met.age)]
        if None in lengths or len(set(lengths)) > 1:
            raise SessionError(f"keys, values and met should be arrays of one length. Received: {lengths}")
        start = max(len(self.keys) - int(count), 0)
        return Encodings(self.keys[start:], self.values[start:], self.met and self.met.since(start))

    @classmethod
    def empty(cls, key_width: int, hidden: int) -> Encodings:
        """Give the encodings of no behaviour.

        Raises:
            SessionError: a width is no whole number from 0.
        """
        check_count("key_width", key_width, most=_WIDEST)
        check_count("hidden", hidden, most=_WIDEST)
        return cls(np.zeros((0, key_width), np.float32), np.zeros((0, hidden), np.float32))


class _Kind:
    """The input memory of one kind of behaviour."""

    def __init__(self, session: Session, kind: str) -> None:
        self.name, self.keys_name, self.values_name = kind, f"{kind}s.keys", f"{kind}s.values"
        self.keys = session.view(f"{kind}_keys")
        self.values = session.view(f"{kind}_values")
        self.mask = session.view(f"{kind}_mask")
        self.limit, self.key_width = self.keys.shape
        self.hidden = self.values.shape[1]
        matching = f"{kind}_match" in session.inputs
        self.match = session.view(f"{kind}_match") if matching else None
        self.age = session.view(f"{kind}_age").reshape(-1) if matching else None
        # A model says nothing of its form, but attention and hidden layer have one width (`TrainConfig.units`; in
        # CRBAN+ a hidden layer is twice as wide): in the plain form a key has as many numbers, in the product form
        # sixteen for every four.
        units = self.hidden // 2 if matching else self.hidden
        self.product = self.key_width == _SIGNS * -(-units // _GROUP)
        if self.values.shape[0] != self.limit or self.mask.shape != (self.limit, 1):
            raise SessionError(
                f"a ranking model should have `{kind}_values` and `{kind}_mask` of {self.limit} rows, as its keys. "
                f"Received: {self.values.shape} and {self.mask.shape}"
            )
        if self.match is not None and self.age is not None:
            shapes = (self.match.ndim, self.match.shape[-1], self.age.shape)
            if shapes != (3, self.limit, (self.limit,)):
                raise SessionError(
                    f"a ranking model should have `{kind}_match` and `{kind}_age` of {self.limit} behaviours. "
                    f"Received: {self.match.shape} and {self.age.shape}"
                )

    @property
    def identities(self) -> int:
        """In how many ways a candidate and a behaviour can be of one kind; 0: the model does not ask."""
        return 0 if self.match is None else int(self.match.shape[0])

    @property
    def inputs(self) -> int:
        return 5 if self.identities else 3

    def check(self, encodings: Encodings) -> int:
        if not isinstance(encodings, Encodings):
            raise SessionError(
                f"`{self.name}s` should be Encodings, `Encodings.empty({self.key_width}, {self.hidden})` where there "
                f"are none. Received: {type(encodings).__name__}"
            )
        keys, values = encodings.keys, encodings.values
        check_rows(self.keys_name, keys, self.key_width)
        check_rows(self.values_name, values, self.hidden)
        count = int(keys.shape[0])
        if values.shape[0] != count:
            raise SessionError(
                f"`{self.name}s` should have as many values as keys. Received: {values.shape[0]} and {count}"
            )
        if count > self.limit:
            raise SessionError(
                f"`{self.name}s` should be at most {self.limit} behaviours, the latest. Received: {count}"
            )
        check_finite(self.keys_name, keys)
        check_finite(self.values_name, values)
        # Denominators are sums of keys times exponentials: of other keys they can be anything, and so can the logits.
        # `argmin` takes half the time of `min`.
        if self.product and count and keys.item(keys.argmin()) <= 0:
            raise SessionError(
                f"`{self.keys_name}` should be positive, as those of `Step.key` are. "
                f"Received: {int((keys <= 0).sum())} that are not"
            )
        if self.identities:
            check_met(f"{self.name}s.met", encodings.met, count, self.identities)
        return count

    def write(self, encodings: Encodings, count: int, candidate_ids: Ids | None) -> None:
        self.keys[:count] = encodings.keys
        self.keys[count:] = 1.0
        self.values[:count] = encodings.values
        self.values[count:] = 0.0
        self.mask[:count] = 1.0
        self.mask[count:] = 0.0
        if self.match is not None and self.age is not None and candidate_ids is not None:
            self.match[...] = 0.0
            self.age[...] = 0.0
            if encodings.met is not None and count:
                self.match[:, : len(candidate_ids), :count] = matches(candidate_ids, encodings.met.ids)
                self.age[:count] = encodings.met.age


class CrbanRanker:
    """The ranking function (eq. 9-11, or another model's) of up to `limit` candidates; keeps nothing between calls.

    Args:
        model: the ranking model, a file or its bytes.
        threads: number of threads of a run.

    Attributes:
        limit: k, the longest candidate list.
        exposure_limit: m, the most exposures; 0 where the model does not read them.
        page_view_limit: n, the most page-views; likewise.
        item_width: d_x, number of item features.
        exposure_key_width, page_view_key_width: length of a key of each kind.
        hidden: length of a value.
        identities: how many identities of a candidate the model matches with those of behaviours; 0: none.
        session: the MNN session underneath; whoever writes to it directly does so without checks.

    Raises:
        SessionError: the model cannot be loaded, or is no ranking model.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        session = Session(model, threads=threads)
        kinds = {kind: _Kind(session, kind) for kind in ("exposure", "page_view") if f"{kind}_keys" in session.inputs}
        self._exposures, self._page_views = kinds.get("exposure"), kinds.get("page_view")
        candidates, logits = session.view("candidates"), session.view("logits")
        self.limit, self.item_width = candidates.shape[0], candidates.shape[-1]
        self._last = session.view("last") if "last" in session.inputs else None
        self._valid = session.view("valid") if "valid" in session.inputs else None
        known = 1 + (self._last is not None) + (self._valid is not None) + sum(kind.inputs for kind in kinds.values())
        shapes = (candidates.shape, logits.shape, len(session.inputs), len(session.outputs))
        wanted = ((self.limit, 1, self.item_width), (self.limit, 1), known, 1)
        lists = (self._last is None or self._last.shape == (1, self.limit)) and (
            self._valid is None or self._valid.shape == (self.limit, 1)
        )
        if shapes != wanted or not lists:
            raise SessionError(
                "a ranking model should have `candidates`, `logits` of shapes "
                f"{wanted[:2]}, and what it says of behaviours. Received: {dict(session.inputs)} and "
                f"{dict(session.outputs)}"
            )
        self.session = session
        self._lock = threading.Lock()
        self._candidates = candidates.reshape(self.limit, self.item_width)
        self._logits = logits.reshape(-1)
        self.exposure_limit, self.exposure_key_width = _sizes(self._exposures)
        self.page_view_limit, self.page_view_key_width = _sizes(self._page_views)
        self.hidden = next((kind.hidden for kind in kinds.values()), 0)
        self.identities = next((kind.identities for kind in kinds.values()), 0)

    def score(
        self,
        candidates: Array,
        exposures: Encodings | None = None,
        page_views: Encodings | None = None,
        *,
        ids: Ids | None = None,
    ) -> Array:
        """Score a candidate list in its present order, which the local ranking context reads.

        Args:
            candidates: `(c, d_x)` float32, item features, `1 <= c <= limit`.
            exposures: the latest item exposures, `0 <= t <= exposure_limit`; unread by a model without them.
            page_views: the latest page-views, `0 <= t <= page_view_limit`; likewise.
            ids: `(c, identities)` int64, the candidates' identities, for a model that matches them; see `Met`.

        Returns:
            Logits `(c,)`, the caller's own array.

        Raises:
            SessionError: a list too long or empty, no `Encodings`, an array of another shape or type, one that is not
                finite, or a key that no step gives; or this process was forked after the model was loaded.
            NotFiniteError: a logit is not finite; numbers of the arguments are too large.
        """
        check_rows("candidates", candidates, self.item_width)
        count = candidates.shape[0]
        if not 1 <= count <= self.limit:
            raise SessionError(f"`candidates` should be 1 to {self.limit} items. Received: {count}")
        check_finite("candidates", candidates)
        if self.identities:
            check_ids("ids", ids, count, self.identities)
        given = [
            (kind, encodings, kind.check(encodings))  # type: ignore[arg-type]
            for kind, encodings in ((self._exposures, exposures), (self._page_views, page_views))
            if kind is not None
        ]
        self.session.check_process()
        with self._lock:
            # A run overwrites its inputs, so padding is written every time as well.
            self._candidates[:count] = candidates
            self._candidates[count:] = 0.0
            if self._last is not None:
                self._last[...] = 0.0
                self._last[0, count - 1] = 1.0
            if self._valid is not None:
                self._valid[:count] = 1.0
                self._valid[count:] = 0.0
            for kind, encodings, known in given:
                kind.write(encodings, known, ids)  # type: ignore[arg-type]
            self.session.execute()
            logits: Array = self._logits[:count].copy()
        if not is_finite(logits):
            inputs = {"candidates": candidates}
            for kind, encodings, _ in given:
                inputs |= {kind.keys_name: encodings.keys, kind.values_name: encodings.values}  # type: ignore[union-attr]
            raise not_finite({"logits": logits}, inputs)
        return logits

    def rank(
        self,
        candidates: Array,
        exposures: Encodings | None = None,
        page_views: Encodings | None = None,
        *,
        ids: Ids | None = None,
    ) -> npt.NDArray[np.intp]:
        """Give the new order, best first: positions `(c,)` in the given list.

        Equal scores keep the given order. Where a score is not finite, all candidates keep the given order: a user then
        sees the list as the server has ranked it. Arguments and other errors are those of `score`.
        """
        try:
            scores = self.score(candidates, exposures, page_views, ids=ids)
        except NotFiniteError:
            return np.arange(len(candidates))
        return np.argsort(-scores, kind="stable")


def _sizes(kind: _Kind | None) -> tuple[int, int]:
    return (0, 0) if kind is None else (kind.limit, kind.key_width)


def _length(array: object) -> int | None:
    """The number of rows of an array; none for anything else."""
    return len(array) if is_plain(array) and array.ndim else None
