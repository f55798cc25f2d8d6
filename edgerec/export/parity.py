"""The parity check: the logits of MNN and of ONNX Runtime must equal those of Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from edgerec.bundle.golden import GoldenCase, run_scored
from edgerec.core.errors import ParityError
from edgerec.core.tolerance import Tolerance, absolute_difference
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.ranker import Scored
from edgerec.export.onnx_device import OnnxDevice

Array = npt.NDArray[np.float32]

TOLERANCE = 1e-4
"""Allowed absolute difference of a logit.

With trained weights, rounding causes a difference of about 1e-6. Faults cause far larger differences than the
tolerance. Examples are exchanged layers, gates or signs, and a tensor that is wrong by 1 %.
"""
RELATIVE = 5e-6
"""Allowed difference relative to the size of a logit. It is added to `TOLERANCE`.

Each addition in float32 has a rounding error of up to 6e-8 times the sum. The layers before a logit add up about 64
numbers, and each engine adds them in its own order. The relative difference of correct models stays below 4e-7, with
logits up to 1e7.
"""
ALLOWED = Tolerance(TOLERANCE, RELATIVE)
UNBOUNDED = Tolerance(float(np.finfo(np.float32).max))
"""A tolerance that allows every finite difference. It is used where differences are only measured."""


class CaseError(ParityError):
    """The error for a request whose logits differ from those of Keras by more than the tolerance.

    Attributes:
        case: the inputs of the request, with the logits of Keras.
    """

    def __init__(self, message: str, case: GoldenCase) -> None:
        super().__init__(message)
        self.case = case


def check_random(cases: Iterable[GoldenCase], device: DeviceModel, onnx_device: OnnxDevice) -> dict[str, float]:
    """Run `cases` in MNN and in ONNX Runtime, step by step, and compare the logits of each with those of Keras.

    If cases have the hidden layer of Keras, it is compared, too.

    Returns:
        The largest absolute difference of a logit: for MNN under `random_mnn`, for ONNX Runtime under `random_onnx`.
        The largest difference of the hidden layer has the same names with `_hidden` at the end.

    Raises:
        CaseError: a difference is above `ALLOWED`. The error names the worst element.
    """
    runners: dict[str, Callable[[GoldenCase], Scored]] = {
        "random_mnn": lambda case: run_scored(device, case),
        "random_onnx": onnx_device.scored,
    }
    worst = dict.fromkeys(runners, 0.0)
    for case in cases:
        for name, run in runners.items():
            where = f"{len(case.exposure_action)} exposures, {len(case.page_view_action)} page-views"
            scored = run(case)
            worst[name] = max(worst[name], compare(name, scored.logits, case, where=where))
            if case.hidden is not None:
                error = compare_hidden(name, scored.hidden, case, where=where)
                worst[f"{name}_hidden"] = max(worst.get(f"{name}_hidden", 0.0), error)
    return worst


def compare(check: str, logits: Array, case: GoldenCase, *, where: str, tolerance: Tolerance = ALLOWED) -> float:
    """Return the largest absolute difference between `logits` and the logits of `case`. Both have the shape (c,).

    Raises:
        CaseError: the difference is above `tolerance`, or a logit is NaN.
    """
    expected = case.logits
    if logits.shape != expected.shape:
        raise CaseError(
            f"parity {check} ({where}): logits should have shape {expected.shape}; received {logits.shape}", case
        )
    error = absolute_difference(logits, expected)
    index = tolerance.worst_index(logits, expected)
    if index is not None:
        raise CaseError(
            f"parity {check} ({where}): candidate {index} of {len(expected)} should score {expected[index]:.7g}, with "
            f"a difference of at most {tolerance.allowed(expected)[index]:.2g}; received {logits[index]:.7g}, a "
            f"difference of {error[index]:.2g}",
            case,
        )
    return float(error.max())


def compare_hidden(
    check: str, hidden: Array | None, case: GoldenCase, *, where: str, tolerance: Tolerance = ALLOWED
) -> float:
    """Return the largest absolute difference between `hidden` and the hidden layer of `case`, (c, width) each.

    Raises:
        CaseError: the difference is above `tolerance`, a number is NaN, or the shapes differ.
    """
    return compare_numbers(check, "the hidden layer", hidden, case.hidden, case=case, where=where, tolerance=tolerance)


def compare_numbers(
    check: str,
    what: str,
    received: Array | None,
    expected: Array | None,
    *,
    case: GoldenCase,
    where: str,
    tolerance: Tolerance = ALLOWED,
) -> float:
    """Return the largest absolute difference between two arrays (c, width) with `what` of each candidate of `case`.

    Raises:
        CaseError: the difference is above `tolerance`, a number is NaN, or the shapes differ.
    """
    if expected is None or received is None or received.shape != expected.shape:
        shapes = [None if array is None else array.shape for array in (expected, received)]
        raise CaseError(f"parity {check} ({where}): {what} should have shape {shapes[0]}; received {shapes[1]}", case)
    flat, wanted = received.reshape(-1), expected.reshape(-1)
    error = absolute_difference(flat, wanted)
    index = tolerance.worst_index(flat, wanted)
    if index is not None:
        candidate, number = divmod(index, expected.shape[1])
        raise CaseError(
            f"parity {check} ({where}): number {number} of {what} of candidate {candidate} should be "
            f"{wanted[index]:.7g}, with a difference of at most {tolerance.allowed(wanted)[index]:.2g}; received "
            f"{flat[index]:.7g}, a difference of {error[index]:.2g}",
            case,
        )
    return float(error.max())
