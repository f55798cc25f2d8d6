"""The folder with what the demo needs: simulated logs, and a bundle that was trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgerec.core.written import layout_of
from edgerec.simulation.population import TRUTH


@dataclass(frozen=True)
class DemoParts:
    """What the demo shows.

    Attributes:
        bundle: the bundle whose model re-ranks.
        logs: a folder of logs. Its items are the catalogue.
    """

    bundle: Path
    logs: Path


def made_before(folder: Path) -> DemoParts | None:
    """Return the parts of a folder that `edgerec demo` or `edgerec quickstart` wrote; None for any other path."""
    layout = layout_of(folder)
    if layout is None or layout.kind not in ("demo", "quickstart"):
        return None
    return DemoParts(folder / "bundle", folder / "logs")


def is_simulated(logs: Path) -> bool:
    """Return whether `edgerec simulate` wrote these logs."""
    return (logs / TRUTH / "simulation.json").exists()
