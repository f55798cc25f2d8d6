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

PEER_CLASSES = {
    "onnxruntime": "edgerec.bench.peers.onnx:ReferenceGraphs",
    "onnxruntime_device_graph": "edgerec.bench.peers.onnx:DeviceGraphs",
    "litert": "edgerec.bench.peers.litert:LiteRt",
    "mnn_default_export": "edgerec.bench.peers.default_export:DefaultExport",
}
"""The peers in this package: the class of each, by name."""

Calls = dict[str, Callable[[], Any]]
"""The functions to measure, by name of the implementation."""


class Peer:
    """Another inference engine that runs the models of a bundle, to compare its latency with that of MNN.

    Args:
        bundle: the bundle's folder.

    Attributes:
        measures: what the engine can run: `step`, `rerank` or both.
        stores_fused: whether its steps return the key and the fused encoding, as in the equations of the paper. If
            false, they return `key` and `value` of the device graph.
    """

    measures: tuple[str, ...] = ("step", "rerank")
    stores_fused = True

    def __init__(self, bundle: Path) -> None:
        self.bundle = bundle

    def missing(self) -> str | None:
        """Return a message that says what is missing to run this peer, or None if it can run."""
        return None

    def step(self, kind: BehaviourKind, case: GoldenCase) -> Calls:
        """Return functions for the benchmark, by name. Each call encodes one behaviour and keeps the recurrent state.

        The behaviours are those of the golden case. After the last behaviour, a function starts again with the first. A
        call returns the key, the stored value and the new state.
        """
        return {}

    def rerank(self, case: GoldenCase) -> Calls:
        """Return functions for the benchmark, by name. Each call scores the candidates of `case` and returns logits.

        The behaviours are encoded before, so that this is not measured.
        """
        return {}


class Failures(dict[str, str]):
    """The reason why a peer failed, by name of the peer."""

    @contextmanager
    def of(self, peer: str) -> Iterator[None]:
        """Run a block that uses `peer`. If it raises an error, store and log the reason, and continue after it."""
        try:
            yield
        except Exception as error:  # A peer may come from another package, and each engine has errors of its own.
            kind = "" if isinstance(error, EdgeRecError) else f"{type(error).__name__}: "
            self[peer] = kind + first_line(error)
            log(f"peer {peer} failed: {self[peer]}")


def load_peers(bundle: Path, failures: Failures) -> dict[str, Peer]:
    """Return all installed peers by name, ours first. A peer that cannot be loaded is added to `failures`."""
    peers = {}
    for name in dict.fromkeys((*PEER_CLASSES, *plugin_names(ENTRY_POINTS))):
        with failures.of(name):
            found: Any = (
                resolve_name(PEER_CLASSES[name]) if name in PEER_CLASSES else find_plugin(ENTRY_POINTS, name, Peer)
            )
            peers[name] = found(bundle)
    return peers
