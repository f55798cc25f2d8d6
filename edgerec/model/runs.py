"""Runs: what training leaves behind (docs/formats.md)."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from edgerec.core.atomic import write_json
from edgerec.core.documents import read_document
from edgerec.core.errors import FormatError, IntegrityError
from edgerec.data.samples import Limits, Samples
from edgerec.features.spec import FeatureSpec
from edgerec.features.vocabulary import Vocabulary, load_vocabularies, save_vocabularies
from edgerec.model.config import TrainConfig
from edgerec.model.reranker import Reranker

FORMAT = 1
HEAD = "run.json"
WEIGHTS = "model.weights.h5"
HISTORY = "metrics.jsonl"
CHECKPOINT = "checkpoint"


class RunHead(BaseModel):
    """`run.json`."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[1] = 1
    kind: Literal["run"] = "run"
    version_id: str
    """Unique for every trained model: when it was stamped, and a digest of its weights."""
    config: TrainConfig
    spec: FeatureSpec
    limits: Limits
    samples: str
    """Where the samples stood."""
    best_epoch: int
    validation_gauc: float
    parameters: int
    train_seconds: float
    tools: dict[str, str]
    """Versions of what took part."""


@dataclass(frozen=True)
class Run:
    """A trained model with what it needs to read the world.

    Attributes:
        head: configuration, specification, figures.
        vocabularies: by name of embedding feature.
        model: with its best weights.
    """

    head: RunHead
    vocabularies: Mapping[str, Vocabulary]
    model: Reranker


def build_model(spec: FeatureSpec, vocabularies: Mapping[str, Vocabulary], config: TrainConfig) -> Reranker:
    """A fresh model for `spec`, with its weights made."""
    rows = {name: vocabulary.rows for name, vocabulary in vocabularies.items()}
    model = Reranker(
        spec,
        rows=rows,
        units=config.units,
        layers=config.layers,
        unknown_rate=config.unknown_rate,
        gain=config.gain,
    )
    model.build()
    return model


def model_for(samples: Samples, config: TrainConfig) -> Reranker:
    """A fresh model for `samples`."""
    return build_model(samples.head.spec, samples.vocabularies, config)


def version_id(model: Reranker, at: datetime) -> str:
    """``YYYYmmddHHMMSS-`` and twelve hexadecimal digits of the weights' SHA-256."""
    return f"{at:%Y%m%d%H%M%S}-{_weights_digest(model)}"


def _weights_digest(model: Reranker) -> str:
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:12]


def save_run(run: Run, folder: Path) -> None:
    """Write `run` into `folder`, the head last."""
    run.model.save_weights(folder / WEIGHTS)
    save_vocabularies(dict(run.vocabularies), folder / "vocabulary")
    write_json(folder / HEAD, run.head.model_dump(mode="json"))


def load_run(path: Path) -> Run:
    """Read the folder `path`.

    Raises:
        FormatError: no such folder, another format number, missing or damaged weights.
        IntegrityError: other weights than those that were trained.
    """
    head = read_document(path / HEAD, RunHead, what="run", format_number=FORMAT)
    vocabularies = load_vocabularies(tuple(f.name for f in head.spec.embeddings), path / "vocabulary")
    model = build_model(head.spec, vocabularies, head.config)
    weights = path / WEIGHTS
    if not weights.is_file():
        raise FormatError(f"run: {weights} is not there: train again")
    try:
        model.load_weights(weights)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        # h5py and Keras raise all of these, some of them without a word, on damaged files.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FormatError(f"run: {weights} cannot be read ({reason}): train again") from None
    if not head.version_id.endswith(_weights_digest(model)):
        raise IntegrityError(f"run: {weights} does not hold the weights of version {head.version_id}: train again")
    return Run(head=head, vocabularies=vocabularies, model=model)


def tool_versions(*names: str) -> dict[str, str]:
    """Installed versions of the distributions `names`."""
    return {name: importlib.metadata.version(name) for name in names}
