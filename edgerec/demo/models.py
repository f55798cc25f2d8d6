"""The models of the demo: one set for all clients, and a watched ranker for each client."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from edgerec.bundle.guard import guarded
from edgerec.bundle.load import create_model, load_bundle, read_device_half
from edgerec.bundle.manifest import RANKING_MODEL
from edgerec.demo.watched import WatchedRanker
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.scoring import RankArguments
from edgerec.explanation.attention import AttentionRows, read_attention
from edgerec.features.behaviours import BehaviourKind


class DemoModels:
    """Loads a bundle.

    Args:
        bundle: the bundle. A separate process loads it first, because damaged models can crash native code.

    Raises:
        FormatError, IntegrityError, SessionError, ResourceError: as for `edgerec.load_device_model`.
    """

    def __init__(self, bundle: Path) -> None:
        guarded(_check, bundle)
        half = read_device_half(bundle)
        self.shared = create_model(half)
        self._ranking = half.contents[RANKING_MODEL]
        self._lock = threading.Lock()

    def watched(self) -> tuple[DeviceModel, WatchedRanker]:
        """Return the models for one client, and its ranker."""
        ranker = WatchedRanker(self._ranking)
        return replace(self.shared, ranker=ranker), ranker

    def attention(self, arguments: RankArguments) -> dict[BehaviourKind, AttentionRows | None]:
        """Return the attention weights of a re-rank. This runs a model of its own, so no client waits for it."""
        with self._lock:
            return read_attention(self.shared, arguments)


def _check(bundle: Path) -> None:
    _, model = load_bundle(bundle)
    model.ranker.session.commands()
    for stepper in model.steppers.values():
        stepper.session.commands()
