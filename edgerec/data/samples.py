"""Samples: what training and evaluation read (docs/formats.md).

A user's behaviours are encoded once and stored once, in order of time; a request names the range that was known to the
device at its instant. So a behaviour that a hundred requests look back on costs its bytes once, and a batch is a gather
from memory-mapped arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edgerec.core.arrays import load_array
from edgerec.core.atomic import write_json
from edgerec.core.documents import read_document
from edgerec.core.errors import FormatError, OutputError
from edgerec.features.encoder import Encoded, GroupEncoder
from edgerec.features.spec import FeatureSpec
from edgerec.features.vocabulary import Vocabulary, load_vocabularies, save_vocabularies

FORMAT = 1
HEAD = "samples.json"
TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
NOT_EXPOSED = 255
"""The label of a candidate that was on offer and never shown: context, out of the loss."""


class Limits(BaseModel):
    """The longest sequences that the models read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidates: Annotated[int, Field(ge=1, le=1000)] = 100
    exposures: Annotated[int, Field(ge=1, le=1000)] = 100
    page_views: Annotated[int, Field(ge=1, le=1000)] = 50


class SplitCounts(BaseModel):
    """Size of a split: requests, candidates that were exposed, clicks on them."""

    requests: int
    exposures: int
    clicks: int


class SamplesHead(BaseModel):
    """`samples.json`."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[1] = 1
    kind: Literal["samples"] = "samples"
    name: str
    spec: FeatureSpec
    limits: Limits
    validation_from: int
    """Milliseconds since 1970: requests from here on, before the test period, are for early stopping."""
    test_from: int
    users: int
    splits: dict[str, SplitCounts]


@dataclass(frozen=True)
class Behaviours:
    """All behaviours of one kind, in order of user and time.

    Attributes:
        action: what the user did (n rows).
        item: what it was done to (n rows).
    """

    action: Encoded
    item: Encoded

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True)
class Requests:
    """The requests of a split in order of time.

    Attributes:
        request_id: (r,) int64.
        time: (r,) int64, milliseconds since 1970.
        exposures: (r, 2) int64, first and one past the last known exposure among the behaviours.
        page_views: (r, 2) int64, the same for page-views.
        offsets: (r + 1,) int64, where each request's candidates begin.
        item: the candidates, as encoded when they were served.
        label: (candidates,) uint8: 1 clicked, 0 exposed without click, `NOT_EXPOSED`.
    """

    request_id: NDArray[np.int64]
    time: NDArray[np.int64]
    exposures: NDArray[np.int64]
    page_views: NDArray[np.int64]
    offsets: NDArray[np.int64]
    item: Encoded
    label: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.request_id)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(r,) number of candidates of each request."""
        return np.diff(self.offsets)

    def counts(self) -> SplitCounts:
        exposed = self.label != NOT_EXPOSED
        return SplitCounts(requests=len(self), exposures=int(exposed.sum()), clicks=int((self.label == 1).sum()))


@dataclass(frozen=True)
class Samples:
    """A folder of samples, opened.

    Attributes:
        head: specification, limits, periods.
        vocabularies: by name of embedding feature.
        exposures: item exposures (IE).
        page_views: item page-views (IPV).
        splits: the requests, by `train`, `validation`, `test`.
    """

    head: SamplesHead
    vocabularies: Mapping[str, Vocabulary]
    exposures: Behaviours
    page_views: Behaviours
    splits: Mapping[str, Requests]

    def counts(self) -> dict[str, Any]:
        """`requests`, `exposures`, `clicks` over all splits, and of each split by its name."""
        splits = {split: requests.counts().model_dump() for split, requests in self.splits.items()}
        totals = {key: sum(part[key] for part in splits.values()) for key in ("requests", "exposures", "clicks")}
        return {**totals, "users": self.head.users, "splits": splits}

    def item_encoder(self) -> GroupEncoder:
        return GroupEncoder(self.head.spec.item, self.vocabularies)

    def action_encoders(self) -> tuple[GroupEncoder, GroupEncoder]:
        """Of exposures and of page-views."""
        return GroupEncoder(self.head.spec.ie_action), GroupEncoder(self.head.spec.ipv_action)


def save_samples(samples: Samples, folder: Path) -> None:
    """Write `samples` into the empty `folder`."""
    save_vocabularies(dict(samples.vocabularies), folder / "vocabulary")
    for name, behaviours in (("exposures", samples.exposures), ("page_views", samples.page_views)):
        _save_encoded(behaviours.action, folder / "behaviours" / name / "action")
        _save_encoded(behaviours.item, folder / "behaviours" / name / "item")
    for name, requests in samples.splits.items():
        place = folder / name
        _save_encoded(requests.item, place / "item")
        for field in _REQUEST_ARRAYS:
            _save_array(place / f"{field}.npy", getattr(requests, field))
    write_json(folder / HEAD, samples.head.model_dump(mode="json"))


