"""Runs: what training leaves behind (docs/formats.md)."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import tensorflow as tf

from edgerec.core.atomic import write_json
from edgerec.core.errors import FormatError, IntegrityError, OutputError, first_line
from edgerec.data.samples import Samples
from edgerec.features.spec import FeatureSpec
from edgerec.features.vocabulary import Vocabulary, save_vocabularies
from edgerec.model.config import TrainConfig
from edgerec.model.reranker import Reranker
from edgerec.model.run_head import HEAD, VOCABULARY, RunHead, read_run_head

WEIGHTS = "model.weights.h5"
HISTORY = "metrics.jsonl"

UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError)
"""What h5py and Keras raise, sometimes without a word, on damaged weights."""

_HDF5_BYTES = 16 * 1024
"""More than HDF5 needs for a variable's names and groups, and a few times more than for the file's own."""


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
        kind=config.model,
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
    return f"{at:%Y%m%d%H%M%S}-{weights_digest(model)}"


def weights_digest(model: Reranker) -> str:
    """Twelve hexadecimal digits of the SHA-256 of the weights."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:12]


def save_run(run: Run, folder: Path, *, history: Path) -> None:
    """Write `run` into `folder`, the head last.

    Args:
        run: the run, whose training is still there to resume.
        folder: where to.
        history: the training's `metrics.jsonl`, which is copied.

    Raises:
        OutputError: it cannot be written.
    """
    with writing(folder, then="go on with --resume"):
        save_weights(run.model, folder / WEIGHTS)
        save_vocabularies(dict(run.vocabularies), folder / VOCABULARY)
        shutil.copyfile(history, folder / HISTORY)
        write_json(folder / HEAD, run.head.model_dump(mode="json"))


def load_run(path: Path) -> Run:
    """Read the folder `path`.

    Raises:
        InputError: the path is not UTF-8.
        FormatError: no such folder, another format number, missing or damaged weights.
        IntegrityError: other weights than those that were trained.
    """
    head, vocabularies = read_run_head(path)
    model = build_model(head.spec, vocabularies, head.config)
    weights = path / WEIGHTS
    if not weights.is_file():
        raise FormatError(f"run: {weights} is not there: train again")
    try:
        model.load_weights(weights)
    except UNREADABLE as error:
        raise FormatError(f"run: {weights} cannot be read ({first_line(error)}): train again") from None
    if not head.version_id.endswith(weights_digest(model)):
        raise IntegrityError(f"run: {weights} does not hold the weights of version {head.version_id}: train again")
    return Run(head=head, vocabularies=vocabularies, model=model)


def save_weights(model: Reranker, path: Path) -> None:
    """Write the weights of `model` to the file `path`, whose name must end in ``.weights.h5``."""
    # Where the disk fills up under HDF5, closing the file can end the whole process by a segmentation fault. So see
    # first, by writing as much, that there is room; random, because a file system may compress.
    weights = model.get_weights()
    chunk = os.urandom(_HDF5_BYTES)
    room = path.with_name(f".{path.name}.room")
    try:
        with open(room, "wb") as file:
            for _ in range(len(weights) + sum(weight.nbytes for weight in weights) // len(chunk) + 8):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    finally:
        room.unlink(missing_ok=True)
    model.save_weights(path, overwrite=True)


@contextlib.contextmanager
def writing(folder: Path, *, then: str) -> Iterator[None]:
    """Make one error of what is raised where weights and checkpoints cannot be written.

    On a full disk h5py raises RuntimeError or OSError, and TensorFlow errors of its own.

    Args:
        folder: what is written into.
        then: what to do when there is room.

    Raises:
        OutputError: something in the block could not be written.
    """
    try:
        yield
    except (OSError, RuntimeError, tf.errors.OpError) as error:
        raise OutputError(
            f"cannot write into {folder} ({first_line(error)}): free some space or check its permissions, then {then}"
        ) from error


def tool_versions(*names: str) -> dict[str, str]:
    """Installed versions of the distributions `names`.

    One that goes by another name (TensorFlow also comes as tensorflow-cpu and tf-nightly) is asked itself if it is
    imported, and is ``"unknown"`` otherwise.
    """
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(name), "__version__", "unknown"))
