"""Load on a server, by the program wrk."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgerec.core.errors import ResourceError

SCRIPTS = Path(__file__).parent / "scripts"
MARK = "edgerec "
"""The scripts of wrk print their result as JSON after this word."""


@dataclass(frozen=True)
class LoadResult:
    """What a client saw.

    Attributes:
        requests: number of answers.
        seconds: duration of the load.
        p50_us, p90_us, p99_us, max_us: quantiles of the time from a request to its whole answer.
        failed: answers with another status than 200.
        broken: connections that failed, and requests without an answer in time.
    """

    requests: int
    seconds: float
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float
    failed: int
    broken: int

    @property
    def per_second(self) -> float:
        """Answers with the status 200 in a second."""
        return (self.requests - self.failed) / self.seconds


def check_wrk() -> None:
    """Check that wrk is installed.

    Raises:
        ResourceError: it is not.
    """
    if shutil.which("wrk") is None:
        raise ResourceError("bench: the program wrk is not installed, which makes the load: apt-get install wrk")


def load(url: str, script: str, *, connections: int, seconds: int, arguments: Sequence[str]) -> LoadResult:
    """Send requests over `connections` connections for some seconds. Each sends its next one after an answer.

    Args:
        url: the server.
        script: the name of a script in `SCRIPTS`, which makes the requests.
        connections: number of connections, over one thread.
        seconds: duration.
        arguments: arguments of the script.

    Raises:
        ResourceError: wrk fails.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPTS / script), url]
    done = subprocess.run([*command, "--", *arguments], capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not lines:
        reason = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise ResourceError(f"bench: wrk failed ({reason:.200})")
    return LoadResult(**json.loads(lines[0].removeprefix(MARK)))
