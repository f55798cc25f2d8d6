"""A peer: MNN on the ranking model that tf2onnx and MNN's converter make with default settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.bench.peers.onnx import ReferenceGraphs
from edgerec.bench.peers.peer import Calls, Peer
from edgerec.bundle.golden import GoldenCase
from edgerec.bundle.layout import PEERS
from edgerec.bundle.manifest import RANKING_MODEL
from edgerec.core.errors import FormatError, first_line
from edgerec.device_runtime.interpreter import PRECISION_HIGH, import_mnn
from edgerec.features.behaviours import BEHAVIOUR_KINDS

Array = npt.NDArray[np.float32]

DEFAULT_EXPORT, AS_IS = "mnn_default_export", "mnn_default_export_as_is"
_INPUTS, _OUTPUTS = ["candidates", *(kind.plural for kind in BEHAVIOUR_KINDS)], ["Identity:0"]
_ONE_THREAD = {"precision": PRECISION_HIGH, "numThread": 1}


class DefaultExport(Peer):
    """MNN on the ranking model that `edgerec export --peers` converted with default settings. It measures no steps."""

    name = DEFAULT_EXPORT
    distributions = ("MNN",)
    measures = ("rerank",)

    def missing(self) -> str | None:
        if self._path.is_file():
            return None
        return f"{self.bundle} has no model for it; `edgerec export --peers` writes it for the model crban"

    @property
    def _path(self) -> Path:
        return self.bundle / PEERS / f"{RANKING_MODEL}.mnn"

    def rerank(self, case: GoldenCase) -> Calls:
        reference = ReferenceGraphs(self.bundle)
        fused = [reference.encode(kind, case).values for kind in BEHAVIOUR_KINDS]
        return _rerank(self._path, case, fused)


def _rerank(path: Path, case: GoldenCase, fused: Sequence[Array]) -> dict[str, Callable[[], Array]]:
    """Return two functions for the benchmark. Each call scores the candidates of `case` and returns logits (k,).

    The model has loops, and only the Module API of MNN can run the subgraphs of loops. One function uses one thread,
    full precision and a runtime of its own, which is the fastest setting. The other function uses the default settings:
    MNN then starts several threads, which slow each other down in such small operations.

    Args:
        path: the MNN model from `edgerec.export.peers`.
        case: a golden case of full size.
        fused: the fused encodings (behaviours, 2 * units) of each kind of behaviour.

    Raises:
        FormatError: MNN cannot load the model.
    """
    mnn = import_mnn()
    feed = [array[None] for array in (case.candidates, *fused)]
    calls: dict[str, Callable[[], Array]] = {}
    for name, settings in ((DEFAULT_EXPORT, _ONE_THREAD), (AS_IS, None)):
        runtime = {} if settings is None else {"runtime_manager": mnn.nn.create_runtime_manager((settings,))}
        try:
            module = mnn.nn.load_module_from_file(str(path), _INPUTS, _OUTPUTS, **runtime)
        except Exception as error:  # MNN raises exceptions of many types.
            reason = first_line(error.__cause__ or error)
            raise FormatError(f"bench: {path} cannot be run by MNN ({reason}): export the bundle again") from None
        calls[name] = partial(_logits, mnn.expr, module, feed)
    return calls


def _logits(expr: Any, module: Any, feed: list[Array]) -> Array:
    variables = [expr.const(array, list(array.shape), expr.NCHW) for array in feed]
    logits: Array = np.array(module.forward(variables)[0].read(), np.float32)[0]
    return logits
