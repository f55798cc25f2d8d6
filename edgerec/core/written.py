"""The files of each kind of folder that EdgeRec writes. `--force` removes no other files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from edgerec.core.documents import read_object


@dataclass(frozen=True)
class Layout:
    """The layout of one kind of folder. The head of a folder is the JSON file that describes it.

    Attributes:
        kind: the value of the field `kind` in the head.
        fields: fields that the head has in every version of its format.
        files: patterns of all paths in the folder, including the head.
    """

    kind: str
    fields: tuple[str, ...]
    files: tuple[str, ...]

    def foreign(self, folder: Path) -> Path | None:
        """Return the first file of `folder` that matches no pattern, or None if all files match.

        A symbolic link counts as a file that matches no pattern.
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
    (r"run\.json", r"model\.weights\.h5", r"(metrics|trials)\.jsonl", _VOCABULARY),
)
_DEVICE_FILES = r"\w+\.mnn|(surroundings|personal_head)\.npz"
_BUNDLE = Layout(
    "bundle",
    ("format", "version_id", "spec", "files"),
    (
        r"((device|cloud)/)?manifest\.json(\.sig)?",
        rf"device/({_DEVICE_FILES})",
        r"cloud/embeddings/\w+/shard-\d+-of-\d+\.npz",
        r"golden/(case|raw)-\d+\.npz",
        r"golden/(onnx|peers)/\w+\.(onnx|mnn|tflite|npz)",
    ),
)
_AB_TEST = Layout(
    "ab_test",
    ("schema", "design", "buckets"),
    (
        r"ab_test\.(json|md|html)",
        r"(users|exposures)/part-[\d-]+\.parquet",
        r"logs/[^/]+/journal\.sqlite(-\w+)?",
        r"logs/[^/]+/truth/places/part-[\d-]+\.parquet",
        *_under(r"logs/[^/]+", _LOGS),
    ),
)
_MIX_TEST = Layout(
    "mix_test",
    ("schema", "goals", "policies"),
    (r"mix_test\.(json|md|html)", r"(users|exposures)/part-[\d-]+\.parquet"),
)
_PIPELINE = (
    *_under("logs", _LOGS),
    *_under("samples", _SAMPLES),
    *_under("run", _RUN),
    *_under("bundle", _BUNDLE),
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
            *_PIPELINE,
        ),
    ),
    "demo.json": Layout("demo", ("schema", "version_id"), (r"demo\.json", *_PIPELINE)),
    "ablation.json": Layout(
        "ablation",
        ("format", "rows"),
        (r"ablation\.(json|md|html)", r"\w+-seed-\d+\.npz", *_under(r"runs/\w+-seed-\d+", _RUN)),
    ),
    "mix_ablation.json": Layout(
        "mix_ablation",
        ("format", "models"),
        (r"mix_ablation\.(json|md)", r"\w+-seed-\d+\.npz", *_under(r"runs/\w+-seed-\d+", _RUN)),
    ),
    "ab_test.json": _AB_TEST,
    "mix_test.json": _MIX_TEST,
    "personal_evaluation.json": Layout(
        "personal_evaluation",
        ("schema", "rows"),
        (r"personal_evaluation\.(json|md)",),
    ),
    "loop.json": Layout(
        "loop",
        ("schema", "rounds"),
        (
            r"loop\.(json|md|html)",
            *_under(r"round-\d+/ab_test", _AB_TEST),
            *_under(r"round-\d+/logs", _LOGS),
            *_under(r"round-\d+/samples", _SAMPLES),
            *_under(r"round-\d+/run", _RUN),
            *_under(r"round-\d+/bundle", _BUNDLE),
        ),
    ),
    "trace.json": Layout(
        "trace",
        ("schema", "proof", "finding"),
        (
            r"trace\.json",
            r"case\.npz",
            r"\w+\.onnx",
            rf"device/({_DEVICE_FILES}|manifest\.json)",
        ),
    ),
}
"""The layouts, by the file name of the head."""


def layout_of(folder: Path) -> Layout | None:
    """Return the layout of `folder` by its head, or None if it has no valid head."""
    for name, layout in LAYOUTS.items():
        head = read_object(folder / name)
        if head is not None and head.get("kind") == layout.kind and all(field in head for field in layout.fields):
            return layout
    return None


def is_document(path: Path) -> bool:
    """Return whether the file `path` is a document of a command: a JSON object with ``"schema": 1``."""
    found = read_object(path)
    return found is not None and found.get("schema") == 1
