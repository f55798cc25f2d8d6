"""What EdgeRec writes: the files of each kind of folder, so that `--force` removes nothing else."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from edgerec.core.documents import read_object


@dataclass(frozen=True)
class Layout:
    """A kind of folder.

    Attributes:
        kind: what its head states.
        fields: of the head, in every version of its format.
        files: patterns of the paths within the folder, the head's own among them.
    """

    kind: str
    fields: tuple[str, ...]
    files: tuple[str, ...]

    def foreign(self, folder: Path) -> Path | None:
        """The first file of `folder` that is none of these, by path; None where there is none.

        A link is a file, wherever it points to.
        """
        pattern = re.compile("|".join(f"(?:{each})" for each in self.files), re.ASCII)
        for place, folders, files in os.walk(folder):
            links = [name for name in folders if os.path.islink(os.path.join(place, name))]
            for name in sorted([*files, *links]):
                path = Path(place, name)
                if path.is_symlink() or not pattern.fullmatch(path.relative_to(folder).as_posix()):
                    return path
            folders.sort()
        return None


def _under(folder: str, layout: Layout) -> tuple[str, ...]:
    return tuple(f"{folder}/(?:{each})" for each in layout.files)


_VOCABULARY = r"vocabulary/\w+\.npy"
_LOGS = Layout(
    "logs",
    ("format", "name"),
    (
        r"(logs|features)\.json",
        r"items\.parquet",
        r"(events|requests|truth/requests|truth/exposures)/part-\d+\.parquet",
        r"truth/simulation\.json",
    ),
)
_SAMPLES = Layout(
    "samples",
    ("format", "name", "spec", "limits"),
    (r"samples\.json", r"items/\w+\.npy", _VOCABULARY, r"shards/\d+/\w+\.parquet"),
)
_RUN = Layout(
    "run",
    ("format", "version_id", "config", "spec"),
    (r"run\.json", r"model\.weights\.h5", r"metrics\.jsonl", _VOCABULARY),
)
_BUNDLE = Layout(
    "bundle",
    ("format", "version_id", "spec", "files"),
    (
        r"((device|cloud)/)?manifest\.json(\.sig)?",
        r"device/\w+\.mnn",
        r"cloud/embeddings/\w+/shard-\d+-of-\d+\.npz",
        r"golden/case-\d+\.npz",
        r"golden/(onnx|peers)/\w+\.(onnx|mnn|tflite)",
    ),
)
LAYOUTS = {
    "logs.json": _LOGS,
    "samples.json": _SAMPLES,
    "run.json": _RUN,
    "manifest.json": _BUNDLE,
    "quickstart.json": Layout(
        "quickstart",
        ("schema", "version_id", "paths"),
        (
            r"quickstart\.json",
            *_under("logs", _LOGS),
            *_under("samples", _SAMPLES),
            *_under("run", _RUN),
            *_under("bundle", _BUNDLE),
        ),
    ),
    "ablation.json": Layout(
        "ablation",
        ("format", "rows"),
        (r"ablation\.(json|md|html)", r"\w+-seed-\d+\.npz", *_under(r"runs/\w+-seed-\d+", _RUN)),
    ),
    "trace.json": Layout(
        "trace",
        ("schema", "proof", "finding"),
        (r"trace\.json", r"case\.npz", r"\w+\.onnx", r"device/(\w+\.mnn|manifest\.json)"),
    ),
}
"""By the document at the head of the folder."""


def layout_of(folder: Path) -> Layout | None:
    """The kind of folder that the head in `folder` states, with all fields that such a head has; else None."""
    for name, layout in LAYOUTS.items():
        head = read_object(folder / name)
        if head is not None and head.get("kind") == layout.kind and all(field in head for field in layout.fields):
            return layout
    return None


def is_document(path: Path) -> bool:
    """Whether the file `path` is a document that a command wrote: a JSON object with its `schema`."""
    found = read_object(path)
    return found is not None and found.get("schema") == 1
