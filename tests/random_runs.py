"""Make runs with random weights for any registered model, and device models from graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from edgerec.bundle.manifest import Precision
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.hubsm import HubsmStepper
from edgerec.device_runtime.ranker import DeviceRanker
from edgerec.export.convert import convert_to_mnn
from edgerec.features.behaviours import BEHAVIOUR_KINDS, Limits
from edgerec.model.reranker import Reranker
from edgerec.model.runs import Run, build_model
from tests.synthetic import SPEC

_BUILT: dict[tuple[str, str], Reranker] = {}


def of_model(run: Run, model_name: str, *, anew: bool = False) -> Run:
    """Return a run of the model `model_name` with random weights and the data of `run`.

    Building a model takes a good part of a second. So the next call returns the same model, with its first weights
    again, unless `anew` asks for another one.
    """
    key = (model_name, run.head.model_dump_json())
    if anew or key not in _BUILT:
        config = run.head.config.model_copy(update={"model": model_name})
        _BUILT[key] = build_model(run.head.spec, run.vocabularies, config)
    model = _BUILT[key]
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(scale=0.4, size=weight.shape) for weight in model.get_weights()])
    return replace(run, model=model)


def on_device(graphs: Mapping[str, onnx.ModelProto], folder: Path, *, precision: Precision = "fp32") -> DeviceModel:
    """Convert the graphs to MNN files in `folder` and load them as a device model."""
    for name, graph in graphs.items():
        (folder / f"{name}.onnx").write_bytes(graph.SerializeToString())
        convert_to_mnn(folder / f"{name}.onnx", folder / f"{name}.mnn", precision=precision)
    kinds = [kind for kind in BEHAVIOUR_KINDS if kind.step_model in graphs]
    return DeviceModel(
        version_id="",
        spec=SPEC,
        limits=Limits(),
        steppers={kind: HubsmStepper(folder / f"{kind.step_model}.mnn") for kind in kinds},
        ranker=DeviceRanker(folder / "crban.mnn"),
    )
