"""Read shards of samples and check them (docs/formats.md)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.errors import FormatError, IntegrityError, first_line
from edgerec.core.hashing import sha256_bytes
from edgerec.data.item_table import ItemTable, check_range
from edgerec.data.parts import POLARS_FAULTS
from edgerec.data.shard_files import NOT_EXPOSED, ShardEntry, shard_file
from edgerec.data.shards import Behaviours, Requests, Shard, starts
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind, Limits
from edgerec.features.encoded import Encoded
from edgerec.features.encoder import GroupEncoder
from edgerec.features.kinds import Feature
from edgerec.features.spec import FeatureSpec, of_origin
from edgerec.features.vocabulary import Vocabulary

RANGE_COLUMNS = {kind: [f"{kind.plural}_{part}" for part in ("start", "begin", "count")] for kind in BEHAVIOUR_KINDS}
"""For each kind of behaviour, columns of requests: the row at which the recurrence starts, the row of the first known
behaviour, and the number of known behaviours."""
_REQUEST: dict[str, pl.DataType] = {
    **dict.fromkeys(("request_id", "time", "user", "page"), pl.Int64()),
    **{
        name: dtype
        for names in RANGE_COLUMNS.values()
        for name, dtype in zip(names, (pl.Int32(), pl.Int32(), pl.Int16()), strict=True)
    },
}
_TYPES = {"ids": pl.Int32(), "codes": pl.UInt8(), "numbers": pl.Float32()}


@dataclass(frozen=True)
class ShardReader:
    """Reads and checks shards.

    Attributes:
        spec: the feature specification.
        items: the encoded catalogue.
        limits: the largest lengths of sequences and lists.
        vocabularies: the vocabulary of each embedding feature, by the feature's name.
    """

    spec: FeatureSpec
    items: ItemTable
    limits: Limits
    vocabularies: Mapping[str, Vocabulary]

    def read(self, folder: Path, entry: ShardEntry, split: str) -> Shard:
        """Read one split of the shard in `folder`.

        Raises:
            FormatError: a file is missing or damaged, or differs from `entry`.
        """
        behaviours = {kind.plural: self._behaviours(folder, entry, kind) for kind in BEHAVIOUR_KINDS}
        return Shard(**behaviours, requests=self.read_requests(folder, entry, split))

    def _behaviours(self, folder: Path, entry: ShardEntry, kind: BehaviourKind) -> Behaviours:
        action, path, count = self.spec.actions(kind), shard_file(folder, kind.plural), entry.count(kind)
        schema = {
            "time": pl.Int64(),
            "item": pl.Int32(),
            **_schema("action", action),
            **_schema("served", self._served),
        }
        found = _columns(path, schema, entry.files.get(kind.plural))
        if len(found["item"]) != count:
            raise _faulty(path, f"should hold {count} rows; received {len(found['item'])}")
        arrays = {name: column.to_numpy() for name, column in found.items()}
        encoded = _encoded("action", action, arrays, path, count)
        return Behaviours(arrays["time"], arrays["item"], encoded, self._items(path, arrays))

    def read_requests(self, folder: Path, entry: ShardEntry, split: str) -> Requests:
        """Read the requests of one split, without the behaviours. This raises the same errors as `read`."""
        path = shard_file(folder, split)
        spec = self.spec
        lists = {
            "item": pl.Int32(),
            "label": pl.UInt8(),
            **_schema("served", self._served),
            **_schema("relation", spec.relations),
        }
        context = _schema("context", spec.context)
        schema = {**_REQUEST, **context, **{name: pl.List(dtype) for name, dtype in lists.items()}}
        columns = _columns(path, schema, entry.files.get(split))
        count = len(columns["request_id"])
        lengths = columns["item"].list.len().to_numpy().astype(np.int64)
        together = all(bool((columns[name].list.len() == columns["item"].list.len()).all()) for name in lists)
        if count and not (together and lengths.min() >= 1 and lengths.max() <= self.limits.candidates):
            raise _faulty(path, f"should have lists of equal length in a row, from 1 to {self.limits.candidates}")
        flat = {name: columns[name].explode() for name in lists}
        if any(column.null_count() for column in flat.values()):
            raise _faulty(path, "has nulls in lists")
        arrays = {name: column.to_numpy() for name, column in flat.items()}
        label = arrays["label"]
        if not bool(((label <= 1) | (label == NOT_EXPOSED)).all()):
            raise _faulty(path, f"should hold labels 0, 1 or {NOT_EXPOSED}")
        ranges: dict[str, NDArray[np.int64]] = {}
        for kind in BEHAVIOUR_KINDS:
            ranges.update(self._ranges(path, columns, kind, entry.count(kind)))
        requests = Requests(
            request_id=columns["request_id"].to_numpy(),
            time=columns["time"].to_numpy(),
            user=columns["user"].to_numpy(),
            page=columns["page"].to_numpy(),
            offsets=starts(lengths),
            row=arrays["item"],
            item=self._items(path, arrays),
            relations=_encoded("relation", spec.relations, arrays, path, len(label)),
            context=_encoded(
                "context", spec.context, {name: columns[name].to_numpy() for name in context}, path, count
            ),
            label=label,
            **ranges,
        )
        if requests.counts() != entry.splits[split]:
            raise _faulty(path, f"should hold {entry.splits[split]}; received {requests.counts()}")
        return requests

    def _ranges(
        self, path: Path, columns: Mapping[str, pl.Series], kind: BehaviourKind, known: int
    ) -> dict[str, NDArray[np.int64]]:
        """Return the attributes of `Requests` for one kind. The shard has `known` behaviours of this kind."""
        start, begin, size = (columns[name].to_numpy().astype(np.int64) for name in RANGE_COLUMNS[kind])
        limit = self.limits.of(kind)
        inside = (start >= 0) & (begin - start >= 0) & (begin - start < limit) & (begin + size <= known)
        inside &= (size >= 0) & (size <= limit)
        if not bool(inside.all()):
            raise _faulty(path, f"refers to {kind.plural} that the shard does not have")
        return {kind.plural: np.stack([begin, begin + size], axis=1), f"{kind.plural}_start": start}

    @property
    def _served(self) -> tuple[Feature, ...]:
        return of_origin(self.spec.item, "served")

    def _items(self, path: Path, arrays: Mapping[str, NDArray[Any]]) -> Encoded:
        check_range(arrays["item"], len(self.items), f"{path}: item")
        served = {feature.name: arrays[f"served.{feature.name}"] for feature in self._served}
        encoded = Encoded.of_columns(self._served, served.values(), len(arrays["item"]))
        _check_codes(encoded, self._served, path, self.vocabularies)
        return self.items.gather(arrays["item"], served)


def _schema(group: str, features: Sequence[Feature]) -> dict[str, pl.DataType]:
    return {f"{group}.{feature.name}": _TYPES[feature.field] for feature in features}


def _columns(path: Path, schema: Mapping[str, pl.DataType], digest: str | None) -> dict[str, pl.Series]:
    """Read the file `path`, check that it has the columns of `schema` and no null, and return its columns.

    Raises:
        FormatError: the file is missing or damaged, or has other columns.
    """
    try:
        content = path.read_bytes()
        if sha256_bytes(content) != digest:
            raise IntegrityError(f"samples: {path} was changed after it was written: make the samples again")
        table = pl.read_parquet(io.BytesIO(content))
    except (*POLARS_FAULTS, ValueError) as error:
        reason = first_line(error)
        raise FormatError(f"samples: {path} cannot be read ({reason}): make the samples again") from None
    if dict(table.schema) != dict(schema):
        odd = {name: dtype for name, dtype in table.schema.items() if schema.get(name) != dtype} or "fewer columns"
        raise _faulty(path, f"should have the columns {', '.join(schema)}; received {odd}")
    if any(column.null_count() for column in table):
        raise _faulty(path, "has nulls")
    return {column.name: column for column in table}


def _encoded(
    group: str, features: Sequence[Feature], arrays: Mapping[str, NDArray[Any]], path: Path, count: int
) -> Encoded:
    """Return the checked columns of a group of features, in the specification's order."""
    encoded = Encoded.of_columns(features, [arrays[f"{group}.{one.name}"] for one in features], count)
    _check_codes(encoded, features, path)
    return encoded


def _check_codes(
    encoded: Encoded, features: Sequence[Feature], path: Path, vocabularies: Mapping[str, Vocabulary] | None = None
) -> None:
    sizes = GroupEncoder(features, vocabularies).sizes()
    check_range(encoded.ids, sizes["ids"], str(path))
    check_range(encoded.codes, sizes["codes"], str(path))
    check_range(encoded.numbers, None, str(path))


def _faulty(path: Path, fault: str) -> FormatError:
    return FormatError(f"samples: {path} {fault}: make the samples again")
