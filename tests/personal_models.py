"""A model with patches for tests: the small bundle, whose ranker also returns its hidden layer, and a head."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgerec import DeviceModel, load_device_model
from edgerec.device_runtime.ranker import DeviceRanker
from edgerec.personalization.head import PersonalHead, Training
from tests.mnn_models import to_mnn

RANK = 5
SURE = {"gain": 0.1, "gain_events": 1e6}
"""A gate that accepts every patch, because it trusts what meta-training has seen."""


@cache
def _ranker(bundle: Path) -> bytes:
    """Return the bundle's CRBAN with the output `hidden`: what the product with the output layer reads."""
    model = onnx.load(bundle / "golden" / "onnx" / "crban.onnx")
    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    hidden, kernel = made_by[made_by["logits"].input[0]].input
    width = next(each.dims[0] for each in graph.initializer if each.name == kernel)
    limit = graph.output[0].type.tensor_type.shape.dim[0].dim_value
    graph.node.append(helper.make_node("Identity", [hidden], ["hidden"]))
    graph.output.append(helper.make_tensor_value_info("hidden", TensorProto.FLOAT, [limit, width]))
    return to_mnn(model)


def personal_model(bundle: Path, **head: Any) -> DeviceModel:
    """Return the model of a bundle of CRBAN with a head for patches (`head_of`)."""
    model = replace(load_device_model(bundle), ranker=DeviceRanker(_ranker(bundle)))
    return replace(model, personal=head_of(model, **head))


def head_of(model: DeviceModel, *, seed: int = 0, pull: float = 0.5, start: float = 0.0, **training: Any) -> PersonalHead:
    """Return a head with random directions of the hidden layer and the candidate vectors."""
    rng = np.random.default_rng(seed)
    inputs = model.ranker.hidden_width + model.ranker.candidate_width
    settings = {"method": "prior", "optimiser": "newton", "steps": 20, **SURE, **training}
    return PersonalHead(
        Training(version_id=model.version_id, **settings),
        mean=rng.normal(scale=0.1, size=inputs).astype(np.float32),
        kernel=rng.normal(size=(inputs, RANK)).astype(np.float32),
        start=np.full(RANK + 1, start, np.float32),
        rates=np.full(RANK + 1, 0.1, np.float32),
        pull=np.full(RANK + 1, pull, np.float32),
    )
