"""What a run says of itself (docs/formats.md), without TensorFlow: what does not fit is found before it is imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from edgerec.core.documents import read_document
from edgerec.core.errors import FormatError, SpecificationError
from edgerec.core.text import check_utf8
from edgerec.core.text_fields import Name, PathText
from edgerec.data.samples import Samples, load_samples
from edgerec.features.behaviours import Limits
from edgerec.features.spec import GROUPS, FeatureSpec
from edgerec.features.vocabulary import Vocabulary, load_vocabularies
from edgerec.model.config import TrainConfig

FORMAT = 2
HEAD = "run.json"
VOCABULARY = "vocabulary"


class RunHead(BaseModel):
    """`run.json`."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[2] = 2
    kind: Literal["run"] = "run"
    version_id: Name
    """Unique for every trained model: when it was stamped, and a digest of its weights."""
    config: TrainConfig
    spec: FeatureSpec
    limits: Limits
    samples: PathText
    """Where the samples stood."""
    best_epoch: int
    validation_gauc: float
    parameters: int
    train_seconds: float
    tools: dict[Name, Name]
    """Versions of what took part."""


def read_run_head(path: Path) -> tuple[RunHead, dict[str, Vocabulary]]:
    """The head of the run in the folder `path`, and its vocabularies.

    Raises:
        FormatError: no such folder, another format number, or damage.
    """
    check_utf8(path, what="run")
    head = read_document(path / HEAD, RunHead, what="run", format_number=FORMAT)
    return head, load_vocabularies(head.spec.vocabulary_sizes, path / VOCABULARY)


def check_fit(head: RunHead, vocabularies: Mapping[str, Vocabulary], samples: Samples) -> None:
    """Refuse samples that the run's model would misread.

    Args:
        head: of the run.
        vocabularies: of the run.
        samples: what its model is to read.

    Raises:
        SpecificationError: other features, vocabularies or limits than the run's.
    """
    odd = _difference(head, vocabularies, samples)
    if odd is not None:
        raise SpecificationError(
            f"samples {samples.path} do not fit run {head.version_id}: {odd}. The run reads the samples that it was "
            f"trained on ({head.samples}), on any of their splits: use those samples, or train a new run on these"
        )


def samples_of(head: RunHead, path: Path | None) -> Samples:
    """The samples in the folder `path`, or those that the run was trained on.

    Raises:
        FormatError: they are not there, or cannot be read.
    """
    if path is None and not Path(head.samples).is_dir():
        raise FormatError(f"run: the training's samples are no longer at {head.samples}: say where with --samples")
    return load_samples(path or Path(head.samples))


def _difference(head: RunHead, vocabularies: Mapping[str, Vocabulary], samples: Samples) -> str | None:
    """The first thing in which samples differ from those of the run; None where they fit."""
    mine, theirs = head.spec, samples.head.spec
    for group in GROUPS:
        names = [[feature.name for feature in getattr(spec, group)] for spec in (mine, theirs)]
        if names[0] != names[1]:
            return f"their {group} features are {', '.join(names[1])}, the run's {', '.join(names[0])}"
        for one, other in zip(getattr(mine, group), getattr(theirs, group), strict=True):
            if one != other:
                return f"feature {one.name} of {group} is stated or was fitted otherwise"
    if samples.head.limits != head.limits:
        return f"they were made with limits {samples.head.limits}, the run's with {head.limits}"
    for name, vocabulary in vocabularies.items():
        if not np.array_equal(vocabulary.keys, samples.vocabularies[name].keys):
            return f"they have another vocabulary of {name}"
    return "their specifications differ in name" if mine != theirs else None
