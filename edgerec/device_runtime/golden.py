"""Golden cases: inputs with the outputs that the trained model gave for them, for any device to prove itself."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgerec.core.arrays import load_members
from edgerec.core.errors import FormatError, SessionError
from edgerec.core.manifest import GOLDEN, BundleManifest
from edgerec.device_runtime.device_model import DeviceModel, encode_behaviours

Array = npt.NDArray[np.float32]

_PAIRS = (
    ("exposure_action", "exposure_item"),
    ("page_view_action", "page_view_item"),
    ("candidates", "logits"),
)


@dataclass(frozen=True)
class GoldenCase:
    """One request as dense vectors, and the trained model's logits for it.

    Attributes:
        exposure_action: (t, d_a).
        exposure_item: (t, d_x).
        page_view_action: (u, d_b).
        page_view_item: (u, d_x).
        candidates: (c, d_x).
        logits: (c,).
    """

    exposure_action: Array
    exposure_item: Array
    page_view_action: Array
    page_view_item: Array
    candidates: Array
    logits: Array


def run_case(model: DeviceModel, case: GoldenCase) -> Array:
    """The device's logits (c,): every behaviour by a step, then one re-rank that reads the latest of them."""
    exposures = encode_behaviours(model.hubsm_ie, case.exposure_action, case.exposure_item)
    page_views = encode_behaviours(model.hubsm_ipv, case.page_view_action, case.page_view_item)
    crban = model.crban
    return crban.score(
        case.candidates, exposures.latest(crban.exposure_limit), page_views.latest(crban.page_view_limit)
    )


def run_named(model: DeviceModel, bundle: Path, name: str) -> tuple[GoldenCase, Array]:
    """The case of path `name` within `bundle`, and the device's logits (c,) for it.

    Raises:
        FormatError: it cannot be read, or does not fit the models.
    """
    case = load_case(bundle / name)
    try:
        return case, run_case(model, case)
    except SessionError as error:
        raise FormatError(f"bundle: {name} does not fit the models ({error}): export it again") from None


def case_names(bundle: Path, manifest: BundleManifest) -> list[str]:
    """The paths within `bundle` of its cases, in order; the last one has every length at its limit.

    Raises:
        FormatError: it has none.
    """
    names = sorted(name for name in manifest.files if name.startswith(f"{GOLDEN}/case-"))
    if not names:
        raise FormatError(f"bundle: {bundle} has no golden case: export it again")
    return names


def save_case(case: GoldenCase, path: Path) -> None:
    """Write `case` to the npz file `path`."""
    np.savez(path, **{field.name: getattr(case, field.name) for field in fields(case)})


def load_case(path: Path) -> GoldenCase:
    """Read the npz file `path`.

    Raises:
        FormatError: it cannot be read, or holds other arrays.
    """
    arrays = load_members(
        path, [field.name for field in fields(GoldenCase)], what="golden case", advice="export the bundle again"
    )
    for name, array in arrays.items():
        if array.dtype != np.float32 or array.ndim != (1 if name == "logits" else 2):
            raise FormatError(f"golden case {path}: {name} is {array.dtype} {array.shape}: export the bundle again")
    counts = {name: len(array) for name, array in arrays.items()}
    for one, other in _PAIRS:
        if counts[one] != counts[other]:
            raise FormatError(
                f"golden case {path}: {counts[one]} of {one} and {counts[other]} of {other}: export the bundle again"
            )
    if not counts["logits"]:
        raise FormatError(f"golden case {path}: it has no candidate: export the bundle again")
    return GoldenCase(**arrays)
