"""Run the demo: open everything, listen at a loopback address, and stop at Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import webbrowser
from collections.abc import Callable

import uvicorn

from edgerec.cloud.front.draining import DrainingServer
from edgerec.cloud.listener import listen
from edgerec.data.logs import open_logs
from edgerec.demo.app import create_demo
from edgerec.demo.cards import Cards, is_simulated
from edgerec.demo.cloud import DemoCloud, LoggedCloud, SimulatedCloud
from edgerec.demo.folder import DemoParts
from edgerec.demo.models import DemoModels
from edgerec.demo.sessions import opened_sessions

HOST = "127.0.0.1"
_BACKLOG = 64
_GRACE_S = 5


def run_demo(parts: DemoParts, *, port: int, listening: Callable[[str], None]) -> None:
    """Serve the page until the process gets SIGINT or SIGTERM. What the users did is deleted then.

    Args:
        parts: the bundle and the logs.
        port: the port at 127.0.0.1; 0 takes a free one.
        listening: called with the URL of the page when the server listens.

    Raises:
        OutputError: the port is in use.
        EdgeRecError: the bundle or the logs cannot be read, or do not fit each other.
    """
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen(HOST, port, advice="choose another --port"))
        listener.listen(_BACKLOG)
        logs = open_logs(parts.logs)
        cloud: DemoCloud = (SimulatedCloud if is_simulated(parts.logs) else LoggedCloud)(parts.bundle, parts.logs)
        sessions = stack.enter_context(opened_sessions(cloud, DemoModels(parts.bundle), Cards.open(logs)))
        number = listener.getsockname()[1]
        app = create_demo(sessions, [f"{HOST}:{number}", f"localhost:{number}"])
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
