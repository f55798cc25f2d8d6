"""CRBAN on the device: scores of a candidate list given the stored encodings of behaviours."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SessionError
from edgerec.device_runtime.hubsm import check_finite
from edgerec.device_runtime.session import Session

Array = npt.NDArray[np.float32]

_FLOAT32 = np.dtype(np.float32)
_GROUP, _SIGNS = 4, 16  # units and numbers of a group in the product form of attention (export/graphs/attention.py)


@dataclass(frozen=True)
class Encodings:
    """What the steps stored of one kind's behaviours, oldest first.

    Attributes:
        keys: `(t, key_width)` float32, `Step.key` of each. Positive in the product form of attention, where they are
            exponentials.
        values: `(t, hidden)` float32, `Step.value` of each.
    """

    keys: Array
    values: Array

    def latest(self, count: int) -> Encodings:
        """Give the last `count` of them, or all where there are fewer."""
        start = max(len(self.keys) - count, 0)
        return Encodings(self.keys[start:], self.values[start:])

    @classmethod
    def empty(cls, key_width: int, hidden: int) -> Encodings:
        """Give the encodings of no behaviour."""
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
        # A model says nothing of its form, but attention and hidden layer have one width (`TrainConfig.units`): in the
        # plain form a key has as many numbers, in the product form sixteen for every four.
        self.product = self.key_width == _SIGNS * -(-self.hidden // _GROUP)
        if self.values.shape[0] != self.limit or self.mask.shape != (self.limit, 1):
            raise SessionError(
                f"a ranking model should have `{kind}_values` and `{kind}_mask` of {self.limit} rows, as its keys. "
                f"Received: {self.values.shape} and {self.mask.shape}"
            )

    def check(self, encodings: Encodings) -> int:
        if not isinstance(encodings, Encodings):
            raise SessionError(
                f"`{self.name}s` should be Encodings, `Encodings.empty({self.key_width}, {self.hidden})` where there "
                f"are none. Received: {type(encodings).__name__}"
            )
        keys, values = encodings.keys, encodings.values
        _check_rows(self.keys_name, keys, self.key_width)
        _check_rows(self.values_name, values, self.hidden)
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
        return count

    def write(self, encodings: Encodings, count: int) -> None:
        self.keys[:count] = encodings.keys
        self.keys[count:] = 1.0
        self.values[:count] = encodings.values
        self.values[count:] = 0.0
        self.mask[:count] = 1.0
        self.mask[count:] = 0.0


class CrbanRanker:
    """The ranking function (eq. 9-11) of up to `limit` candidates; keeps nothing between calls.

    Args:
        model: the ranking model, a file or its bytes.
        threads: number of threads of a run.

    Attributes:
        limit: k, the longest candidate list.
        exposure_limit: m, the most exposures.
        page_view_limit: n, the most page-views.
        item_width: d_x, number of item features.
        exposure_key_width, page_view_key_width: length of a key of each kind.
        hidden: length of a value.
        session: the MNN session underneath; whoever writes to it directly does so without checks.

    Raises:
        SessionError: the model cannot be loaded, or is no ranking model.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        session = Session(model, threads=threads)
        self._exposures = _Kind(session, "exposure")
        self._page_views = _Kind(session, "page_view")
        candidates, logits = session.view("candidates"), session.view("logits")
        self.limit, self.item_width = candidates.shape[0], candidates.shape[-1]
        self._last = session.view("last")
        shapes = (candidates.shape, self._last.shape, logits.shape, len(session.inputs), len(session.outputs))
        wanted = ((self.limit, 1, self.item_width), (1, self.limit), (self.limit, 1), 8, 1)
        if shapes != wanted:
            raise SessionError(
                "a ranking model should have `candidates`, `last`, `logits` of shapes "
                f"{wanted[:3]}, and six more inputs. Received: {dict(session.inputs)} and {dict(session.outputs)}"
            )
        self.session = session
        self._lock = threading.Lock()
        self._candidates = candidates.reshape(self.limit, self.item_width)
        self._logits = logits.reshape(-1)
        self.exposure_limit, self.page_view_limit = self._exposures.limit, self._page_views.limit
        self.exposure_key_width, self.page_view_key_width = self._exposures.key_width, self._page_views.key_width
        self.hidden = self._exposures.hidden

    def score(self, candidates: Array, exposures: Encodings, page_views: Encodings) -> Array:
        """Score a candidate list in its present order, which the local ranking context reads.

        Args:
            candidates: `(c, d_x)` float32, item features, `1 <= c <= limit`.
            exposures: the latest item exposures, `0 <= t <= exposure_limit`.
            page_views: the latest page-views, `0 <= t <= page_view_limit`.

        Returns:
            Logits `(c,)`, the caller's own array.

        Raises:
            SessionError: a list too long or empty, no `Encodings`, an array of another shape or type, one that is not
                finite, or a key that no step gives.
        """
        _check_rows("candidates", candidates, self.item_width)
        count = candidates.shape[0]
        if not 1 <= count <= self.limit:
            raise SessionError(f"`candidates` should be 1 to {self.limit} items. Received: {count}")
        check_finite("candidates", candidates)
        exposed, viewed = self._exposures.check(exposures), self._page_views.check(page_views)
        with self._lock:
            # A run overwrites its inputs, so padding is written every time as well.
            self._candidates[:count] = candidates
            self._candidates[count:] = 0.0
            self._last[...] = 0.0
            self._last[0, count - 1] = 1.0
            self._exposures.write(exposures, exposed)
            self._page_views.write(page_views, viewed)
            self.session.execute()
            logits: Array = self._logits[:count].copy()
        return logits

    def rank(self, candidates: Array, exposures: Encodings, page_views: Encodings) -> npt.NDArray[np.intp]:
        """Give the new order, best first: positions `(c,)` in the given list; equal scores keep the given order.

        Arguments and errors are those of `score`.
        """
        return np.argsort(-self.score(candidates, exposures, page_views), kind="stable")


def _check_rows(name: str, array: object, width: int) -> None:
    if isinstance(array, np.ndarray) and array.dtype == _FLOAT32 and array.ndim == 2 and array.shape[1] == width:
        return
    kind = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
    raise SessionError(f"`{name}` should be a float32 array of shape (any, {width}). Received: {kind}")
