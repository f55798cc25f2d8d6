"""Golden cases: inputs with the logits of the trained model. A device that computes the same logits is correct."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgerec.bundle.bounds import MAX_CASE_BYTES
from edgerec.bundle.layout import CASES, RAW_CASES
from edgerec.bundle.manifest import BundleManifest
from edgerec.core.arrays import read_members
from edgerec.core.atomic import write_bytes
from edgerec.core.errors import FormatError, NotFiniteError, SessionError
from edgerec.core.paths import to_path
from edgerec.device_runtime.device_model import DeviceModel, encode_behaviours
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.matches import Ids, SeenItems
from edgerec.device_runtime.ranker import Scored
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind

Array = npt.NDArray[np.float32]

MATCHING = ("exposure_ids", "page_view_ids", "candidate_ids", "exposure_age", "page_view_age")
"""The fields of `GoldenCase` that only models with exact matches have."""


class CaseBehaviours(NamedTuple):
    """The behaviours of one kind in a case. `GoldenCase` describes the arrays."""

    action: Array
    item: Array
    ids: Ids | None
    age: Array | None


@dataclass(frozen=True)
class GoldenCase:
    """One request as dense vectors, with the trained model's logits.

    Attributes:
        exposure_action, exposure_item: the action vectors (t, d_a) and the item vectors (t, d_x) of the exposures.
        page_view_action, page_view_item: the action vectors (u, d_b) and the item vectors (u, d_x) of the page-views.
        candidates: the item vectors (c, d_x) of the candidates.
        logits: the trained model's logits (c,) of the candidates.
        exposure_ids, page_view_ids, candidate_ids: IDs of the items, int64 (t, k), (u, k) and (c, k), if the model
            reads exact matches (`edgerec.device_runtime.matches`); else None.
        exposure_age, page_view_age: hours from each behaviour to the request, (t,) and (u,), for such a model; else
            None.
        hidden: what the trained model's output layer reads of the candidates, (c, width), if the device's model returns
            it; else None.
    """

    exposure_action: Array
    exposure_item: Array
    page_view_action: Array
    page_view_item: Array
    candidates: Array
    logits: Array
    exposure_ids: Ids | None = None
    page_view_ids: Ids | None = None
    candidate_ids: Ids | None = None
    exposure_age: Array | None = None
    page_view_age: Array | None = None
    hidden: Array | None = None

    def lengths(self) -> dict[str, int]:
        """Return the number of candidates and of behaviours of each kind. The keys are the field names of `Limits`."""
        return {
            "candidates": len(self.candidates),
            **{kind.plural: len(self.of(kind).action) for kind in BEHAVIOUR_KINDS},
        }

    def of(self, kind: BehaviourKind) -> CaseBehaviours:
        """Return the behaviours of one kind."""
        return CaseBehaviours(*(getattr(self, f"{kind.name}_{part}") for part in CaseBehaviours._fields))


def run_case(model: DeviceModel, case: GoldenCase, windows: Mapping[BehaviourKind, int] | None = None) -> Array:
    """Run a case with the device models and return their logits (c,). See `run_scored`."""
    return run_scored(model, case, windows).logits


def run_scored(model: DeviceModel, case: GoldenCase, windows: Mapping[BehaviourKind, int] | None = None) -> Scored:
    """Run a case with the device models and return all that the ranker returns.

    The step models make one step for each behaviour. One re-rank then reads the latest behaviours.

    Args:
        model: the device models.
        case: the case.
        windows: how many behaviours of each kind the re-rank reads. Default: all, at most the limit of the ranker. If
            the logs have lost behaviours, a window has fewer than the limit although there are earlier behaviours.

    If a model returns a number that is not finite, all numbers are NaN. Every comparison with the trained model
    then fails.
    """
    try:
        return model.ranker.score_cards(case.candidates, **encode_case(model, case, windows), ids=case.candidate_ids)
    except NotFiniteError:
        count, width = len(case.candidates), model.ranker.hidden_width
        logits = np.full(count, np.nan, np.float32)
        if not width:
            return Scored(logits)
        return Scored(logits, hidden=np.full((count, width), np.nan, np.float32), candidates=case.candidates)


def encode_case(
    model: DeviceModel, case: GoldenCase, windows: Mapping[BehaviourKind, int] | None = None
) -> dict[str, Encodings]:
    """Return the encodings of the latest behaviours that the ranker reads, as keyword arguments of `score`.

    The arguments are those of `run_case`.
    """
    arguments = {}
    for kind, stepper in model.steppers.items():
        action, item, ids, age = case.of(kind)
        encodings = encode_behaviours(stepper, action, item)
        if ids is not None and age is not None:
            encodings = replace(encodings, seen=SeenItems(ids, age))
        arguments[kind.plural] = encodings.latest((windows or model.ranker.limits)[kind])
    return arguments


def run_named(model: DeviceModel, bundle: Path, name: str) -> tuple[GoldenCase, Scored]:
    """Return the case with the path `name` within `bundle`, and what the device's ranker returns for it.

    A case longer than the limits of the models is refused, so a forged case cannot take long.

    Raises:
        FormatError: the case cannot be read, or it does not fit the models.
    """
    width = model.ranker.hidden_width
    case = read_case(bundle / name, matching=model.ranker.identities > 0, hidden=width > 0)
    if case.hidden is not None and case.hidden.shape[1] != width:
        raise FormatError(
            f"bundle: {name}: hidden should have {width} numbers for each candidate, as the model returns; received "
            f"{case.hidden.shape[1]}: export the bundle again"
        )
    limits = model.limits.model_dump()
    for what, length in case.lengths().items():
        if length > limits[what]:
            raise FormatError(
                f"bundle: {name} should have at most {limits[what]} {what}; received {length}: export the bundle again"
            )
    try:
        return case, run_scored(model, case)
    except SessionError as error:
        raise FormatError(f"bundle: {name} does not fit the models ({error}): export the bundle again") from None


def raw_case_names(manifest: BundleManifest) -> list[str]:
    """Return the sorted paths of the golden cases that start from raw values. Bundles of earlier versions have none."""
    return sorted(name for name in manifest.files if name.startswith(RAW_CASES))


def case_names(bundle: Path, manifest: BundleManifest) -> list[str]:
    """Return the sorted paths of the golden cases within `bundle`. In the last case, every length is at its limit.

    Raises:
        FormatError: the bundle has no golden case.
    """
    names = sorted(name for name in manifest.files if name.startswith(CASES))
    if not names:
        raise FormatError(f"bundle: {bundle} has no golden case: export it again")
    return names


def write_case(case: GoldenCase, path: Path) -> None:
    """Write `case` to the npz file `path`."""
    content = io.BytesIO()
    np.savez(content, **case_arrays(case))
    write_bytes(path, content.getvalue())


def case_arrays(case: GoldenCase) -> dict[str, Any]:
    """Return the arrays of a case by name, without those that are None."""
    arrays = {field.name: getattr(case, field.name) for field in fields(case)}
    return {name: array for name, array in arrays.items() if array is not None}


def read_case(path: Path, *, matching: bool = False, hidden: bool = False) -> GoldenCase:
    """Read the case in the npz file `path`.

    Set `matching` for a model that reads exact matches, and `hidden` for one that returns its hidden layer.

    Raises:
        FormatError: the file cannot be read, or its arrays are not those of a case.
    """
    path = to_path(path, "golden case")
    names = [field.name for field in fields(GoldenCase) if field.default is MISSING]
    names += [*MATCHING] if matching else []
    names += ["hidden"] if hidden else []
    arrays = read_members(path, names, what="golden case", advice="export the bundle again", most=MAX_CASE_BYTES)
    for name, array in arrays.items():
        dtype = np.int64 if name.endswith("_ids") else np.float32
        axes = 1 if name == "logits" or name.endswith("_age") else 2
        if array.dtype != dtype or array.ndim != axes:
            raise FormatError(
                f"golden case {path}: {name} should be {np.dtype(dtype)} with {axes} axes; received {array.dtype} of "
                f"shape {array.shape}: export the bundle again"
            )
    counts = {name: len(array) for name, array in arrays.items()}
    same_length = {"candidates": ["logits", "candidate_ids", "hidden"]}
    for kind in BEHAVIOUR_KINDS:
        same_length[f"{kind.name}_action"] = [f"{kind.name}_{part}" for part in ("item", "ids", "age")]
    for first, others in same_length.items():
        for other in others:
            if counts.get(other, counts[first]) != counts[first]:
                raise FormatError(
                    f"golden case {path}: {first} and {other} should have equal lengths; received {counts[first]} and "
                    f"{counts[other]}: export the bundle again"
                )
    if not counts["logits"]:
        raise FormatError(f"golden case {path}: it should have a candidate; received none: export the bundle again")
    return GoldenCase(**arrays)
