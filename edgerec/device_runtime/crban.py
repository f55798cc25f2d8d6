"""Ranking on the device: scores of a candidate list given what was stored of behaviours."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import NotFiniteError, SessionError
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.finite import check_finite, is_finite, not_finite
from edgerec.device_runtime.matches import Ids, check_ids
from edgerec.device_runtime.rank_feed import RankFeed
from edgerec.device_runtime.session import Session, check_rows
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW

Array = npt.NDArray[np.float32]


class CrbanRanker:
    """The ranking function (eq. 9-11, or another model's) of up to `limit` candidates; keeps nothing between calls.

    Args:
        model: the ranking model, a file or its bytes.
        threads: number of threads of a run.

    Attributes:
        limit: k, the longest candidate list.
        limits: the most behaviours of each kind that it reads.
        key_widths: length of a key of each kind that it reads.
        hidden: length of a value.
        identities: how many identities of a candidate the model matches with those of behaviours; 0: none.
        session: the MNN session underneath; whoever writes to it directly does so without checks.

    Raises:
        SessionError: the model cannot be loaded, or is no ranking model.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        session = Session(model, threads=threads)
        feed = RankFeed({name: session.view(name) for name in session.inputs})
        logits = session.view("logits")
        if logits.shape != (feed.limit, 1) or len(session.outputs) != 1:
            raise SessionError(
                f"a ranking model should have one output `logits` of shape {(feed.limit, 1)}. "
                f"Received: {dict(session.outputs)}"
            )
        self.session = session
        self._feed = feed
        self._lock = threading.Lock()
        self._logits = logits.reshape(-1)
        self.limit, self.item_width = feed.limit, feed.item_width
        self.limits = {kind: one.limit for kind, one in feed.kinds.items()}
        self.key_widths = {kind: one.key_width for kind, one in feed.kinds.items()}
        self.hidden = next((one.hidden for one in feed.kinds.values()), 0)
        self.identities = next((one.identities for one in feed.kinds.values()), 0)

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
            exposures: the latest item exposures, at most `limits[EXPOSURE]`; not read by a model without them.
            page_views: the latest page-views, at most `limits[PAGE_VIEW]`; likewise.
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
        given = {EXPOSURE: exposures, PAGE_VIEW: page_views}
        for kind, feed in self._feed.kinds.items():
            feed.check(given[kind])  # type: ignore[arg-type]
        self.session.check_process()
        with self._lock:
            self._feed.write(candidates, given, ids)  # type: ignore[arg-type]
            self.session.execute()
            logits: Array = self._logits[:count].copy()
        if not is_finite(logits):
            inputs = {"candidates": candidates}
            for kind, feed in self._feed.kinds.items():
                inputs |= {feed.keys_name: given[kind].keys, feed.values_name: given[kind].values}  # type: ignore[union-attr]
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
