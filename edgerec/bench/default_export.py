"""MNN on the ranker as its tools make it by default: a peer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import FormatError
from edgerec.device_runtime.golden import GoldenCase
from edgerec.device_runtime.session import import_mnn, quiet

Array = npt.NDArray[np.float32]

DEFAULT_EXPORT = "mnn_default_export"


def default_rerank(path: Path, case: GoldenCase, exposures: Array, page_views: Array) -> Callable[[], Array]:
    """A call that scores the case's candidates after full sequences of behaviours; logits (k,).

    Loops have subgraphs in MNN, which its Module API alone can run. One thread, in full precision.

    Args:
        path: the MNN model, `edgerec.export.peers`.
        case: of full size.
        exposures, page_views: fused encodings (m, 2 * units), (n, 2 * units).

    Raises:
        FormatError: MNN cannot load it.
    """
    mnn = import_mnn()
    expr = mnn.expr
    feed = [array[None] for array in (case.candidates, exposures, page_views)]
    with quiet():
        runtime = mnn.nn.create_runtime_manager(({"precision": "high", "numThread": 1},))
        try:
            module = mnn.nn.load_module_from_file(
                str(path), ["candidates", "exposures", "page_views"], ["Identity:0"], runtime_manager=runtime
            )
        except Exception as error:  # MNN raises whatever it meets
            raise FormatError(f"bench: {path} cannot be run by MNN ({error}): export the bundle again") from None

    def call() -> Array:
        variables = [expr.const(array, list(array.shape), expr.NCHW) for array in feed]
        logits: Array = np.array(module.forward(variables)[0].read(), np.float32)[0]
        return logits

    return call
