"""The proof: logits of MNN and of ONNX Runtime equal those of Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from edgerec.bundle.golden import GoldenCase, run_case
from edgerec.core.errors import ParityError
from edgerec.core.tolerance import Tolerance, absolute_difference
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.export.onnx_device import OnnxDevice

Array = npt.NDArray[np.float32]

TOLERANCE = 1e-4
"""On logits. Rounding alone stays near 1e-6 for trained weights; exchanged layers, gates or signs, or a tensor off by
1 %, are far beyond."""
RELATIVE = 5e-6
"""Of a logit's own size, on top of it. Each addition in float32 rounds by up to 6e-8 of the sum, and the layers before
a logit add up 64 numbers or so, in an order of each engine's own. Sound models stay below 4e-7, up to logits of 1e7."""
ALLOWED = Tolerance(TOLERANCE, RELATIVE)
UNBOUNDED = Tolerance(float(np.finfo(np.float32).max))
"""A tolerance of what is measured and not held: any difference, as long as it is a number."""


class CaseError(ParityError):
    """A request that is scored otherwise.

    Attributes:
        case: its inputs, and Keras' logits.
    """

    def __init__(self, said: str, case: GoldenCase) -> None:
        super().__init__(said)
        self.case = case


def check_random(cases: Iterable[GoldenCase], device: DeviceModel, onnx_device: OnnxDevice) -> dict[str, float]:
    """Run `cases` by MNN and by ONNX Runtime, step by step, and hold both to Keras.

    Returns:
        The largest absolute difference of logits: `random_mnn`, `random_onnx`.

    Raises:
        CaseError: a difference above `ALLOWED`, with the worst element.
    """
    runners: dict[str, Callable[[GoldenCase], Array]] = {
        "random_mnn": lambda case: run_case(device, case),
        "random_onnx": onnx_device.score,
    }
    worst = dict.fromkeys(runners, 0.0)
    for case in cases:
        for name, run in runners.items():
            where = f"{len(case.exposure_action)} exposures, {len(case.page_view_action)} page-views"
            worst[name] = max(worst[name], compare(name, run(case), case, where=where))
    return worst


def compare(check: str, found: Array, case: GoldenCase, *, where: str, tolerance: Tolerance = ALLOWED) -> float:
    """The largest absolute difference of logits (c,) from those of `case`.

    Raises:
        CaseError: it is above `tolerance`, or a value is no number.
    """
    expected = case.logits
    if found.shape != expected.shape:
        raise CaseError(f"parity {check} ({where}): {found.shape} logits instead of {expected.shape}", case)
    error = absolute_difference(found, expected)
    at = tolerance.worst_index(found, expected)
    if at is not None:
        raise CaseError(
            f"parity {check} ({where}): candidate {at} of {len(expected)} scores {found[at]:.7g} instead of "
            f"{expected[at]:.7g}, {error[at]:.2g} apart; {tolerance.allowed(expected)[at]:.2g} is allowed",
            case,
        )
    return float(error.max())
