"""MNN on the ranker as its tools make it by default: a peer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.bundle.golden import GoldenCase
from edgerec.core.errors import FormatError, first_line
from edgerec.device_runtime.session import PRECISION_HIGH, import_mnn

Array = npt.NDArray[np.float32]

DEFAULT_EXPORT, AS_IS = "mnn_default_export", "mnn_default_export_as_is"
_INPUTS, _OUTPUTS = ["candidates", "exposures", "page_views"], ["Identity:0"]
_ONE_THREAD = {"precision": PRECISION_HIGH, "numThread": 1}


def default_rerank(path: Path, case: GoldenCase, exposures: Array, page_views: Array) -> dict[str, Callable[[], Array]]:
    """Calls that score the case's candidates after full sequences of behaviours; logits (k,).

    Loops have subgraphs in MNN, which its Module API alone can run. Once on one thread, in full precision, with a
    runtime of the module's own, as fast as it gets; and once as it is without any setting: MNN then starts threads,
    which get in each other's way over operations this small.

    Args:
        path: the MNN model, `edgerec.export.peers`.
        case: of full size.
        exposures, page_views: fused encodings (m, 2 * units), (n, 2 * units).

    Raises:
        FormatError: MNN cannot load it.
    """
    mnn = import_mnn()
    feed = [array[None] for array in (case.candidates, exposures, page_views)]
    found: dict[str, Callable[[], Array]] = {}
    for name, settings in ((DEFAULT_EXPORT, _ONE_THREAD), (AS_IS, None)):
        runtime = {} if settings is None else {"runtime_manager": mnn.nn.create_runtime_manager((settings,))}
        try:
            module = mnn.nn.load_module_from_file(str(path), _INPUTS, _OUTPUTS, **runtime)
        except Exception as error:  # MNN raises whatever it meets, and says little of it
            reason = first_line(error.__cause__ or error)
            raise FormatError(f"bench: {path} cannot be run by MNN ({reason}): export the bundle again") from None
        found[name] = partial(_logits, mnn.expr, module, feed)
    return found


def _logits(expr: Any, module: Any, feed: list[Array]) -> Array:
    variables = [expr.const(array, list(array.shape), expr.NCHW) for array in feed]
    logits: Array = np.array(module.forward(variables)[0].read(), np.float32)[0]
    return logits
