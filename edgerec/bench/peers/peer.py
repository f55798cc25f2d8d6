"""The base class of peers, and the functions that find and load all peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ClassVar

from edgerec.bundle.golden import GoldenCase
from edgerec.core.console import log
from edgerec.core.errors import EdgeRecError, PluginError, first_line
from edgerec.core.plugins import check_own_name, classes_in, find_plugin, plugin_names
from edgerec.core.quiet_stderr import quiet_stderr
from edgerec.features.behaviours import BehaviourKind

ENTRY_POINTS = "edgerec.peers"
"""The group of entry points in which other packages add peers. Each entry point names a subclass of `Peer`."""

Calls = dict[str, Callable[[], Any]]
"""The functions to measure, by name of the implementation."""
MEASURES = ("step", "rerank", "sequence")
"""What a peer can run. The names are those of the methods of `Peer`."""


class Peer:
    """Another inference engine that runs the models of a bundle, to compare its latency with that of MNN.

    Args:
        bundle: the bundle's folder.

    Attributes:
        name: the peer's name. The class of a peer in another package needs none: its entry point has the name.
        distributions: the Python distributions that the engine consists of. The results contain their versions.
        measures: what the engine can run: `step`, `rerank`, `sequence`.
        stores_fused: whether its steps and sequences return keys and fused encodings, as in the equations of the paper.
            If false, they return `key` and `value` of the device graph.
    """

    name: ClassVar[str]
    distributions: tuple[str, ...] = ()
    measures: tuple[str, ...] = ("step", "rerank")
    stores_fused = True

    def __init__(self, bundle: Path) -> None:
        self.bundle = bundle

    def missing(self) -> str | None:
        """Return a text that says what is missing to run this peer, or None if it can run."""
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

    def sequence(self, kind: BehaviourKind, case: GoldenCase, length: int) -> Calls:
        """Return functions for the benchmark, by name. Each call encodes a sequence from its start.

        This is what a step saves: without a stored state, every new behaviour needs a run over all behaviours. The
        behaviours are the first `length` of the golden case. A call returns the keys and the stored values of all of
        them, each (length, ...). They are those of as many steps.
        """
        return {}


class Failures(dict[str, str]):
    """The reason why a peer failed, by name of the peer."""

    @contextmanager
    def of(self, peer: str) -> Iterator[None]:
        """Run a block that uses `peer`. If it raises an error, store and log the reason, and continue after it.

        What engines write to stderr while they are loaded and run for the first time is not shown.
        """
        try:
            with quiet_stderr():
                yield
        except Exception as error:  # A peer may come from another package, and each engine has errors of its own.
            kind = "" if isinstance(error, EdgeRecError) else f"{type(error).__name__}: "
            self[peer] = kind + first_line(error)
            log(f"peer {peer} failed: {self[peer]}")


def load_peers(bundle: Path, failures: Failures) -> dict[str, Peer]:
    """Return all installed peers by name, ours first. A peer that cannot be loaded is added to `failures`."""
    ours, peers = _our_peers(failures), {}
    for name in dict.fromkeys((*ours, *plugin_names(ENTRY_POINTS))):
        with failures.of(name):
            if name in ours:
                check_own_name(ENTRY_POINTS, name)
            found: Any = ours.get(name) or find_plugin(ENTRY_POINTS, name, Peer)
            _check(found, name)
            peers[name] = found(bundle)
    return peers


def _check(peer: type[Peer], name: str) -> None:
    for what in peer.measures:
        if what not in MEASURES:
            raise PluginError(f"peer {name}: `measures` should contain {', '.join(MEASURES)}; received {what!r}")
        if getattr(peer, what) == getattr(Peer, what):
            raise PluginError(f"peer {name} should define `{what}`, or leave it out of `measures`")
    found: Any = peer.distributions
    if not isinstance(found, tuple) or not all(isinstance(each, str) and each for each in found):
        raise PluginError(f"peer {name}: `distributions` should be a tuple of package names; received {found!r}")


def _our_peers(failures: Failures) -> dict[str, type[Peer]]:
    """Return the classes of this folder's peers, by name: all subclasses of `Peer` that have a name.

    A file that cannot be imported is added to `failures`.
    """
    peers: dict[str, type[Peer]] = {}
    for file in iter_modules([str(Path(__file__).parent)]):
        with failures.of(file.name):
            module = import_module(f"{__package__}.{file.name}")
            peers.update({found.name: found for found in classes_in(module, Peer) if hasattr(found, "name")})
    return peers
