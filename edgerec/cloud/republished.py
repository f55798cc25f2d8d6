"""Tables in Redis that a server has open while they are published again, for example after Redis lost them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from edgerec.core.errors import StoreError
from edgerec.kv.redis import LostRowsError, RedisTables
from edgerec.kv.store import EmbeddingTables, Keys, Lookup


class RepublishedTables:
    """Looks rows up in the newest publication of a version. Implements `EmbeddingTables`.

    If a look-up finds that rows are lost, it reads the description of the version once more. If the version was
    published again, the whole look-up is repeated there. Each publication has a cache of its own, so no answer
    mixes two of them.

    Threads may share an instance.

    Args:
        tables: the tables of the present publication.
        cached: puts a cache in front of the tables of a publication.
        fits: returns whether the tables of another publication have the same sizes.
    """

    def __init__(
        self,
        tables: RedisTables,
        cached: Callable[[RedisTables], EmbeddingTables],
        fits: Callable[[RedisTables], bool],
    ) -> None:
        self._cached, self._fits = cached, fits
        self._now = tables, cached(tables)
        self._lock = threading.Lock()

    @property
    def version_id(self) -> str:
        """Id of the model version that the tables belong to."""
        return self._now[0].version_id

    @property
    def dimensions(self) -> Mapping[str, int]:
        """The dimension of the rows of each feature's table."""
        return self._now[0].dimensions

    def get_many(self, keys_by_feature: Mapping[str, Keys]) -> dict[str, Lookup]:
        """Look up the rows of each feature's keys, int64 (m,).

        Raises:
            InputError, ShapeError, FormatError: as for `RedisTables.get_many`.
            StoreError: a server does not answer, or rows are lost and the version was not published again.
        """
        before = self._now
        try:
            return before[1].get_many(keys_by_feature)
        except LostRowsError as error:
            return self._after(before[0], error).get_many(keys_by_feature)

    def _after(self, tables: RedisTables, error: LostRowsError) -> EmbeddingTables:
        """Return what replaces `tables`, or raise `error` if nothing does."""
        with self._lock:
            if self._now[0] is tables:
                newer = tables.newer()
                if newer is None:
                    raise error
                if not self._fits(newer):
                    raise StoreError(f"{error}; it was published again, with tables of other sizes") from None
                self._now = newer, self._cached(newer)
            return self._now[1]
