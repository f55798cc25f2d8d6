"""Run the cloud as a process: open everything, listen, and flush the logs at the end."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from numpy.typing import NDArray

from edgerec.cloud.app import create_app
from edgerec.cloud.co_visitation import CoVisitation
from edgerec.cloud.log_writer import LogWriter
from edgerec.cloud.recall import Recall
from edgerec.cloud.settings import ServerSettings
from edgerec.cloud.start import open_service
from edgerec.core.atomic import check_no_overlap
from edgerec.core.errors import OutputError
from edgerec.data.logs import HEAD

_GRACE_S = 5
"""How long open requests may take after the server was asked to stop, in seconds."""


def serve(
    bundles: Sequence[Path],
    catalogue: Path,
    settings: ServerSettings,
    *,
    recall: Callable[[NDArray[np.int64]], Recall] = CoVisitation,
    listening: Callable[[dict[str, Any]], None] = lambda state: None,
) -> None:
    """Serve until the process gets SIGINT or SIGTERM. Then answer open requests and write the logs.

    Args:
        bundles: the bundles whose versions are served. Without any, only devices without a model are served.
        catalogue: folder of logs with the catalogue.
        settings: how the server runs.
        recall: makes the recall from the IDs (n,) of the catalogue.
        listening: called with `url` and `versions` when the server listens.

    Raises:
        InputError, FormatError, LogsError, SpecificationError: an input is not valid.
        OutputError: the port is in use, or the folder of the logs cannot be written.
    """
    logs = settings.logs
    if logs is not None:
        check_no_overlap(logs, [catalogue, *bundles])
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listen(settings.host, settings.port))
        earlier = [logs] if logs is not None and (logs / HEAD).exists() else []
        service = open_service(
            catalogue,
            bundles,
            learn_from=earlier,
            recall=recall,
            public_key=settings.public_key,
            embeddings=settings.embeddings,
        )
        writer = None
        if logs is not None:
            specs = [version.spec for version in service.versions]
            writer = stack.enter_context(LogWriter(logs, specs, service.catalogue.items, learn=service.learn))
        app = create_app(service, writer)
        # The writer is closed at the end of this block, not by uvicorn, which would print a traceback on a full disk.
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE_S, lifespan="off"
        )
        server = uvicorn.Server(config)
        address = f"[{settings.host}]" if ":" in settings.host else settings.host
        listener.listen(config.backlog)
        listening({"url": f"http://{address}:{listener.getsockname()[1]}", "versions": service.versions.ids})
        # uvicorn ends on SIGINT and SIGTERM, and then gives the signal to the handler that was there before.
        server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to the address.

    Raises:
        OutputError: the address cannot be used.
    """
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError, UnicodeError) as error:
        if listener is not None:
            listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot listen at {host}:{port} ({reason}): choose another --host or --port") from None
    return listener
