"""The settings of the server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgerec.bundle.signing import PublicKey
from edgerec.cloud.embedding_source import EmbeddingSource
from edgerec.cloud.front.settings import FrontSettings


@dataclass(frozen=True)
class ServerSettings:
    """How `edgerec serve` runs.

    Attributes:
        logs: the folder to which the logs of devices are written; None: no logs are accepted.
        host: the address to listen at.
        port: the port; 0 takes a free one.
        public_key: the bundles must have a signature of this key; None: no signature is checked.
        front: who may ask and how often, and what can be seen from outside.
        versions: a versions folder that is followed while the server runs; None: only bundles are served.
        embeddings: where the embedding tables are; None: in the files of the bundles.
        mix_prices: a file with prices of kinds of cards, which devices get with a page; None: there are none.
    """

    logs: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8008
    public_key: PublicKey | None = None
    front: FrontSettings = field(default_factory=FrontSettings)
    versions: Path | None = None
    embeddings: EmbeddingSource | None = None
    mix_prices: Path | None = None
