"""A stage of the benchmark: implementations that do the same work, and the bundle on which they do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgerec.bench.measure import Call
from edgerec.bench.peers.peer import Failures, Peer
from edgerec.bundle.golden import GoldenCase, case_names, run_named
from edgerec.bundle.load import load_bundle
from edgerec.bundle.manifest import BundleManifest
from edgerec.bundle.signing import PublicKey
from edgerec.core.errors import FormatError
from edgerec.device_runtime.device_model import DeviceModel

ENGINE, RUNTIME = "mnn", "edgerec"
"""MNN alone, and the public function of EdgeRec, which also checks all inputs before native code reads them."""


@dataclass(frozen=True)
class Loaded:
    """A bundle that was checked and loaded.

    Attributes:
        bundle: the bundle's folder.
        manifest: its manifest.
        model: its device models.
        case: the golden case whose lists and sequences have the maximum lengths.
        threads: number of threads that the models use.
    """

    bundle: Path
    manifest: BundleManifest
    model: DeviceModel
    case: GoldenCase
    threads: int = 1


@dataclass(frozen=True)
class Stage:
    """Implementations that do the same work.

    Attributes:
        name: the name in the document.
        implementations: the functions to measure, by name.
        calls: number of calls in a round.
        reference: the implementation that is compared with the others. None compares nothing.
        apart: implementations that do other work than the reference and are not compared with it.
        parameters: what a sweep varied.
    """

    name: str
    implementations: Mapping[str, Callable[[], Any] | Call]
    calls: int
    reference: str | None = ENGINE
    apart: tuple[str, ...] = (RUNTIME,)
    parameters: Mapping[str, int | float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Others:
    """The other engines and the other bundles that are measured in the same rounds as the bundle.

    Attributes:
        peers: other engines by name.
        failures: the peers that cannot be measured.
        bundles: other bundles, by the name of their rows.
    """

    peers: Mapping[str, Peer] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)
    bundles: Mapping[str, Loaded] = field(default_factory=dict)

    def measuring(self, what: str) -> dict[str, Peer]:
        """Return the peers that can run `what` and have not failed."""
        return {name: peer for name, peer in self.peers.items() if what in peer.measures and name not in self.failures}


def load_checked_bundle(bundle: Path, *, public_key: PublicKey | None = None, threads: int = 1) -> Loaded:
    """Check all files of `bundle`, load its models, and run the golden case of full lengths.

    Raises:
        FormatError, IntegrityError, SignatureError, SessionError: the bundle cannot be used.
    """
    manifest, model = load_bundle(bundle, public_key=public_key, threads=threads)
    name = case_names(bundle, manifest)[-1]
    case, _ = run_named(model, bundle, name)
    lengths, limits = case.lengths(), model.limits.model_dump()
    if lengths != limits:
        raise FormatError(f"bundle: {name} should have the full lengths {limits}; received {lengths}: export it again")
    return Loaded(bundle, manifest, model, case, threads)
