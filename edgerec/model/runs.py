"""Runs, which are folders with a trained model (docs/formats.md)."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from edgerec.core.arguments import check_object
from edgerec.core.atomic import json_lines, write_bytes, write_json
from edgerec.core.errors import FormatError, IntegrityError, OutputError, first_line
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.resumable import RESUME
from edgerec.data.fitted_run import HEAD, VOCABULARY
from edgerec.data.samples import Samples
from edgerec.features.spec import FeatureSpec
from edgerec.features.vocabulary import Vocabulary
from edgerec.features.vocabulary_files import save_vocabularies
from edgerec.model.config import ResolvedConfig, TrainConfig
from edgerec.model.defaults import resolve
from edgerec.model.reranker import Reranker
from edgerec.model.run_head import RunHead, read_run_head

WEIGHTS = "model.weights.h5"
HISTORY = "metrics.jsonl"

UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError)
"""The errors that h5py and Keras raise if a file of weights is damaged. Some have no message."""

_HDF5_BYTES = 16 * 1024
"""Upper bound of the number of bytes that HDF5 needs for the name and the groups of one variable. The rest of the file
structure needs a few times as many."""


@dataclass(frozen=True)
class Run:
    """A trained model with everything that it needs to read samples.

    Attributes:
        head: configuration, specification, figures.
        vocabularies: by name of embedding feature.
        model: the model with the weights of the best epoch.
    """

    head: RunHead
    vocabularies: Mapping[str, Vocabulary]
    model: Reranker


def checked_paths(function: str, samples: Samples, path: AnyPath, samples_path: AnyPath | None) -> tuple[Path, Path]:
    """Return the path of the run to write, and the path of its samples. `function` is the caller, for error texts.

    Raises:
        InputError: an argument is of another class.
    """
    check_object(samples, Samples, f"{function}: `samples`", source="open_samples")
    given = samples.path if samples_path is None else to_path(samples_path, f"{function}: `samples_path`")
    return to_path(path, f"{function}: `path`"), given


def build_model(spec: FeatureSpec, vocabularies: Mapping[str, Vocabulary], config: ResolvedConfig) -> Reranker:
    """Return a new model for `spec`, with initial weights."""
    rows = {name: vocabulary.rows for name, vocabulary in vocabularies.items()}
    model = Reranker(
        spec,
        rows=rows,
        model_name=config.model,
        units=config.units,
        layers=config.layers,
        unknown_rate=config.unknown_rate,
        gain=config.gain,
    )
    model.build()
    return model


def model_for(samples: Samples, config: TrainConfig) -> Reranker:
    """Return a new model for `samples`, with initial weights."""
    return build_model(samples.head.spec, samples.vocabularies, resolve(config, samples))


def version_id(model: Reranker, at: datetime) -> str:
    """Return ``YYYYmmddHHMMSS-`` and twelve hexadecimal digits of the SHA-256 of the weights."""
    return f"{at:%Y%m%d%H%M%S}-{weights_digest(model)}"


def weights_digest(model: Reranker) -> str:
    """Return twelve hexadecimal digits of the SHA-256 of the weights."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:12]


def save_run(run: Run, folder: Path, *, history: Iterable[Mapping[str, Any]]) -> None:
    """Write `run` into `folder`. The head is written last.

    Args:
        run: the run. If writing fails, its training can be resumed.
        folder: folder to write into.
        history: the rows of `metrics.jsonl`.

    Raises:
        OutputError: the folder cannot be written.
    """
    with writing(folder, then=RESUME):
        save_weights(run.model, folder / WEIGHTS)
        save_vocabularies(dict(run.vocabularies), folder / VOCABULARY)
        write_bytes(folder / HISTORY, json_lines(history))
        write_json(folder / HEAD, run.head.model_dump(mode="json"))


def load_run(path: AnyPath) -> Run:
    """Load the run in the folder `path`.

    Raises:
        InputError: `path` is not a path, or not UTF-8.
        FormatError: there is no such folder, it has another format number, or its weights are missing or damaged.
        IntegrityError: the weights are not those of the run's version.
    """
    path = to_path(path, "load_run: `path`")
    head, vocabularies = read_run_head(path)
    model = build_model(head.spec, vocabularies, head.config)
    load_weights(model, head, path)
    return Run(head=head, vocabularies=vocabularies, model=model)


def load_weights(model: Reranker, head: RunHead, path: Path) -> None:
    """Load the weights of the run in the folder `path` into `model`. `head` is the head of the run.

    Raises:
        FormatError: the weights are missing or damaged.
        IntegrityError: the weights are not those of the run's version.
    """
    weights = path / WEIGHTS
    if not weights.is_file():
        raise FormatError(f"run: {weights} is missing: train again")
    try:
        model.load_weights(weights)
    except UNREADABLE as error:
        raise FormatError(f"run: {weights} cannot be read ({first_line(error)}): train again") from None
    if not head.version_id.endswith(weights_digest(model)):
        raise IntegrityError(f"run: {weights} does not hold the weights of version {head.version_id}: train again")


def save_weights(model: Reranker, path: Path) -> None:
    """Write the weights of `model` to the file `path`, whose name must end in ``.weights.h5``."""
    # If the disk is full while HDF5 writes, closing the file can end the process with a segmentation fault. So this
    # first writes a file of the same size, to check that there is space. Its bytes are random, because a file system
    # may compress other bytes.
    weights = model.get_weights()
    chunk = os.urandom(_HDF5_BYTES)
    trial = path.with_name(f".{path.name}.room")
    try:
        with open(trial, "wb") as file:
            for _ in range(len(weights) + sum(weight.nbytes for weight in weights) // len(chunk) + 8):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    finally:
        trial.unlink(missing_ok=True)
    model.save_weights(path, overwrite=True)


@contextlib.contextmanager
def writing(folder: Path, *, then: str) -> Iterator[None]:
    """Turn the errors of writing weights and checkpoints into one error that says what to do.

    On a full disk h5py raises RuntimeError or OSError, and TensorFlow raises its own errors.

    Args:
        folder: folder that the block writes into.
        then: what the user should do after that.

    Raises:
        OutputError: a file in the block could not be written.
    """
    try:
        yield
    except (OSError, RuntimeError, tf.errors.OpError) as error:
        raise OutputError(
            f"cannot write into {folder} ({first_line(error)}): free some space or check its permissions, then {then}"
        ) from error


def tool_versions(*names: str) -> dict[str, str]:
    """Return the installed versions of the distributions `names`.

    TensorFlow may be installed under another name, such as tensorflow-cpu or tf-nightly. The version then comes from
    the imported module, or is ``"unknown"`` if the module is not imported.
    """
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(name), "__version__", "unknown"))
