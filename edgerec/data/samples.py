"""Samples: the input of training and evaluation, read shard by shard (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from edgerec.core.arguments import check_choice, check_whole
from edgerec.core.atomic import json_bytes
from edgerec.core.documents import read_document
from edgerec.core.errors import FormatError, InputError
from edgerec.core.hashing import sha256_bytes, sha256_file
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.text import check_utf8
from edgerec.core.text_fields import Name, PathText
from edgerec.data.item_table import ItemTable
from edgerec.data.shard_files import (
    FILES,
    NOT_EXPOSED,
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
    ShardEntry,
    SplitCounts,
    shard_file,
)
from edgerec.data.shard_reader import ShardReader
from edgerec.data.shards import Behaviours, Requests, Shard, join_shards
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind, Limits
from edgerec.features.encoder import GroupEncoder
from edgerec.features.spec import FeatureSpec
from edgerec.features.vocabulary import Vocabulary
from edgerec.features.vocabulary_files import open_vocabularies

__all__ = [
    "NOT_EXPOSED",
    "SPLITS",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "Behaviours",
    "Limits",
    "Requests",
    "Samples",
    "SamplesHead",
    "Shard",
    "SplitCounts",
    "join_shards",
    "open_samples",
]

FORMAT = 4
HEAD = "samples.json"
ITEMS, SHARDS, VOCABULARY = "items", "shards", "vocabulary"


class SamplesHead(BaseModel):
    """The content of `samples.json`."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[4] = 4
    kind: Literal["samples"] = "samples"
    name: Name
    logs: PathText
    """The path of the logs when the samples were made."""
    spec: FeatureSpec
    limits: Limits
    validation_from: int
    """Start of the validation period in milliseconds since 1970. Its requests are used for early stopping."""
    test_from: int
    users: int
    requests_with_gaps: int | None = None
    """If the logs have ordinals: the number of requests for which behaviours are missing in the logs, between the start
    of a recurrence and the latest known behaviour. Otherwise it is None, and `samples.json` does not have it."""
    splits: dict[str, SplitCounts]
    shards: list[ShardEntry]


@dataclass(frozen=True)
class Samples:
    """An opened folder of samples. Shards stay on disk until they are read.

    Attributes:
        path: the folder.
        head: specification, limits, periods, shards.
        vocabularies: the vocabulary of each embedding feature, by the feature's name.
        items: the encoded catalogue.
    """

    path: Path
    head: SamplesHead
    vocabularies: Mapping[str, Vocabulary]
    items: ItemTable

    def shard(self, number: int, split: str) -> Shard:
        """Read the requests of a shard in `split`, with the shard's behaviours.

        Raises:
            InputError: there is no such shard or split.
            FormatError: a file is missing or damaged.
        """
        check_choice(split, SPLITS, "shard: `split`")
        check_whole(number, "shard: `number`", least=0)
        if number >= len(self.head.shards):
            raise InputError(f"shard: `number` should be below {len(self.head.shards)}; received {number}")
        entry = self.head.shards[number]
        return self._reader.read(self.path / SHARDS / entry.name, entry, split)

    def shards(self, split: str) -> Iterator[Shard]:
        """Yield the shards that have requests in `split`, one after the other."""
        check_choice(split, SPLITS, "shards: `split`")
        for number, entry in enumerate(self.head.shards):
            if entry.splits[split].requests:
                yield self.shard(number, split)

    def requests(self, split: str) -> Iterator[Requests]:
        """Yield the requests of each shard in `split`, without their behaviours."""
        check_choice(split, SPLITS, "requests: `split`")
        for entry in self.head.shards:
            if entry.splits[split].requests:
                yield self._reader.read_requests(self.path / SHARDS / entry.name, entry, split)

    @property
    def digest(self) -> str:
        """SHA-256 of the catalogue, the vocabularies and `samples.json`, which has the digests of all shards."""
        arrays = [file for folder in (ITEMS, VOCABULARY) for file in sorted((self.path / folder).glob("*.npy"))]
        digests = {str(file.relative_to(self.path)): sha256_file(file) for file in (self.path / HEAD, *arrays)}
        return sha256_bytes(json_bytes(digests))

    @property
    def _reader(self) -> ShardReader:
        return ShardReader(self.head.spec, self.items, self.head.limits, self.vocabularies)

    def counts(self) -> dict[str, Any]:
        """Return the counts of all samples, of each split (`splits`), and of each kind of behaviour (`behaviours`).

        `labels` counts the labelled candidates of all requests. The requests of a page label the same exposures, so
        it may be larger than the number of exposures, which is in `behaviours`. If the logs have ordinals,
        `requests_with_gaps` is as in `SamplesHead`.
        """
        splits = {split: _split_counts(self.head.splits[split]) for split in SPLITS}
        totals = {key: sum(part[key] for part in splits.values()) for key in ("requests", "labels", "positive_labels")}
        behaviours = {kind.plural: sum(entry.count(kind) for entry in self.head.shards) for kind in BEHAVIOUR_KINDS}
        gaps = self.head.requests_with_gaps
        told = {} if gaps is None else {"requests_with_gaps": gaps}
        return {**totals, "users": self.head.users, **told, "splits": splits, "behaviours": behaviours}

    def item_encoder(self) -> GroupEncoder:
        """Return the encoder of items."""
        return GroupEncoder(self.head.spec.item, self.vocabularies)

    def action_encoder(self, kind: BehaviourKind) -> GroupEncoder:
        """Return the encoder of the actions of one kind of behaviour."""
        return GroupEncoder(self.head.spec.actions(kind))


def _split_counts(split: SplitCounts) -> dict[str, int]:
    return {
        "requests": split.requests,
        "pages": split.pages,
        "labels": split.exposures,
        "positive_labels": split.clicks,
    }


def open_samples(path: AnyPath) -> Samples:
    """Open the samples in the folder `path`. A shard is read and checked when it is asked for.

    Raises:
        InputError: `path` is not a path, or not UTF-8.
        FormatError: the folder does not exist, has another format number, or lacks an array or a shard.
    """
    path = to_path(path, "open_samples: `path`")
    check_utf8(path, what="samples")
    head = read_document(path / HEAD, SamplesHead, what="samples", format_number=FORMAT)
    for where in (head.splits, *(entry.splits for entry in head.shards)):
        missing = [split for split in SPLITS if split not in where]
        if missing:
            raise FormatError(f"samples: {path / HEAD} does not name the split {missing[0]!r}: make the samples again")
    vocabularies = open_vocabularies(head.spec.vocabulary_sizes, path / VOCABULARY)
    for entry in head.shards:
        for name in FILES:
            file = shard_file(path / SHARDS / entry.name, name)
            if not file.is_file():
                raise FormatError(f"samples: {file} does not exist: make the samples again")
    items = ItemTable.open(path / ITEMS, head.spec, vocabularies)
    return Samples(path=path, head=head, vocabularies=vocabularies, items=items)
