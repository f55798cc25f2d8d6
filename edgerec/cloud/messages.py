"""The bodies of requests, as pydantic models. OpenAPI describes them, and a wrong body is refused with one line."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from edgerec.data.schema import MAX_TIME_MS
from edgerec.paging.codec import MAX_ITEMS
from edgerec.paging.page import PageRequest

MAX_COUNT = 1000
"""Maximum number of items of a page. It equals the largest limit of candidates."""

Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
VersionId = Annotated[str, Field(max_length=1000)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class PageBody(_Body):
    """A device's request for the next items of a user's feed."""

    user_id: Int64
    store_id: Annotated[int, Field(ge=0, le=2**63 - 1)]
    """The behaviour store of the device."""
    version_id: VersionId | None = None
    """The version of the device's model; null if it has none."""
    count: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    """Number of items that the device wants."""
    held: Annotated[list[Int64], Field(max_length=MAX_ITEMS)] = []
    """The items that the device still holds and has not shown. The page does not contain them."""
    time: Annotated[int, Field(ge=0, le=MAX_TIME_MS)]
    """Milliseconds since 1970 and before 2100, on the device's clock."""

    def request(self) -> PageRequest:
        """Return the request."""
        held = tuple(self.held)
        return PageRequest(self.user_id, self.store_id, self.version_id, self.count, held, self.time)


class ItemsBody(_Body):
    """A device's request for certain items."""

    version_id: VersionId | None = None
    item_ids: Annotated[list[Int64], Field(max_length=MAX_ITEMS)]


class ModelBody(_Body):
    """A device's question which version its user should run."""

    user_id: Int64
    store_id: Annotated[int, Field(ge=0, le=2**63 - 1)]
    version_id: VersionId | None = None
    """The version that the device has; null if it has none."""


class OfferedFile(BaseModel):
    """A file that a device downloads: its path within the bundle, its size, and its SHA-256.

    This is the cloud's form. It describes the answer in `/openapi.json`, so its fields have the names of the JSON. The
    device's form needs no pydantic, and checks what it reads: `edgerec.paging.model_offer.OfferedFile`.
    """

    path: str
    bytes: int
    sha256: str


class ModelOffer(BaseModel):
    """The version that a user should run, and the files that the device lacks.

    This is the cloud's form. The device's form is `edgerec.paging.model_offer.ModelOffer`.
    """

    schema_: Annotated[int, Field(alias="schema")] = 1
    version_id: str | None
    """Null: there is none for this user, so the device keeps what it has."""
    files: list[OfferedFile]
    bytes: int
    """The sum of the sizes of `files`."""
