"""The settings of the server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgerec.bundle.signing import PublicKey
from edgerec.cloud.embedding_source import EmbeddingSource


@dataclass(frozen=True)
class ServerSettings:
    """How `edgerec serve` runs.

    Attributes:
        logs: the folder to which the logs of devices are written; None: no logs are accepted.
        host: the address to listen at.
        port: the port; 0 takes a free one.
        public_key: the bundles must have a signature of this key; None: no signature is checked.
        embeddings: where the embedding tables are; None: in the files of the bundles.
    """

    logs: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8008
    public_key: PublicKey | None = None
    embeddings: EmbeddingSource | None = None
