"""Pages and items of a service of this process, with the errors of a transport."""

from __future__ import annotations

from collections.abc import Sequence

from edgerec.cloud.service import FeedService, UnknownItemsError
from edgerec.core.errors import EdgeRecError, RefusedError, TransportError, first_line
from edgerec.paging.items import ItemBatch
from edgerec.paging.page import Page, PageRequest


class ServicePages:
    """The half of a `Transport` that reads. Threads may share an instance.

    Args:
        service: the service that the HTTP server runs.
    """

    def __init__(self, service: FeedService) -> None:
        self._service = service

    def page(self, request: PageRequest) -> Page:
        """Return the next items of a user's feed."""
        try:
            return self._service.page(request)
        except EdgeRecError as error:
            raise TransportError(first_line(error)) from error

    def items(self, version_id: str | None, item_ids: Sequence[int]) -> ItemBatch:
        """Return these items in this order."""
        try:
            return self._service.items(version_id, item_ids)
        except UnknownItemsError as error:
            raise RefusedError(first_line(error)) from error
        except EdgeRecError as error:
            raise TransportError(first_line(error)) from error
