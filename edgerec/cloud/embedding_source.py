"""Where the server finds the embedding tables of a version: in the files of its bundle, or in Redis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgerec.bundle.manifest_file import read_cloud_manifest
from edgerec.bundle.signing import PublicKey
from edgerec.bundle.tables import open_tables
from edgerec.core.errors import InputError
from edgerec.kv.store import EmbeddingTables

LOOK_UP_SECONDS = 2.0
"""How long a page waits for Redis."""
PAUSE_SECONDS = 1.0
"""After a look-up without an answer, pages are refused at once for this time."""
CACHE_BYTES = 64_000_000


@dataclass(frozen=True)
class OpenedEmbeddings:
    """The tables of a version, and the feature specification of its manifest."""

    version_id: str
    spec: Mapping[str, Any]
    tables: EmbeddingTables


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
        return OpenedEmbeddings(tables.version_id, tables.spec, tables)


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
        """Open the tables of a version in Redis, and check that they have the sizes of the bundle's manifest.

        Raises:
            InputError: the version is not published, or the published tables have other sizes.
            FormatError, SignatureError: the manifest cannot be used.
            StoreError: Redis does not answer.
        """
        from edgerec.kv.cache import CachedTables

        manifest = read_cloud_manifest(cloud, public_key=public_key)
        if manifest.version_id not in self._store.versions():
            raise InputError(
                f"embedding store {self._store.address}: version {manifest.version_id} is not published: run "
                f"edgerec embeddings publish {cloud.parent} --redis URL first"
            )
        tables = self._store.open(manifest.version_id)
        if {name: _size(entry) for name, entry in tables.entries.items()} != {
            name: _size(entry) for name, entry in manifest.tables.items()
        }:
            raise InputError(
                f"embedding store {self._store.address}: version {manifest.version_id} has tables of other sizes than "
                f"{cloud.parent}: publish the bundle again with --replace"
            )
        cached = CachedTables(tables, tables.entries, limit=self._cache_bytes) if self._cache_bytes else tables
        return OpenedEmbeddings(manifest.version_id, manifest.spec, cached)


def _size(entry: Any) -> tuple[int, int]:
    """Return rows and dimension. The data type may differ, because a bundle can be exported again with another one."""
    return entry.keys, entry.dimension
