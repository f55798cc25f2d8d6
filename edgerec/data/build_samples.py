"""Logs -> samples: one sample a request, with what was known at its instant and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ValidationError

from edgerec.core.atomic import output_folder
from edgerec.core.documents import first_fault
from edgerec.core.errors import InputError, LogsError, SpecificationError
from edgerec.data.logs import Logs, read_logs
from edgerec.data.samples import (
    NOT_EXPOSED,
    TEST,
    TRAIN,
    VALIDATION,
    Behaviours,
    Limits,
    Requests,
    Samples,
    SamplesHead,
    save_samples,
)
from edgerec.data.schema import CLICK_COUNT, CLICKED, EXPOSURE, ITEM_ID, KIND, PAGE_VIEW, REQUEST_ID, TIME, USER_ID
from edgerec.features.encoder import Columns, GroupEncoder, fit_raw
from edgerec.features.spec import Embedding, Feature, FeatureSpec, OneHot, Raw, load_spec
from edgerec.features.vocabulary import MISSING_ID, Vocabulary


def write_samples(
    logs: Path,
    path: Path,
    *,
    features: Path | None = None,
    limits: Mapping[str, int] | None = None,
    test_from: int | None = None,
    validation_fraction: float = 0.1,
    force: bool = False,
) -> Samples:
    """Read the logs folder `logs`, build samples and write them as the folder `path`, whole or not at all.

    Args:
        logs: the folder.
        path: the folder to write.
        features: a feature specification file; default: the logs' own.
        limits: `candidates`, `exposures`, `page_views`; see `Limits`.
        test_from: see `build_samples`.
        validation_fraction: see `build_samples`.
        force: replace `path` where it exists.

    Raises:
        InputError: a limit or fraction out of range; see also `build_samples`.
        FormatError, LogsError, SpecificationError: see `read_logs`.
        OutputError: `path` exists and `force` is false.
    """
    try:
        checked = Limits.model_validate(dict(limits or {}))
    except ValidationError as error:
        raise InputError(f"samples: {first_fault(error)}") from None
    if not 0 < validation_fraction < 1:
        raise InputError(f"samples: validation_fraction should be between 0 and 1; received {validation_fraction}")
    with output_folder(path, force=force, kind="samples") as folder:
        tables = read_logs(logs, spec=load_spec(features) if features else None)
        samples = build_samples(tables, limits=checked, test_from=test_from, validation_fraction=validation_fraction)
        save_samples(samples, folder)
    return samples


def build_samples(
    logs: Logs,
    *,
    limits: Limits | None = None,
    test_from: int | None = None,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.1,
) -> Samples:
    """Make samples from checked logs.

    Requests are split by time into training, validation (the end of the training period, for early stopping) and test.
    Vocabularies and the means and scales of raw features are fitted on what was known in the training split alone.

    Args:
        logs: the tables.
        limits: the longest sequences; behaviours beyond them fall off at the old end, a longer list is an error.
        test_from: milliseconds since 1970; default: as the logs say, else so that `test_fraction` of requests follow.
        test_fraction: share of requests in the test period, where nothing states its beginning.
        validation_fraction: share of the requests before the test period that serve as validation.

    Raises:
        LogsError: a list is longer than `limits.candidates`.
        InputError: a split has no request.
        SpecificationError: the data does not fit the specification.
    """
    limits = limits or Limits()
    requests = logs.requests
    lengths = requests[ITEM_ID].list.len()
    if len(requests) and int(lengths.max() or 0) > limits.candidates:  # type: ignore[arg-type]
        worst = requests.row(int(lengths.arg_max() or 0), named=True)
        raise LogsError(
            f"logs: request {worst[REQUEST_ID]} offers {len(worst[ITEM_ID])} candidates, more than the limit of "
            f"{limits.candidates}: raise --candidates or cut the list"
        )
    validation_from, test_from = _periods(
        requests[TIME].to_numpy(),
        logs.head.test_from if test_from is None else test_from,
        test_fraction,
        validation_fraction,
    )
    training_requests = requests.filter(pl.col(TIME) < validation_from)
    training_events = logs.events.filter(pl.col(TIME) < validation_from)
    spec, vocabularies = _fit(logs, training_events, training_requests)

    item = GroupEncoder(spec.item, vocabularies)
    behaviours = {
        kind: _behaviours(logs, kind, action=GroupEncoder(features), item=item)
        for kind, features in ((EXPOSURE, spec.ie_action), (PAGE_VIEW, spec.ipv_action))
    }
    periods = {
        TRAIN: training_requests,
        VALIDATION: requests.filter(pl.col(TIME).is_between(validation_from, test_from, closed="left")),
        TEST: requests.filter(pl.col(TIME) >= test_from),
    }
    splits = {split: _requests(logs, part, item, limits) for split, part in periods.items()}
    for split, part in splits.items():
        if not len(part):
            raise InputError(f"samples: the {split} period has no request: choose other periods (--test-from)")
    return Samples(
        head=SamplesHead(
            name=logs.head.name,
            spec=spec,
            limits=limits,
            validation_from=validation_from,
            test_from=test_from,
            users=requests[USER_ID].n_unique(),
            splits={split: part.counts() for split, part in splits.items()},
        ),
        vocabularies=vocabularies,
        exposures=behaviours[EXPOSURE],
        page_views=behaviours[PAGE_VIEW],
        splits=splits,
    )


def _periods(
    times: NDArray[np.int64], test_from: int | None, test_fraction: float, validation_fraction: float
) -> tuple[int, int]:
    """Beginnings of the validation and of the test period; `times` are ascending."""
    if not len(times):
        raise InputError("samples: the logs have no request")
    if test_from is None:
        test_from = int(times[min(int(len(times) * (1 - test_fraction)), len(times) - 1)])
    before = times[times < test_from]
    if len(before) < 2 or len(before) == len(times):
        raise InputError(
            f"samples: test period from {test_from} leaves {len(before)} requests before it and "
            f"{len(times) - len(before)} in it: both need some (--test-from, milliseconds since 1970)"
        )
    return int(before[min(int(len(before) * (1 - validation_fraction)), len(before) - 1)]), test_from


def _fit(logs: Logs, events: pl.DataFrame, requests: pl.DataFrame) -> tuple[FeatureSpec, dict[str, Vocabulary]]:
    """Fit vocabularies on items seen, and raw features on candidates and behaviours, of the training period."""
    seen = {
        "ie_action": [events.filter(pl.col(KIND) == EXPOSURE)],
        "ipv_action": [events.filter(pl.col(KIND) == PAGE_VIEW)],
        "item": [_candidates(logs, requests), _with_attributes(logs, events)],
    }
    vocabularies: dict[str, Vocabulary] = {}
    groups: dict[str, tuple[Feature, ...]] = {}
    for group, frames in seen.items():
        fitted: list[Feature] = []
        for feature in getattr(logs.spec, group):
            values = [to_columns(frame, [feature])[feature.source] for frame in frames]
            if isinstance(feature, Embedding):
                ids = np.concatenate(values)
                vocabularies[feature.name] = Vocabulary.fit(ids, size=feature.vocabulary, min_count=feature.min_count)
            elif isinstance(feature, Raw):
                # Candidates are what the model scores: behaviours count only where a feature is theirs alone.
                feature = fit_raw(feature, values[0])
            fitted.append(feature)
        groups[group] = tuple(fitted)
    return logs.spec.model_copy(update=groups), vocabularies


def _behaviours(logs: Logs, kind: str, *, action: GroupEncoder, item: GroupEncoder) -> Behaviours:
    events = logs.events.filter(pl.col(KIND) == kind)
    return Behaviours(
        action=action.encode(to_columns(events, action.features)),
        item=item.encode(to_columns(_with_attributes(logs, events), item.features)),
    )


def _requests(logs: Logs, requests: pl.DataFrame, item: GroupEncoder, limits: Limits) -> Requests:
    candidates = _candidates(logs, requests)
    lengths = requests[ITEM_ID].list.len().to_numpy()
    return Requests(
        request_id=requests[REQUEST_ID].to_numpy().copy(),
        time=requests[TIME].to_numpy().copy(),
        exposures=_known_before(requests, logs.events.filter(pl.col(KIND) == EXPOSURE), limits.exposures),
        page_views=_known_before(requests, logs.events.filter(pl.col(KIND) == PAGE_VIEW), limits.page_views),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        item=item.encode(to_columns(candidates, item.features)),
        label=requests[CLICKED].explode().cast(pl.UInt8).fill_null(NOT_EXPOSED).to_numpy().copy(),
    )


def _candidates(logs: Logs, requests: pl.DataFrame) -> pl.DataFrame:
    """One row a candidate, in order, with its served values and the item's attributes."""
    columns = _served(logs.spec)
    return _with_attributes(logs, requests.select(columns).explode(columns))


