"""The sizes of a bundle's parts, and those of the paper: 3 MB on the device and 230 MB in the cloud (section 4)."""

from __future__ import annotations

from edgerec.bench.document import TOTAL, Size
from edgerec.bundle.layout import CLOUD, DEVICE, EMBEDDINGS
from edgerec.bundle.manifest import BundleManifest

PAPER_BYTES = {DEVICE: 3_000_000, CLOUD: 230_000_000}


def sizes_of(manifest: BundleManifest) -> list[Size]:
    """Return a row for each model, each table and the rest of each folder, and the total of each folder."""
    parts: dict[str, dict[str, int]] = {
        DEVICE: {
            name: manifest.files[f"{DEVICE}/{model.file}"].size
            for name, model in manifest.models.items()
            if f"{DEVICE}/{model.file}" in manifest.files
        },
        CLOUD: {name: manifest.bytes_under(f"{CLOUD}/{EMBEDDINGS}/{name}") for name in manifest.tables},
    }
    rows = []
    for half in parts:
        total = manifest.bytes_under(half)
        found = {**parts[half], "manifest": total - sum(parts[half].values()), TOTAL: total}
        rows += [
            Size.model_validate(
                {
                    "half": half,
                    "part": part,
                    "bytes": count,
                    "paper_bytes": PAPER_BYTES[half] if part == TOTAL else None,
                }
            )
            for part, count in found.items()
        ]
    return rows
