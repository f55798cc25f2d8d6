"""The interface between Client Native and the cloud.

A `TransportError` says that the cloud cannot be reached. Then no request of any kind is made for a while. An
`AnswerError` says that the cloud answers, but not to this kind of request: only this kind waits. So does a `BusyError`,
for as long as the cloud asks. A `RefusedError` says that the content is wrong.

A transport may also have the methods `cloud_time` and `ask_time` of `edgerec.paging.http_transport.HttpTransport`. Then
a device with a wrong clock logs the time of the cloud.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edgerec.paging.items import ItemBatch
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.model_offer import ModelOffer
from edgerec.paging.page import Page, PageRequest


class Transport(Protocol):
    """How a device reaches the cloud. Every method may raise `edgerec.core.errors.TransportError`."""

    def page(self, request: PageRequest) -> Page:
        """Return the next items of a user's feed."""
        ...

    def items(self, version_id: str | None, item_ids: Sequence[int]) -> ItemBatch:
        """Return these items in this order, for example an item that the user found by search.

        Raises:
            RefusedError: the cloud does not have one of the items. The device then asks for one item at a time, and
                leaves out the behaviours with an item that is refused.
            TransportError: the device asks again later.
        """
        ...

    def send(self, batch: LogBatch) -> None:
        """Deliver a batch of log rows. When it returns, the cloud has stored the batch.

        A batch may be delivered twice, if the answer to the first delivery was lost. The cloud drops the second one.

        Raises:
            RefusedError, InputError: the batch can never be delivered. The device halves it, and drops a single row.
            TransportError: the batch was not delivered. The device delivers it later.
        """
        ...


class ModelTransport(Protocol):
    """How a device gets a new model version, for `edgerec.model_update`. Every method may raise `TransportError`."""

    def model(self, user_id: int, store_id: int, version_id: str | None) -> ModelOffer:
        """Return the version that this user should run. `version_id` is the version that the device has, or None."""
        ...

    def model_file(self, version_id: str, path: str, start: int, most: int) -> bytes:
        """Return at most `most` bytes of a file of a version, from the byte `start` on. At the end they are fewer."""
        ...
