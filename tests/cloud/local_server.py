"""A real HTTP server in a thread of the test's process. It starts faster than a process of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn

from edgerec.cloud.app import create_app
from edgerec.cloud.followed_folder import FolderThread, FollowedFolder
from edgerec.cloud.start import open_service


@contextlib.contextmanager
def following(folder: Path, logs: Path, bundles: Sequence[Path] = (), *, poll_s: float = 0.02) -> Iterator[str]:
    """Serve a versions folder and yield the URL."""
    followed = FollowedFolder(folder)
    service = open_service(logs, bundles, followed=followed)
    config = uvicorn.Config(create_app(service), log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        FolderThread(followed, service.versions, service.admit, poll_s=poll_s),
    ):
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
