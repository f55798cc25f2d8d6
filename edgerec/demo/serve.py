"""Run the demo: open everything, listen at a loopback address, and stop at Ctrl-C."""

from __future__ import annotations

import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable

import uvicorn

from edgerec.cloud.front.draining import DrainingServer
from edgerec.cloud.listener import listen
from edgerec.data.logs import open_logs
from edgerec.demo.app import create_demo
from edgerec.demo.cards import Cards
from edgerec.demo.cloud import DemoCloud, LoggedCloud, SimulatedCloud
from edgerec.demo.folder import DemoParts, is_simulated
from edgerec.demo.models import DemoModels
from edgerec.demo.sessions import opened_sessions

HOST = "127.0.0.1"
_BACKLOG = 64
_GRACE_S = 5
_HTTP = 80


def listen_here(port: int) -> socket.socket:
    """Return a socket that listens at 127.0.0.1. A port in use is found before the first start takes its minutes.

    Args:
        port: the port; 0 takes a free one.

    Raises:
        OutputError: the port is in use.
    """
    listener = listen(HOST, port, advice="choose another --port, or --port 0 for a free one")
    listener.listen(_BACKLOG)
    return listener


def hosts_at(port: int) -> list[str]:
    """Return the values of the header `Host` of the demo's own page. Browsers leave out the port 80."""
    names = (HOST, "localhost")
    return [f"{name}:{port}" for name in names] + (list(names) if port == _HTTP else [])


def run_demo(parts: DemoParts, *, listener: socket.socket, listening: Callable[[str], None]) -> None:
    """Serve the page until the process gets SIGINT or SIGTERM. What the users did is deleted then.

    Args:
        parts: the bundle and the logs.
        listener: the socket of `listen_here`.
        listening: called with the URL of the page when the server listens.

    Raises:
        EdgeRecError: the bundle or the logs cannot be read, or do not fit each other.
    """
    logs = open_logs(parts.logs)
    cloud: DemoCloud = (SimulatedCloud if is_simulated(parts.logs) else LoggedCloud)(parts.bundle, parts.logs)
    with opened_sessions(cloud, DemoModels(parts.bundle), Cards.open(logs)) as sessions:
        number = listener.getsockname()[1]
        app = create_demo(sessions, hosts_at(number))
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
            lifespan="off",
        )
        url = f"http://{HOST}:{number}/"
        server = DrainingServer(config, 0, listening=lambda: listening(url), stopping=lambda: None)
        server.run(sockets=[listener])


def open_browser(url: str) -> None:
    """Open the page in the browser of the desktop. Without a desktop, nothing happens."""
    desktop = os.name == "nt" or sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if desktop:
        # Some browsers keep the call until they end.
        threading.Thread(target=webbrowser.open, args=[url], daemon=True).start()
