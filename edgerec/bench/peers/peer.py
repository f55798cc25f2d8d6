"""The protocol of peers, and the peers that are installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from edgerec.bundle.golden import GoldenCase
from edgerec.core.plugins import find_plugin, plugin_names
from edgerec.features.behaviours import BehaviourKind

ENTRY_POINTS = "edgerec.peers"
"""Entry points of this group add peers: each names a subclass of `Peer`."""

OURS = (
    "edgerec.bench.peers.onnx:ReferenceGraphs",
    "edgerec.bench.peers.onnx:DeviceGraphs",
    "edgerec.bench.peers.litert:LiteRt",
    "edgerec.bench.peers.default_export:DefaultExport",
)

Calls = dict[str, Callable[[], Any]]
"""Calls to measure, by the name of the contestant."""


class Peer:
    """An engine on one bundle. Every call takes NumPy arrays that it was made with, and returns NumPy arrays.

    Args:
        bundle: the bundle's folder.

    Attributes:
        measures: `step`, `rerank` or both: what it can run.
        stores_fused: whether its steps return the fused encoding in place of the device graph's `value`, and the plain
            attention key: the equations as the paper writes them.
    """

    measures: tuple[str, ...] = ("step", "rerank")
    stores_fused = True

    def __init__(self, bundle: Path) -> None:
        self.bundle = bundle

    def missing(self) -> str | None:
        """Return what is missing for this peer to run, for people; None if it can run."""
        return None

    def step(self, kind: BehaviourKind, case: GoldenCase) -> Calls:
        """Return calls that encode the case's next behaviour, over and over, with the state carried on.

        A call returns key, stored value and new state.
        """
        return {}

    def rerank(self, case: GoldenCase) -> Calls:
        """Return calls that score the case's candidates, its behaviours encoded beforehand. A call returns logits."""
        return {}


def open_peers(bundle: Path) -> list[Peer]:
    """Return all peers that are installed, ours first.

    Raises:
        PluginError: an entry point names something else.
    """
    ours = [resolve_name(name) for name in OURS]
    others = [find_plugin(ENTRY_POINTS, name, Peer) for name in plugin_names(ENTRY_POINTS)]
    return [found(bundle) for found in (*ours, *others)]
