"""What a server does once before it listens, so that the first device does not wait for it."""

from __future__ import annotations

import contextlib

from fastapi import FastAPI

from edgerec.cloud.service import FeedService
from edgerec.core.errors import EdgeRecError
from edgerec.paging.codec import encode_items, encode_page
from edgerec.paging.page import PageRequest

_ITEMS, _PAGES = 100, 3
_NOBODY = -1
"""The user of the pages. No user has to be known to the recall."""


def warm(service: FeedService, app: FastAPI, *, recalls: bool) -> None:
    """Answer some requests of every version without HTTP, and build the layers of the application.

    The first calls of NumPy, of the codec and of the layers take tens of milliseconds, and the first look-ups read the
    tables from the disk.

    Args:
        service: answers the requests.
        app: the application.
        recalls: whether the recall may be asked, too. A recall of an application may take it for a request of a device.
    """
    some = service.catalogue.ids[:_ITEMS].tolist()
    for version in service.versions:
        # A fault of the embeddings is for the device that meets it: the server starts all the same.
        with contextlib.suppress(EdgeRecError):
            encode_items(service.items(version.version_id, some))
            for _ in range(_PAGES if recalls else 0):
                encode_page(service.page(PageRequest(_NOBODY, 0, version.version_id, _ITEMS, (), 0)))
    if app.middleware_stack is None:
        app.middleware_stack = app.build_middleware_stack()
