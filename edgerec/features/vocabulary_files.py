"""The files of vocabularies. A device reads none, so this module is apart from `edgerec.features.vocabulary`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgerec.core.arrays import map_array, save_array
from edgerec.core.errors import FormatError
from edgerec.features.vocabulary import Vocabulary


def save_vocabularies(vocabularies: dict[str, Vocabulary], folder: Path) -> None:
    """Write ``folder/<feature>.npy`` for each vocabulary.

    Raises:
        OutputError: a file cannot be written.
    """
    folder.mkdir(exist_ok=True)
    for name, vocabulary in vocabularies.items():
        save_array(folder / f"{name}.npy", vocabulary.keys, what="vocabulary")


def open_vocabularies(sizes: Mapping[str, int], folder: Path) -> dict[str, Vocabulary]:
    """Map the vocabularies in `folder` into memory.

    Args:
        sizes: the maximum size of each vocabulary, by the feature's name (`FeatureSpec.vocabulary_sizes`).
        folder: the folder of the files.

    Raises:
        FormatError: a file is missing, is not a vocabulary, or has too many IDs.
    """
    vocabularies = {}
    for name, size in sizes.items():
        path = folder / f"{name}.npy"
        keys = map_array(path, what="vocabulary", advice="make its folder again")
        if isinstance(keys, np.ndarray) and keys.size > size:
            raise FormatError(f"vocabulary {path} should have at most {size} keys; received {keys.size}")
        try:
            vocabularies[name] = Vocabulary(keys)
        except FormatError as error:
            raise FormatError(f"vocabulary {path}: {error}") from None
    return vocabularies
