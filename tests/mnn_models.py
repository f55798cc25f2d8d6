"""Build random models as MNN files. A test process builds each model once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from edgerec.bundle.manifest import Precision
from edgerec.export.convert import convert_to_mnn
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW, Limits
from tests.oracle import Model, random_model

CANDIDATES, EXPOSURES, PAGE_VIEWS = 20, 12, 9


@dataclass(frozen=True)
class Built:
    model: Model
    ie: bytes
    ipv: bytes
    crban: bytes


def to_mnn(graph: onnx.ModelProto, precision: Precision = "fp32") -> bytes:
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "graph.onnx"), Path(folder, "graph.mnn")
        source.write_bytes(graph.SerializeToString())
        convert_to_mnn(source, target, precision=precision)
        return target.read_bytes()


def graphs(
    model: Model, *, candidates: int = CANDIDATES, exposures: int = EXPOSURES, page_views: int = PAGE_VIEWS
) -> dict[str, onnx.ModelProto]:
    readings = model.crban.readings()
    return {
        "ie": model.ie.step(readings[EXPOSURE]),
        "ipv": model.ipv.step(readings[PAGE_VIEW]),
        "crban": model.crban.build(Limits(candidates=candidates, exposures=exposures, page_views=page_views)),
    }


@cache
def built(seed: int = 0, scale: float = 1.0, units: int = 32, hidden: int = 32) -> Built:
    model = random_model(seed, scale=scale, units=units, hidden=hidden)
    return Built(model, **{name: to_mnn(graph) for name, graph in graphs(model).items()})