def load_samples(path: Path) -> Samples:
    """Open the folder `path`; arrays are memory-mapped.

    Raises:
        FormatError: no such folder, another format number, a damaged or missing array.
    """
    head = read_document(path / HEAD, SamplesHead, what="samples", format_number=FORMAT)
    missing = [split for split in SPLITS if split not in head.splits]
    if missing:
        raise FormatError(f"samples: {path / HEAD} does not name the split {missing[0]!r}: make the samples again")
    behaviours = {
        name: Behaviours(
            action=_load_encoded(path / "behaviours" / name / "action"),
            item=_load_encoded(path / "behaviours" / name / "item"),
        )
        for name in ("exposures", "page_views")
    }
    splits = {
        split: Requests(
            item=_load_encoded(path / split / "item"),
            **{field: _load_array(path / split / f"{field}.npy") for field in _REQUEST_ARRAYS},
        )
        for split in SPLITS
    }
    samples = Samples(
        head=head,
        vocabularies=load_vocabularies(tuple(f.name for f in head.spec.embeddings), path / "vocabulary"),
        exposures=behaviours["exposures"],
        page_views=behaviours["page_views"],
        splits=splits,
    )
    _check(samples, path)
    return samples


_REQUEST_ARRAYS: dict[str, type[np.generic]] = {
    "request_id": np.int64,
    "time": np.int64,
    "exposures": np.int64,
    "page_views": np.int64,
    "offsets": np.int64,
    "label": np.uint8,
}
_ENCODED_ARRAYS: dict[str, type[np.generic]] = {"ids": np.int32, "codes": np.uint8, "numbers": np.float32}


def _save_encoded(encoded: Encoded, folder: Path) -> None:
    folder.mkdir(parents=True)
    for field in _ENCODED_ARRAYS:
        _save_array(folder / f"{field}.npy", getattr(encoded, field))


def _save_array(path: Path, array: NDArray[Any]) -> None:
    try:
        np.save(path, array)
    except OSError as error:
        if error.errno is None:  # numpy's own "n requested and m written"
            raise OutputError(f"samples: cannot write {path} ({error}): free some space or write elsewhere") from None
        raise


def _load_encoded(folder: Path) -> Encoded:
    return Encoded(**{field: _load_array(folder / f"{field}.npy") for field in _ENCODED_ARRAYS})


def _load_array(path: Path) -> NDArray[Any]:
    return load_array(path, what="samples", advice="make the samples again")


def _check(samples: Samples, path: Path) -> None:
    """Shapes and ranges that everything behind relies on, at the cost of one pass over codes and ids."""
    actions = samples.action_encoders()
    item = samples.item_encoder()
    for name, behaviours, action in (
        ("exposures", samples.exposures, actions[0]),
        ("page_views", samples.page_views, actions[1]),
    ):
        count = behaviours.action.codes.shape[0] if behaviours.action.codes.ndim else 0
        _check_encoded(behaviours.action, action, count, f"{path}/behaviours/{name}/action")
        _check_encoded(behaviours.item, item, count, f"{path}/behaviours/{name}/item")
    for split, requests in samples.splits.items():
        where = f"{path}/{split}"
        _check_request_arrays(requests, where)
        _check_encoded(requests.item, item, len(requests.label), f"{where}/item")
        lengths = np.diff(requests.offsets)
        whole = requests.offsets[0] == 0 and requests.offsets[-1] == len(requests.label)
        if not whole or (len(lengths) and (lengths.min() < 1 or lengths.max() > samples.head.limits.candidates)):
            raise FormatError(f"samples: {where}: lists of candidates do not fit together: make the samples again")
        if not bool(np.isin(requests.label, (0, 1, NOT_EXPOSED)).all()):
            raise FormatError(f"samples: {where}/label.npy should hold 0, 1 or {NOT_EXPOSED}: make the samples again")
        for name, ranges, behaviours in (
            ("exposures", requests.exposures, samples.exposures),
            ("page_views", requests.page_views, samples.page_views),
        ):
            windows = ranges[:, 1] - ranges[:, 0]
            inside = (ranges >= 0).all() and (ranges <= len(behaviours)).all()
            if not inside or (windows < 0).any() or (windows > getattr(samples.head.limits, name)).any():
                raise FormatError(
                    f"samples: {where}/{name}.npy names behaviours that are not there: make the samples again"
                )


def _check_request_arrays(requests: Requests, where: str) -> None:
    count = requests.request_id.shape[:1]
    shapes = {
        "request_id": count,
        "time": count,
        "exposures": (*count, 2),
        "page_views": (*count, 2),
        "offsets": tuple(length + 1 for length in count),
        "label": requests.label.shape[:1],
    }
    for field, dtype in _REQUEST_ARRAYS.items():
        array: NDArray[Any] = getattr(requests, field)
        # Without an axis there is no count either: `count` is then (), which no array here may have.
        if array.shape != shapes[field] or array.ndim == 0 or array.dtype != dtype:
            raise FormatError(
                f"samples: {where}/{field}.npy should be {np.dtype(dtype)} {shapes[field]}; received "
                f"{array.dtype} {array.shape}: make the samples again"
            )


def _check_encoded(encoded: Encoded, encoder: GroupEncoder, count: int, where: str) -> None:
    sizes = encoder.sizes()
    for field, dtype in _ENCODED_ARRAYS.items():
        array: NDArray[Any] = getattr(encoded, field)
        expected = (count, len(sizes[field]))
        if array.shape != expected or array.dtype != dtype:
            received = f"{array.dtype} {array.shape}"
            raise FormatError(
                f"samples: {where}/{field}.npy should be {np.dtype(dtype)} {expected}; received {received}"
            )
        if field == "numbers":
            faulty = not bool(np.isfinite(array).all())
        else:
            faulty = bool(count and array.size and (array.max(axis=0) >= sizes[field]).any())
            faulty = faulty or bool(field == "ids" and array.size and array.min() < 0)
        if faulty:
            raise FormatError(f"samples: {where}/{field}.npy holds values out of range: make the samples again")
