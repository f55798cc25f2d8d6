"""Run the cloud as a process: open everything, listen, and flush the logs at the end."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from numpy.typing import NDArray

from edgerec.cloud.app import create_app
from edgerec.cloud.co_visitation import CoVisitation
from edgerec.cloud.followed_folder import FolderThread, FollowedFolder
from edgerec.cloud.front.draining import DrainingServer
from edgerec.cloud.front.opening import opening_answers
from edgerec.cloud.front.readiness import Readiness
from edgerec.cloud.inputs import check_folders
from edgerec.cloud.listener import listen
from edgerec.cloud.log_writer import LogWriter
from edgerec.cloud.mix_prices import MixPrices
from edgerec.cloud.recall import Recall
from edgerec.cloud.service import FeedService
from edgerec.cloud.settings import ServerSettings
from edgerec.cloud.start import open_service
from edgerec.cloud.stored_columns import StoredColumns, log_specs
from edgerec.cloud.versions import ServedVersion
from edgerec.cloud.warming import warm
from edgerec.core.atomic import check_no_overlap
from edgerec.core.errors import ConfigurationError
from edgerec.data.logs import HEAD

LEARNT = 2000
"""Number of events that are learnt before waiting pages are answered."""
_GRACE_S = 5
"""How long open requests may take after the server was asked to stop, in seconds."""
_BACKLOG = 2048


def serve(
    bundles: Sequence[Path],
    catalogue: Path,
    settings: ServerSettings,
    *,
    recall: Callable[[NDArray[np.int64]], Recall] = CoVisitation,
    listening: Callable[[dict[str, Any]], None] = lambda state: None,
) -> None:
    """Serve until the process gets SIGINT or SIGTERM. Then answer open requests and write the logs.

    While bundles and logs are opened, `/v1/health` answers, and all other requests get the status 503.

    Args:
        bundles: the bundles whose versions are served. Without any, only devices without a model are served.
        catalogue: folder of logs with the catalogue.
        settings: how the server runs.
        recall: makes the recall from the IDs (n,) of the catalogue.
        listening: called with `url` and `versions` when the server listens.

    Raises:
        InputError, FormatError, LogsError, SpecificationError: an input is not valid.
        ConfigurationError: the tokens, a rate, a price, the certificate or its key is not valid.
        OutputError: the port is in use, or the folder of the logs cannot be written.
    """
    logs = settings.logs
    if logs is not None:
        check_no_overlap(logs, [catalogue, *bundles, *([settings.versions] if settings.versions else [])])
    check_folders(bundles, catalogue, settings.versions, public_key=settings.public_key)
    prices = None if settings.mix_prices is None else MixPrices(settings.mix_prices)
    front = settings.front
    tls = _tls(front.certificate, front.key)
    with contextlib.ExitStack() as stack:
        readiness = Readiness(logs)
        opened_front = stack.enter_context(front.open(readiness.fault))
        listener = stack.enter_context(listen(settings.host, settings.port))
        listener.listen(_BACKLOG)
        with opening_answers(listener, tls):
            earlier = [logs] if logs is not None and (logs / HEAD).exists() else []
            stored = StoredColumns(logs) if logs is not None and earlier else None
            where: dict[str, Any] = {"public_key": settings.public_key, "embeddings": settings.embeddings}
            followed = FollowedFolder(settings.versions, **where) if settings.versions else None
            service = open_service(
                catalogue,
                bundles,
                learn_from=earlier,
                recall=recall,
                followed=followed,
                prices=prices,
                admit=stored.check if stored is not None else lambda version: None,
                **where,
            )
            writer = None
            if logs is not None:
                specs = log_specs(service.versions, followed, stored)
                writer = stack.enter_context(
                    LogWriter(logs, specs, service.catalogue.items, learn=partial(service.learn, piece=LEARNT))
                )
        if followed is not None:
            stack.enter_context(FolderThread(followed, service.versions, partial(admit_version, service, writer)))
        app = create_app(service, writer, front=opened_front)
        warm(service, app, recalls=recall is CoVisitation)
        # The writer is closed at the end of this block, not by uvicorn, which would print a traceback on a full disk.
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
            lifespan="off",
            backlog=_BACKLOG,
            ssl_certfile=front.certificate,
            ssl_keyfile=front.key,
        )
        address = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = f"{'http' if tls is None else 'https'}://{address}:{listener.getsockname()[1]}"
        state = {"url": url, "versions": service.versions.ids}
        server = DrainingServer(config, front.drain_s, listening=lambda: listening(state), stopping=readiness.stop)
        # uvicorn ends on SIGINT and SIGTERM, and then gives the signal to the handler that was there before.
        server.run(sockets=[listener])


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return the TLS settings; None without a certificate.

    Raises:
        ConfigurationError: a file cannot be read, or the key does not belong to the certificate.
    """
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"serve: the certificate {certificate} and its key cannot be used ({reason})"
        ) from None
    return context


def _no_password() -> str:
    raise ValueError("the key has a password: give one without")


def admit_version(service: FeedService, writer: LogWriter | None, version: ServedVersion) -> None:
    """Let a running server accept one more version, or raise the error that says why not."""
    service.admit(version)
    if writer is not None:
        writer.admit(version.spec)
