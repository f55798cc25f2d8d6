"""Where the server finds the embedding tables of a version: in the files of its bundle, or in Redis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgerec.bundle.manifest_file import read_cloud_manifest
from edgerec.bundle.signing import PublicKey
from edgerec.bundle.tables import open_tables
from edgerec.core.errors import FormatError, InputError, StoreError
from edgerec.kv.store import EmbeddingTables
from edgerec.kv.table_entry import TableEntry

if TYPE_CHECKING:
    from edgerec.kv.redis import RedisTables

LOOK_UP_SECONDS = 2.0
"""How long a page waits for Redis."""
PAUSE_SECONDS = 1.0
"""After a look-up without an answer, pages are refused at once for this time."""
CACHE_BYTES = 64_000_000


class UnpublishedError(StoreError):
    """The store does not have the embeddings of a version, or not all of them. They may be published later."""


@dataclass(frozen=True)
class OpenedEmbeddings:
    """The tables of a version, and of its manifest the specification, and columns and kinds of a mixed feed."""

    version_id: str
    spec: Mapping[str, Any]
    tables: EmbeddingTables
    mixing_columns: tuple[str, ...] = ()
    mixing_kinds: tuple[str, ...] = ()


class EmbeddingSource(Protocol):
    """Opens the embedding tables of versions."""

    waits: bool
    """Whether a look-up waits for another process. Then pages are made in threads."""

    def open(self, cloud: Path, *, public_key: PublicKey | None) -> OpenedEmbeddings:
        """Open the tables of the version whose cloud half is in the folder `cloud`."""
        ...


class BundleFiles:
    """Reads the tables from the bundle's own files. Implements `EmbeddingSource`."""

    waits = False

    def open(self, cloud: Path, *, public_key: PublicKey | None) -> OpenedEmbeddings:
        """Open the tables of a bundle, and check all of its files.

        Raises:
            FormatError, IntegrityError, SignatureError, ResourceError: as for `edgerec.bundle.tables.open_tables`.
        """
        tables = open_tables(cloud, public_key=public_key)
        return OpenedEmbeddings(tables.version_id, tables.spec, tables, tables.mixing_columns, tables.mixing_kinds)


class RedisEmbeddings:
    """Asks a Redis server or a Redis Cluster. Of a bundle only its manifest is read. Implements `EmbeddingSource`.

    Args:
        url: the address (`edgerec.kv.redis.RedisStore`).
        prefix: prefix of the store's keys.
        cache_bytes: how many bytes of rows each version keeps in memory; 0: none.

    Raises:
        InputError: the address or the prefix is not valid.
    """

    waits = True

    def __init__(self, url: str, *, prefix: str = "edgerec", cache_bytes: int = CACHE_BYTES) -> None:
        from edgerec.kv.redis import RedisStore

        self._store = RedisStore(url, prefix=prefix, look_up_seconds=LOOK_UP_SECONDS, pause_seconds=PAUSE_SECONDS)
        self._cache_bytes = cache_bytes

    def open(self, cloud: Path, *, public_key: PublicKey | None) -> OpenedEmbeddings:
        """Open the tables of a version in Redis, and check that they are complete, with the sizes of the manifest.

        Raises:
            UnpublishedError: the version is not published, rows are missing, or the tables have other sizes.
            FormatError, SignatureError: the manifest cannot be used.
            StoreError: Redis does not answer.
        """
        from edgerec.cloud.republished import RepublishedTables

        manifest = read_cloud_manifest(cloud, public_key=public_key)
        sizes = _sizes(manifest.tables)

        def fits(tables: RedisTables) -> bool:
            return _sizes(tables.entries) == sizes

        tables = self._complete(manifest.version_id, cloud.parent)
        if not fits(tables):
            raise UnpublishedError(
                f"embedding store {self._store.address}: version {manifest.version_id} has tables of other sizes than "
                f"{cloud.parent}: publish the bundle again with --replace"
            )
        republished = RepublishedTables(tables, self._cached, fits)
        columns, kinds = manifest.mixing_columns, manifest.mixing_kinds
        return OpenedEmbeddings(manifest.version_id, manifest.spec, republished, columns, kinds)

    def _complete(self, version_id: str, bundle: Path) -> RedisTables:
        """Return the tables of a version, all of whose rows are there."""
        where, advice = f"embedding store {self._store.address}", f"edgerec embeddings publish {bundle} --redis URL"
        if version_id not in self._store.versions():
            raise UnpublishedError(f"{where}: version {version_id} is not published: run {advice} first")
        if not self._store.has(version_id):
            raise UnpublishedError(f"{where}: version {version_id} is damaged or lost rows: run {advice}")
        try:
            return self._store.open(version_id)
        except (InputError, FormatError) as error:  # it was removed or replaced just now
            raise UnpublishedError(str(error)) from None

    def _cached(self, tables: RedisTables) -> EmbeddingTables:
        from edgerec.kv.cache import CachedTables

        return CachedTables(tables, tables.entries, limit=self._cache_bytes) if self._cache_bytes else tables


def _sizes(entries: Mapping[str, TableEntry]) -> dict[str, tuple[int, int]]:
    """Return rows and dimension of each table.

    The data type may differ, because a bundle can be exported again with another one.
    """
    return {name: (entry.keys, entry.dimension) for name, entry in entries.items()}
