"""The base class of peers, and the registry of peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from edgerec.bundle.golden import GoldenCase
from edgerec.core.console import log
from edgerec.core.errors import EdgeRecError, first_line
from edgerec.core.plugins import find_plugin, plugin_names
from edgerec.features.behaviours import BehaviourKind

ENTRY_POINTS = "edgerec.peers"
"""The group of entry points in which other packages add peers. Each entry point names a subclass of `Peer`."""

PEERS = {
    "onnxruntime": "edgerec.bench.peers.onnx:ReferenceGraphs",
    "onnxruntime_device_graph": "edgerec.bench.peers.onnx:DeviceGraphs",
    "litert": "edgerec.bench.peers.litert:LiteRt",
    "mnn_default_export": "edgerec.bench.peers.default_export:DefaultExport",
}
"""The class of each peer of EdgeRec."""

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


class Failures(dict[str, str]):
    """The reasons why peers failed, by the peer's name."""

    @contextmanager
    def of(self, peer: str) -> Iterator[None]:
        """Run a block that uses `peer`. If it raises an error, store and log the reason, and go on after the block."""
        try:
            yield
        except Exception as error:  # The peer may be of another package, and each engine has its own errors.
            kind = "" if isinstance(error, EdgeRecError) else f"{type(error).__name__}: "
            self[peer] = kind + first_line(error)
            log(f"peer {peer} failed: {self[peer]}")


def load_peers(bundle: Path, failures: Failures) -> dict[str, Peer]:
    """Return all installed peers by name, ours first. A peer that cannot be loaded is added to `failures`."""
    peers = {}
    for name in dict.fromkeys((*PEERS, *plugin_names(ENTRY_POINTS))):
        with failures.of(name):
            found: Any = resolve_name(PEERS[name]) if name in PEERS else find_plugin(ENTRY_POINTS, name, Peer)
            peers[name] = found(bundle)
    return peers
