"""What a client has done with the cloud."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class CloudDone:
    """What was done with the cloud. `changed` says whether the feed changed."""

    pages: int = 0
    items: int = 0
    sent: int = 0
    changed: bool = False
    errors: list[str] = field(default_factory=list)
