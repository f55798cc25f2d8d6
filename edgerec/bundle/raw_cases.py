"""Raw cases: golden cases that start from raw values. A device that makes the same vectors encodes as training did."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from edgerec.bundle.bounds import MAX_CASE_BYTES
from edgerec.bundle.golden import GoldenCase, case_arrays
from edgerec.core.arrays import read_members
from edgerec.core.atomic import write_bytes
from edgerec.core.documents import parse_document
from edgerec.core.errors import EdgeRecError, FormatError, ParityError
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.raw_values import RawEncoder
from edgerec.device_runtime.relations import History
from edgerec.device_runtime.row_checks import raw_column
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind
from edgerec.features.encoder import Values
from edgerec.features.kinds import Feature
from edgerec.kv.npz import NpzTables

Array = npt.NDArray[np.float32]
Value = StrictInt | StrictFloat | StrictStr | None
Column = list[Value]
Time = Annotated[StrictInt, Field(ge=-(2**62), le=2**62)]
"""Milliseconds since 1970."""

ADVICE = "export the bundle again"


class RawBehaviours(BaseModel):
    """The behaviours of one kind, oldest first. Each column has a value for each behaviour."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    time: list[Time]
    item: dict[str, Column]
    action: dict[str, Column]


class RawRequest(BaseModel):
    """The raw values of a request. A missing value is None, and the names of columns are those of the logs."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    time: Time
    context: dict[str, Value]
    candidates: dict[str, Column]
    """Each column has a value for each candidate."""
    exposures: RawBehaviours
    page_views: RawBehaviours

    def of(self, kind: BehaviourKind) -> RawBehaviours:
        """Return the behaviours of one kind."""
        found: RawBehaviours = getattr(self, kind.plural)
        return found


def write_raw_case(request: RawRequest, case: GoldenCase, path: Path) -> None:
    """Write the raw values of `request` and the case that training made of them to the npz file `path`."""
    raw = np.frombuffer(request.model_dump_json().encode(), np.uint8)
    content = io.BytesIO()
    np.savez(content, raw=raw, **case_arrays(case))
    write_bytes(path, content.getvalue())


def read_raw(path: Path) -> RawRequest:
    """Read the raw values of the raw case in the npz file `path`. `read_case` reads its other arrays.

    Raises:
        FormatError: the file cannot be read, or its raw values are not those of a request.
    """
    what = "golden case"
    raw = read_members(path, ["raw"], what=what, advice=ADVICE, most=MAX_CASE_BYTES)["raw"]
    if raw.dtype != np.uint8 or raw.ndim != 1:
        raise FormatError(
            f"{what} {path}: raw should be uint8 with one axis; received {raw.dtype} {raw.shape}: {ADVICE}"
        )
    return parse_document(raw.tobytes(), path=path, model=RawRequest, what=what, format_number=1, advice=ADVICE)


def check_raw(model: DeviceModel, tables: NpzTables, request: RawRequest, case: GoldenCase, *, name: str) -> int:
    """Encode the raw values on this machine, and compare the vectors with those of `case`, byte for byte.

    Args:
        model: the device models.
        tables: the embedding tables.
        request: the raw values.
        case: the vectors that training's encoder made of them.
        name: the name of the case in error texts.

    Returns:
        The number of vectors.

    Raises:
        FormatError: the raw values do not fit the specification or the case.
        ParityError: a vector has other bytes.
    """
    try:
        vectors = dict(_encode(model, tables, request, case))
    except ParityError:
        raise
    except EdgeRecError as error:
        raise FormatError(f"bundle: {name} does not fit the specification ({error}): {ADVICE}") from None
    spec, rows = model.spec, 0
    groups = {"candidates": (*spec.item, *spec.relations, *spec.context)}
    for kind in BEHAVIOUR_KINDS:
        groups |= {f"{kind.name}_item": spec.item, f"{kind.name}_action": spec.actions(kind)}
    for array, features in groups.items():
        _compare(name, array, features, vectors[array], getattr(case, array))
        rows += len(vectors[array])
    return rows


def _encode(
    model: DeviceModel, tables: NpzTables, request: RawRequest, case: GoldenCase
) -> Iterator[tuple[str, Array]]:
    """Yield each array of the case by name, encoded from raw values as an application does it."""
    relations = model.candidates.relations
    histories = {}
    for kind in BEHAVIOUR_KINDS:
        raw, count = request.of(kind), len(case.of(kind).action)
        if len(raw.time) != count:
            raise FormatError(f"{kind.plural} should have {count} times; received {len(raw.time)}")
        items, actions = (
            _rows(raw.item, count, f"{kind.plural}.item"),
            _rows(raw.action, count, f"{kind.plural}.action"),
        )
        yield f"{kind.name}_item", _item_vectors(model, tables, items)
        encoder = RawEncoder(model.spec.actions(kind))
        sources = {feature.source for feature in model.spec.actions(kind)}
        yield f"{kind.name}_action", encoder.vectors(_only(actions, sources))
        history: History = relations.empty()
        for item, action, time in zip(_only(items, relations.item_columns), actions, raw.time, strict=True):
            history = history.append(relations.behaviour(kind, item, action), time)
        histories[kind] = history
    items = _rows(request.candidates, len(case.candidates), "candidates")
    yield (
        "candidates",
        model.candidates.vectors(
            _item_vectors(model, tables, items),
            items=_only(items, relations.item_columns),
            histories=histories,
            context=request.context,
            time=request.time,
        ),
    )


def _item_vectors(model: DeviceModel, tables: NpzTables, rows: Sequence[Values]) -> Array:
    embedded = {}
    for feature in model.spec.embeddings:
        keys = raw_column(feature, [row[feature.source] for row in _only(rows, [feature.source])])
        embedded[feature.name] = tables.tables[feature.name].get_many(keys).rows
    sources = {feature.source for feature in model.spec.item if not feature.has_table}
    return model.items.vectors(_only(rows, sources), embedded)


def _rows(columns: Mapping[str, Column], count: int, what: str) -> list[Values]:
    """Return the rows of `columns`, each of which should have `count` values.

    Raises:
        FormatError: a column has another length.
    """
    for name, column in columns.items():
        if len(column) != count:
            raise FormatError(f"column {name!r} of {what} should have {count} values; received {len(column)}")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)] or [{}] * count


def _only(rows: Sequence[Values], names: Iterable[str]) -> list[Values]:
    """Return the rows with the columns `names`.

    Raises:
        FormatError: a column is missing.
    """
    wanted = tuple(names)
    for name in wanted:
        if rows and name not in rows[0]:
            raise FormatError(f"column {name!r} is missing")
    return [{name: row[name] for name in wanted} for row in rows]


def _compare(name: str, array: str, features: Sequence[Feature], vectors: Array, expected: Array) -> None:
    """Raise ParityError if two vectors differ in a byte, and FormatError if their widths differ."""
    if vectors.shape != expected.shape:
        raise FormatError(
            f"bundle: {name}: {array} should have the shape {vectors.shape}; received {expected.shape}: {ADVICE}"
        )
    rows, columns = np.nonzero(vectors.view(np.uint32) != np.ascontiguousarray(expected).view(np.uint32))
    if len(rows):
        row, column = int(rows[0]), int(columns[0])
        ends = np.cumsum([feature.width for feature in features])
        feature = features[int(np.searchsorted(ends, column, "right"))].name
        raise ParityError(
            f"bundle: {name}: feature {feature} in row {row} of {array} should be {expected[row, column]:.9g}, as in "
            f"training; received {vectors[row, column]:.9g}: do not use the bundle on this machine"
        )
