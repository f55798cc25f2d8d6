"""The head of a run, `run.json` (docs/formats.md), and the check that samples fit a run.

This module does not import TensorFlow. So a wrong input is found before that import, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgerec.core.documents import read_document
from edgerec.core.errors import FormatError, SpecificationError
from edgerec.core.text import check_utf8
from edgerec.core.text_fields import Name, PathText
from edgerec.data.fitted_run import FORMAT, HEAD, VOCABULARY, FittedHead
from edgerec.data.samples import Samples, open_samples
from edgerec.features.spec import GROUPS
from edgerec.features.vocabulary import Vocabulary
from edgerec.features.vocabulary_files import open_vocabularies
from edgerec.model.config import ResolvedConfig


class RunHead(FittedHead):
    """The content of `run.json`."""

    config: ResolvedConfig
    samples: PathText
    """Folder of the samples of the training."""
    trained_from: Name | None = None
    """`version_id` of the run whose weights the training started from, or None if it started from initial weights."""
    best_epoch: int
    epochs_trained: int | None = None
    """Number of epochs of the training. It is None in runs of earlier versions."""
    finished_early: bool = False
    """Whether the training was ended before its last epoch by `--finish`, or because a search has stopped it."""
    validation_gauc: float
    parameters: int
    train_seconds: float
    tools: dict[Name, Name]
    """Versions of the tools that trained the model."""


def read_run_head(path: Path) -> tuple[RunHead, dict[str, Vocabulary]]:
    """Read the head of the run in the folder `path`, and its vocabularies.

    Raises:
        FormatError: there is no such folder, it has another format number, or a file is damaged.
    """
    check_utf8(path, what="run")
    head = read_document(path / HEAD, RunHead, what="run", format_number=FORMAT)
    return head, open_vocabularies(head.spec.vocabulary_sizes, path / VOCABULARY)


def check_samples(
    head: RunHead, vocabularies: Mapping[str, Vocabulary], samples: Samples, *, advice: str | None = None
) -> None:
    """Raise unless the model of the run can read `samples`.

    Args:
        head: head of the run.
        vocabularies: vocabularies of the run.
        samples: the samples to check.
        advice: what to do if they do not fit.

    Raises:
        SpecificationError: the samples have other features, vocabularies or limits than the run.
    """
    difference = _difference(head, vocabularies, samples)
    if difference is not None:
        advice = advice or (
            f"use the samples that the run was trained on ({head.samples}), make samples of these logs with `edgerec "
            f"samples --like RUN`, or train a new run on {samples.path}"
        )
        raise SpecificationError(f"samples {samples.path} do not fit run {head.version_id}: {difference}: {advice}")


def samples_of(head: RunHead, path: Path | None) -> Samples:
    """Load the samples in the folder `path`, or, if it is None, the samples that the run was trained on.

    Raises:
        FormatError: there are no samples, or they cannot be read.
    """
    if path is None and not Path(head.samples).is_dir():
        raise FormatError(
            f"run: the samples of the training are no longer at {head.samples}: give their folder with --samples"
        )
    return open_samples(path or Path(head.samples))


def _difference(head: RunHead, vocabularies: Mapping[str, Vocabulary], samples: Samples) -> str | None:
    """Return the first difference between `samples` and the samples of the run, or None if they fit."""
    own, other = head.spec, samples.head.spec
    for group in GROUPS:
        names = [[feature.name for feature in spec.groups[group]] for spec in (own, other)]
        if names[0] != names[1]:
            return f"their {group} features are {', '.join(names[1])}, those of the run are {', '.join(names[0])}"
        for own_feature, other_feature in zip(getattr(own, group), getattr(other, group), strict=True):
            if own_feature != other_feature:
                return f"feature {own_feature.name} of {group} is specified or fitted differently"
    if samples.head.limits != head.limits:
        return f"their limits are {samples.head.limits}, those of the run are {head.limits}"
    for name, vocabulary in vocabularies.items():
        if not np.array_equal(vocabulary.keys, samples.vocabularies[name].keys):
            return f"they have another vocabulary of {name}"
    return "their specification has another name" if own != other else None