def _with_attributes(logs: Logs, rows: pl.DataFrame) -> pl.DataFrame:
    """What item features read of `rows`: what was served with each, and the attributes of its item.

    Nothing else of the rows comes along: an attribute may bear the name of an event's or a request's own column.
    """
    served = _served(logs.spec)
    attributes = logs.items.select([name for name in logs.items.columns if name == ITEM_ID or name not in served])
    return rows.select(served).join(attributes, on=ITEM_ID, how="left", maintain_order="left")


def _served(spec: FeatureSpec) -> list[str]:
    """The item and the columns that were served with it.

    Raises:
        SpecificationError: a feature reads the label.
    """
    served = [feature for feature in spec.item if feature.origin == "served"]
    for feature in served:
        if feature.source in (CLICKED, CLICK_COUNT):
            raise SpecificationError(
                f"feature {feature.name} reads {feature.source!r}, which is what the model is to predict: leave it out"
            )
    return list(dict.fromkeys([ITEM_ID, *(feature.source for feature in served)]))


def _known_before(requests: pl.DataFrame, events: pl.DataFrame, most: int) -> NDArray[np.int64]:
    """Ranges (r, 2) of each request's behaviours: the latest `most` of its user with a time strictly before its own.

    Strictly: at one instant nothing says that the device had encoded the behaviour before it was asked.
    """
    numbered = events.select(USER_ID, TIME).with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    first = numbered.group_by(USER_ID).agg(pl.col("row").min().alias("first"))
    ranges = (
        requests.select(USER_ID, TIME)
        .with_row_index("request")
        .sort(TIME)
        .join_asof(
            numbered.sort(TIME, maintain_order=True),
            on=TIME,
            by=USER_ID,
            strategy="backward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .sort("request")
        .join(first, on=USER_ID, how="left", maintain_order="left")
    )
    begin = pl.col("first").fill_null(0)
    known = ranges.select(begin.alias("begin"), (pl.col("row") + 1).fill_null(begin).alias("end"))
    end = known["end"].to_numpy()
    return np.stack([np.maximum(known["begin"].to_numpy(), end - most), end], axis=1).astype(np.int64)


def to_columns(frame: pl.DataFrame, features: Iterable[Feature]) -> Columns:
    """The columns that `features` read as numpy arrays, missing values as the encoder expects them."""
    columns: dict[str, NDArray[Any]] = {}
    for feature in features:
        series = frame[feature.source]
        if isinstance(feature, Embedding):
            columns[feature.source] = series.cast(pl.Int64).fill_null(MISSING_ID).to_numpy()
        elif isinstance(feature, OneHot) and isinstance(feature.values[0], str):
            columns[feature.source] = np.asarray(series.cast(pl.String).to_list(), dtype=object)
        else:
            columns[feature.source] = series.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return columns
