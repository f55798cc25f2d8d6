"""Random models as MNN files. Each is built once in a test process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from edgerec.export.convert import convert_to_mnn
from edgerec.export.graphs.crban import build_crban
from edgerec.export.graphs.hubsm_step import build_hubsm_step
from tests.oracle import Model, random_model

CANDIDATES, EXPOSURES, PAGE_VIEWS = 20, 12, 9


@dataclass(frozen=True)
class Built:
    model: Model
    ie: bytes
    ipv: bytes
    crban: bytes


def to_mnn(graph: onnx.ModelProto) -> bytes:
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "graph.onnx"), Path(folder, "graph.mnn")
        source.write_bytes(graph.SerializeToString())
        convert_to_mnn(source, target)
        return target.read_bytes()


def graphs(
    model: Model, *, candidates: int = CANDIDATES, exposures: int = EXPOSURES, page_views: int = PAGE_VIEWS
) -> dict[str, onnx.ModelProto]:
    head, crban = model.crban.head, model.crban
    return {
        "ie": build_hubsm_step(model.ie, attention=crban.attention_ie, value_kernel=head.exposure_rows),
        "ipv": build_hubsm_step(model.ipv, attention=crban.attention_ipv, value_kernel=head.page_view_rows),
        "crban": build_crban(crban, candidates=candidates, exposures=exposures, page_views=page_views),
    }


@cache
def built(seed: int = 0, scale: float = 1.0, units: int = 32, hidden: int = 32) -> Built:
    model = random_model(seed, scale=scale, units=units, hidden=hidden)
    return Built(model, **{name: to_mnn(graph) for name, graph in graphs(model).items()})
