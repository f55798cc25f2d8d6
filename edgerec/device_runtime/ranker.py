"""The ranker on the device: it scores a candidate list from the stored keys and values of behaviours."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import NotFiniteError, SessionError
from edgerec.device_runtime.arguments import check_vectors
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.finite import check_finite, is_finite, not_finite
from edgerec.device_runtime.matches import Ids, check_ids
from edgerec.device_runtime.rank_feed import RankFeed
from edgerec.device_runtime.session import Session
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from edgerec.mixing.head import CardVectors

Array = npt.NDArray[np.float32]

PARTS = 3
"""The output `vectors` of a ranking model with surroundings has the three fields of `CardVectors`, side by side."""


@dataclass(frozen=True)
class Scored:
    """What a ranking model returns of a candidate list.

    Attributes:
        logits: `(c,)` float32.
        vectors: what `edgerec.mixing.head` reads of each candidate; None for a model without surroundings.
        hidden: `(c, hidden_width)` float32, what the model's output layer reads; None for a model without this output.
        candidates: `(c, candidate_width)` float32, the vectors that were scored; None if `hidden` is None.
    """

    logits: Array
    vectors: CardVectors | None = None
    hidden: Array | None = None
    candidates: Array | None = None


class DeviceRanker:
    """A ranker on the device. It scores up to `limit` candidates (eq. 9-11 for CRBAN), and stores no state.

    Args:
        model: the path of the MNN file of the ranking model, or the content of that file.
        threads: number of threads that a run uses.

    Attributes:
        limit: k, the maximal number of candidates.
        limits: the maximal number of behaviours, by kind. Only kinds that the model reads are present.
        key_widths: the length of a key, by kind.
        hidden: the length of a value.
        identities: number of IDs that each candidate and each behaviour have. The model reads which of them are equal.
            It is 0 if the model does not read exact matches.
        hidden_width: the width of `Scored.hidden`; 0 for a model without this output.
        vector_width: the length of each vector of `CardVectors`; 0 for a model without surroundings.
        session: the MNN session of the model. If you write to it directly, nothing checks the arrays.

    Raises:
        SessionError: the model cannot be loaded, or it is not a ranking model.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        session = Session(model, threads=threads)
        feed = RankFeed({name: session.view(name) for name in session.inputs})
        logits = session.view("logits")
        more = {name: session.view(name) for name in ("vectors", "hidden") if name in session.outputs}
        vectors, hidden = more.get("vectors"), more.get("hidden")
        fits = logits.shape == (feed.limit, 1) and len(session.outputs) == 1 + len(more)
        fits &= all(array.ndim == 2 and len(array) == feed.limit for array in more.values())
        if not fits or (vectors is not None and vectors.shape[1] % PARTS):
            raise SessionError(
                f"a ranking model should have an output `logits` of shape {(feed.limit, 1)}, and no other ones than "
                f"`vectors` of shape ({feed.limit}, {PARTS} x width) and `hidden` of shape ({feed.limit}, width). "
                f"Received: {dict(session.outputs)}"
            )
        self.session = session
        self._feed = feed
        self._lock = threading.Lock()
        self._logits, self._more = logits.reshape(-1), more
        self.hidden_width = 0 if hidden is None else hidden.shape[1]
        self.vector_width = 0 if vectors is None else vectors.shape[1] // PARTS
        self.limit, self.candidate_width = feed.limit, feed.candidate_width
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
        """Return the logits of a candidate list.

        The order of the candidates matters, because the local ranking context depends on it.

        Args:
            candidates: `(c, d_c)` float32, the candidate vectors in their present order; `1 <= c <= limit`.
                `DeviceModel.candidates` makes them. Without relations and context, they are the item vectors.
            exposures: the latest item exposures, at most `limits[EXPOSURE]`. Omit it if the model reads no exposures.
            page_views: the latest page-views, at most `limits[PAGE_VIEW]`. Omit it if the model reads no page-views.
            ids: `(c, identities)` int64, the IDs of the candidates, for a model that reads exact matches (`SeenItems`).

        Returns:
            Logits `(c,)`, a new array.

        Raises:
            SessionError: the list is empty or too long; an argument is not `Encodings`; an array has the wrong shape or
                type, or is not finite; a key is not positive although the model needs positive keys; or this process
                was forked after the model was loaded.
            NotFiniteError: a logit is not finite, because numbers in the arguments are too large.
        """
        return self.score_cards(candidates, exposures, page_views, ids=ids).logits

    def score_cards(
        self,
        candidates: Array,
        exposures: Encodings | None = None,
        page_views: Encodings | None = None,
        *,
        ids: Ids | None = None,
    ) -> Scored:
        """Return the logits of a candidate list, and all else that the model returns.

        The arguments and errors are those of `score`. If another number is not finite, it is a NotFiniteError, too.
        """
        check_vectors("candidates", candidates, self.candidate_width)
        count = candidates.shape[0]
        if not 1 <= count <= self.limit:
            raise SessionError(f"`candidates` should have 1 to {self.limit} items. Received: {count}")
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
            outputs = {"logits": self._logits[:count].copy()}
            for name, array in self._more.items():
                outputs[name] = array[:count].copy()
        if not all(is_finite(output) for output in outputs.values()):
            inputs = {"candidates": candidates}
            for kind, feed in self._feed.kinds.items():
                inputs |= {feed.keys_name: given[kind].keys, feed.values_name: given[kind].values}  # type: ignore[union-attr]
            raise not_finite(outputs, inputs)
        vectors = outputs.get("vectors")
        cards = None if vectors is None else CardVectors(*np.split(vectors, PARTS, axis=1))
        hidden = outputs.get("hidden")
        return Scored(outputs["logits"], cards, hidden, None if hidden is None else candidates.copy())

    def rank(
        self,
        candidates: Array,
        exposures: Encodings | None = None,
        page_views: Encodings | None = None,
        *,
        ids: Ids | None = None,
    ) -> npt.NDArray[np.intp]:
        """Return the positions of the candidates in the given list, best candidate first. Shape `(c,)`.

        Candidates with equal scores keep their order. If any score is not finite, the whole list keeps its order, so
        the user sees the server's order. The arguments and the other errors are those of `score`.
        """
        try:
            scores = self.score(candidates, exposures, page_views, ids=ids)
        except NotFiniteError:
            return np.arange(len(candidates))
        return np.argsort(-scores, kind="stable")
