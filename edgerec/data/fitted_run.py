"""What samples take over from a run: the fitted specification, the limits and the vocabularies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgerec.core.documents import read_document
from edgerec.core.text import check_utf8
from edgerec.core.text_fields import Name
from edgerec.features.behaviours import Limits
from edgerec.features.spec import FeatureSpec
from edgerec.features.vocabulary import Vocabulary
from edgerec.features.vocabulary_files import open_vocabularies

FORMAT = 2
HEAD = "run.json"
VOCABULARY = "vocabulary"


class FittedHead(BaseModel):
    """The part of `run.json` that samples need. `edgerec.model.run_head.RunHead` adds the rest."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[2] = 2
    kind: Literal["run"] = "run"
    version_id: Name
    """Unique for every trained model. It consists of the time at the end of training and a digest of the weights."""
    spec: FeatureSpec
    limits: Limits


@dataclass(frozen=True)
class FittedRun:
    """The fitted parts of a run.

    Attributes:
        version_id: the run's version.
        spec: the specification with all bounds, means and scales.
        limits: the largest lengths.
        vocabularies: the vocabulary of each embedding feature, by the feature's name.
    """

    version_id: str
    spec: FeatureSpec
    limits: Limits
    vocabularies: Mapping[str, Vocabulary]


def open_fitted_run(path: Path) -> FittedRun:
    """Open the fitted parts of the run in the folder `path`.

    Raises:
        InputError: `path` is not UTF-8.
        FormatError: there is no such folder, it has another format number, or a file is damaged.
    """
    check_utf8(path, what="run")
    head = read_document(path / HEAD, FittedHead, what="run", format_number=FORMAT)
    vocabularies = open_vocabularies(head.spec.vocabulary_sizes, path / VOCABULARY)
    return FittedRun(head.version_id, head.spec, head.limits, vocabularies)
