"""What a device remembers of its model versions: `state.json`, which is replaced as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgerec.core.atomic import json_bytes, write_bytes
from edgerec.core.documents import document_bytes, parse_document
from edgerec.core.text_fields import Name

FORMAT = 1
STATE = "state.json"


class Refused(BaseModel):
    """A version that was refused.

    Attributes:
        offer: the fingerprint of its offer.
        until: it is not tried before this time, in milliseconds since 1970.
        reason: why.
    """

    model_config = ConfigDict(frozen=True)

    offer: Name
    until: int
    reason: str


class State(BaseModel):
    """What the device remembers.

    Attributes:
        current: the version with which the device starts; None if it has none.
        next: the version that the client prepares. If the behaviour store has its encodings, the client has switched.
        highest_serial: the highest serial number that was ever current.
        loading: the fingerprint of the offer whose version is being loaded; None if none is.
        loads: how often its loading has begun and not ended.
        refused: the latest version that was refused.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    kind: Literal["model-versions"] = "model-versions"
    current: Name | None = None
    next: Name | None = None
    highest_serial: Annotated[int, Field(ge=0)] = 0
    loading: Name | None = None
    loads: Annotated[int, Field(ge=0)] = 0
    refused: Refused | None = None


@dataclass(frozen=True)
class StateFile:
    """The file `state.json` in the folder of versions."""

    folder: Path

    def read(self) -> State:
        """Return the state; that of a new device if there is no file.

        Raises:
            FormatError: the file is damaged, or it has another format number.
        """
        path = self.folder / STATE
        if not path.exists():
            return State()
        content = document_bytes(path, what="model versions")
        return parse_document(content, path=path, model=State, what="model versions", format_number=FORMAT)

    def write(self, state: State) -> None:
        """Replace the file. When this returns, it survives a power cut.

        Raises:
            OSError: the file cannot be written. Then the one before is complete.
        """
        write_bytes(self.folder / STATE, json_bytes(state.model_dump(mode="json")), durable=True)
