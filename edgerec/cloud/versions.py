"""The model versions that the cloud serves: what each reads of an item, and its embedding tables."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.bundle.layout import CLOUD
from edgerec.bundle.signing import PublicKey
from edgerec.cloud.catalogue import Catalogue
from edgerec.cloud.device_files import DeviceFiles
from edgerec.cloud.embedding_source import BundleFiles, EmbeddingSource
from edgerec.cloud.rollout import in_share
from edgerec.core.errors import FormatError, InputError, LogsError, SpecificationError
from edgerec.data.casting import is_text
from edgerec.data.log_checks import check_items
from edgerec.data.schema import relation_columns
from edgerec.features.kinds.base import Reads
from edgerec.features.kinds.embedding import Embedding
from edgerec.features.spec import FeatureSpec, of_origin, parse_spec
from edgerec.features.vocabulary import MISSING_ID
from edgerec.kv.store import EmbeddingTables, Lookup
from edgerec.paging.items import UNKNOWN_KEY, EmbeddingColumn, ItemBatch


class UnknownVersionError(InputError):
    """A device runs a model version that the cloud does not serve.

    Attributes:
        more: the versions that are served (`versions`), and the one that the user should run (`offered`), if the user
            is known. They are part of the answer.
    """

    def __init__(self, text: str, more: Mapping[str, Any]) -> None:
        super().__init__(text)
        self.more = more


@dataclass
class LookUps:
    """Counts look-ups in the embedding tables of a version. Threads may share an instance.

    Attributes:
        keys: the number of different keys that were looked up, page by page.
        unknown: how many of them the table did not have.
        seconds: how long that took.
    """

    keys: int = 0
    unknown: int = 0
    seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    def add(self, found: Iterable[Lookup], seconds: float) -> None:
        """Count the look-ups of one page."""
        known = [each.known for each in found]
        keys, with_row = sum(map(len, known)), sum(int(np.count_nonzero(each)) for each in known)
        with self._lock:
            self.keys += keys
            self.unknown += keys - with_row
            self.seconds += seconds


@dataclass(frozen=True)
class ServedVersion:
    """One version, or the specification of devices without a model.

    Attributes:
        version_id: the version; None for devices without a model.
        spec: the feature specification.
        tables: the embedding tables; None without a model.
        look_ups: counts the look-ups in the tables.
        device: the files that a device downloads; None: the version is not offered to devices.
        mixing_columns: the columns of the catalogue that the rules of a mixed feed read: the kind of a card first, then
            its advertiser if there is one. Empty without rules.
        mixing_kinds: the kinds of cards of these rules.
    """

    version_id: str | None
    spec: FeatureSpec
    tables: EmbeddingTables | None
    look_ups: LookUps = field(default_factory=LookUps, compare=False, repr=False)
    device: DeviceFiles | None = None
    mixing_columns: tuple[str, ...] = ()
    mixing_kinds: tuple[str, ...] = ()

    @cached_property
    def catalogue_columns(self) -> tuple[str, ...]:
        """The columns of the catalogue that a page contains: of features without a table, of relations and of rules."""
        features = of_origin(self.spec.item, "catalogue")
        sources = (feature.source for feature in features if not feature.has_table)
        rules = (name for name in self.mixing_columns if name not in self.served_reads)
        return tuple(dict.fromkeys((*sources, *relation_columns(self.spec), *rules)))

    @cached_property
    def served_reads(self) -> dict[str, Reads]:
        """The columns whose values hold for one page, and what features read of each."""
        reads: dict[str, Reads] = {}
        for feature in of_origin(self.spec.item, "served"):
            # A column that one feature reads as a number and another as an ID has integers.
            if feature.source not in reads or feature.reads != "numbers":
                reads[feature.source] = feature.reads
        return reads

    @property
    def served_columns(self) -> tuple[str, ...]:
        """The columns whose values hold for one page."""
        return tuple(self.served_reads)

    @cached_property
    def embeddings(self) -> tuple[Embedding, ...]:
        """The features whose embeddings a page contains. Without a model there are none."""
        return () if self.tables is None else self.spec.embeddings

    def prepare(self, catalogue: Catalogue) -> None:
        """Check that `catalogue` has all columns that the version reads, and load them.

        Raises:
            LogsError: a column does not exist or has a wrong type.
        """
        check_items(catalogue.items, self.spec)
        self._check_rules(catalogue)
        catalogue.load(self.catalogue_columns)
        catalogue.load_keys(feature.source for feature in self.embeddings if feature.origin == "catalogue")

    def _check_rules(self, catalogue: Catalogue) -> None:
        for number, name in enumerate(self.mixing_columns):
            if name in self.served_reads:
                continue
            if name not in catalogue.items.columns:
                raise LogsError(
                    f"logs: table 'items' has no column {name!r}, which the rules of version {self.version_id} read; "
                    f"its columns are: {', '.join(catalogue.items.columns)}. Add the column, or export with other rules"
                )
            dtype = catalogue.items[name].dtype
            if not (is_text(dtype) if number == 0 else dtype.is_integer()):
                raise LogsError(
                    f"logs: items.{name} should hold {'strings' if number == 0 else 'integers'} (the rules of version "
                    f"{self.version_id}); received {dtype}"
                )

    def batch(self, catalogue: Catalogue, rows: NDArray[np.int32], served: Mapping[str, Sequence[Any]]) -> ItemBatch:
        """Return the items in `rows` (n,) of the catalogue, with the values (n,) of the served columns."""
        columns = {name: catalogue.values(name, rows) for name in self.catalogue_columns}
        keys = {
            feature.name: catalogue.keys(feature.source, rows)
            if feature.origin == "catalogue"
            else np.array([MISSING_ID if key is None else key for key in served[feature.source]], np.int64)
            for feature in self.embeddings
        }
        return ItemBatch(self.version_id, catalogue.ids[rows], {**columns, **served}, self._embedded(keys))

    def _embedded(self, keys: Mapping[str, NDArray[np.int64]]) -> dict[str, EmbeddingColumn]:
        if self.tables is None:
            return {}
        different = {name: np.unique(each, return_inverse=True) for name, each in keys.items()}
        start = time.perf_counter()
        found = self.tables.get_many({name: each for name, (each, _) in different.items()})
        self.look_ups.add(found.values(), time.perf_counter() - start)
        return {name: _column(*different[name], lookup) for name, lookup in found.items()}


def _column(keys: NDArray[np.int64], index: NDArray[np.intp], found: Lookup) -> EmbeddingColumn:
    """Return the column of items. Keys (u,) that the table does not have share one row."""
    if found.known.all():
        return EmbeddingColumn(keys, found.rows, index.astype(np.int32))
    known = np.flatnonzero(found.known)
    last = len(known)
    place = np.full(len(keys), last, np.int32)
    place[known] = np.arange(last, dtype=np.int32)
    kept = np.append(known, np.flatnonzero(~found.known)[0])
    return EmbeddingColumn(np.append(keys[known], UNKNOWN_KEY), found.rows[kept], place[index])


@dataclass(frozen=True)
class RolledOut:
    """A version of the versions folder, and the share of users that it is offered to."""

    version: ServedVersion
    share: float


@dataclass(frozen=True)
class Snapshot:
    """What is served at one moment. It never changes; the next one replaces it as a whole.

    Attributes:
        versions: the versions by ID.
        rolled_out: those of the versions folder, in the order in which they were published.
        refused: why versions of the folder are not served, by ID.
    """

    versions: Mapping[str | None, ServedVersion]
    rolled_out: tuple[RolledOut, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    def ids(self) -> list[str]:
        """Return the IDs of the versions."""
        return [version_id for version_id in self.versions if version_id is not None]

    def shares(self) -> dict[str, float]:
        """Return the share of users that each version of the versions folder is offered to, by ID."""
        return {str(each.version.version_id): each.share for each in self.rolled_out}

    def offered(self, user_id: int) -> ServedVersion | None:
        """Return the version that a user should run, or None."""
        for each in reversed(self.rolled_out):
            if in_share(each.share, str(each.version.version_id), user_id):
                return each.version
        return None


class Versions:
    """The versions that the cloud serves at the same time. A device's request names the one that it runs.

    Threads may share an instance. `roll_out` replaces all that is served in one step. A request in flight keeps the
    version that it began with.

    Args:
        pass_through: the specification of the logs, for devices without a model.
        served: the versions that are always served. They are not offered to devices.
        catalogue: the catalogue. It must have all columns that a version reads.

    Raises:
        InputError: two versions have the same ID.
        LogsError: the catalogue lacks a column.
    """

    def __init__(self, pass_through: FeatureSpec, served: Iterable[ServedVersion], catalogue: Catalogue) -> None:
        self._always: dict[str | None, ServedVersion] = {None: ServedVersion(None, pass_through, None)}
        for version in served:
            if version.version_id in self._always:
                raise InputError(f"versions: version {version.version_id} is given twice: give each bundle once")
            self._always[version.version_id] = version
        for version in self._always.values():
            version.prepare(catalogue)
        self._now = Snapshot(self._always)

    def __iter__(self) -> Iterator[ServedVersion]:
        return iter(self._now.versions.values())

    @property
    def now(self) -> Snapshot:
        """All that is served at this moment."""
        return self._now

    @property
    def ids(self) -> list[str]:
        """The IDs of the versions, in the order in which they were given and published."""
        return self._now.ids()

    @property
    def always(self) -> frozenset[str | None]:
        """The IDs of the versions that are always served."""
        return frozenset(self._always)

    @property
    def shares(self) -> dict[str, float]:
        """The share of users that each version of the versions folder is offered to, by ID."""
        return self._now.shares()

    @property
    def refused(self) -> dict[str, str]:
        """Why versions of the versions folder are not served, by ID."""
        return dict(self._now.refused)

    def roll_out(self, versions: Sequence[RolledOut], refused: Mapping[str, str]) -> None:
        """Serve `versions` instead of those that were rolled out before, in the order in which they were published.

        `ServedVersion.prepare` was called for each, and none has the ID of a version that is always served.

        Args:
            versions: the versions of the versions folder.
            refused: why other versions of the folder are not served, by ID.
        """
        by_id = {each.version.version_id: each.version for each in versions}
        self._now = Snapshot({**self._always, **by_id}, tuple(versions), dict(refused))

    def offered(self, user_id: int) -> ServedVersion | None:
        """Return the version that this user should run: the newest one whose share contains the user, or None."""
        return self._now.offered(user_id)

    def get(self, version_id: str | None, *, user_id: int | None = None) -> ServedVersion:
        """Return a version; for None, what devices without a model get.

        Args:
            version_id: the version that the device runs.
            user_id: the device's user, if it is known. The error then names the version that the user should run.

        Raises:
            UnknownVersionError: the cloud does not serve this version.
        """
        now = self._now
        version = now.versions.get(version_id)
        if version is None:
            ids = now.ids()
            more: dict[str, Any] = {"versions": ids}
            if user_id is not None:
                offered = now.offered(user_id)
                more["offered"] = offered and offered.version_id
            raise UnknownVersionError(
                f"version {version_id!r:.80} is not served; the served versions are: {', '.join(ids) or 'none'}", more
            )
        return version


def open_version(
    bundle: Path, *, public_key: PublicKey | None = None, embeddings: EmbeddingSource | None = None
) -> ServedVersion:
    """Open the cloud half of `bundle`, and check all of its files. This needs no MNN.

    Args:
        bundle: the bundle.
        public_key: the bundle must have a signature of this key.
        embeddings: where the embedding tables are; default: in the bundle's files. Otherwise only the manifest is read.

    Raises:
        FormatError, IntegrityError, SignatureError, ResourceError: as for `edgerec.bundle.tables.open_tables`.
        UnpublishedError, StoreError: as for `edgerec.cloud.embedding_source.RedisEmbeddings.open`.
    """
    opened = (embeddings or BundleFiles()).open(bundle / CLOUD, public_key=public_key)
    try:
        spec = parse_spec(json.dumps(opened.spec), where="manifest.json")
    except SpecificationError as error:
        raise FormatError(f"cloud bundle: {bundle / CLOUD}: {error}: export the bundle again") from None
    columns, kinds = opened.mixing_columns, opened.mixing_kinds
    return ServedVersion(opened.version_id, spec, opened.tables, mixing_columns=columns, mixing_kinds=kinds)
