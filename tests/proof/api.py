"""Test the HTTP interface of a running server with schemathesis, and read strange paths.

    python -m tests.proof.api [--examples 1000] [--seed 0] [--json]

A server with tokens, rates that are never reached, metrics and logs runs in a process of its own. The rules are:

- schemathesis, with all of its checks and `--examples` generated requests for each route, finds no answer that the
  OpenAPI description does not declare, no status of 5xx, no wrong input that is accepted and no valid one that is
  refused. `api_hooks.py` and `api.toml` say what a description cannot say.
- Without a valid token, each route except health and readiness answers 401.
- Paths that lead out of the bundles answer 404, and none of these requests makes the server open any other file than
  those of the folders that it was given.
- The server still works after that, and stops with all logs written.

The exit code is 1 if a rule is broken.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from edgerec.cli.output import emit, table_of
from edgerec.data.logs import load_logs, write_logs
from tests.cloud.bundles import write_bundle, write_whole
from tests.command_line import edgerec
from tests.synthetic import make_logs_with_context

SETTINGS = Path(__file__).with_name("api.toml")
ROOT = Path(__file__).parents[2]
OPEN = {"/v1/health", "/v1/ready"}
_UP = ("..", "%2e%2e", "..%2f..", "....//", ".%00./..", "%252e%252e", "..\\..", "%c0%ae%c0%ae")
_FILES = ("etc/passwd", "tokens", "catalogue/features.json", "bundle/cloud/manifest.json")


@dataclass(frozen=True)
class Watched:
    """A running server that notes which files it opens.

    Attributes:
        url: its address.
        token: a valid token.
        notes: the file with the paths that it opened outside of its folders.
        process: its process.
    """

    url: str
    token: str
    notes: Path
    process: subprocess.Popen[str]

    def ask(self, method: str, path: str, token: str | None = None) -> tuple[int, bytes]:
        """Make one request. The path is sent as it is. Return status and body."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            if token is not None:
                connection.putheader("Authorization", f"Bearer {token}")
            connection.putheader("Content-Length", "0")
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextmanager
def watched_server(folder: Path) -> Iterator[Watched]:
    """Run a server on data in `folder`. The catalogue is not among the folders that it may open later."""
    token = secrets.token_urlsafe(32)
    write_logs(make_logs_with_context(), folder / "catalogue")
    bundle = write_bundle(folder / "bundle", "v1")
    published = edgerec("versions", "publish", write_whole(folder / "whole", "v2"), "--to", folder / "versions")
    assert published.returncode == 0, published.stderr
    (folder / "tokens").write_text(f"proof {token}\n")
    allowed = os.pathsep.join(map(str, (bundle, folder / "versions", folder / "out", folder / "tokens")))
    rates = ["--token-rate", "1000000/second", "--user-rate", "1000000/second"]
    options = ["--catalogue", folder / "catalogue", "--logs", folder / "out", "--tokens", folder / "tokens", *rates]
    options += ["--versions", folder / "versions"]
    command = [
        "-c",
        "from tests.proof.watched_serve import run; run()",
        folder / "notes",
        allowed,
        bundle,
        *options,
        "--metrics",
    ]
    with (folder / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, *map(str, command), "--port", "0", "--json"],
            stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (folder / "stderr").read_text()
        yield Watched(json.loads(line)["url"], token, folder / "notes", process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def prove(folder: Path, *, examples: int, seed: int) -> dict[str, Any]:
    """Return a document with what was done and the broken rules."""
    faults: list[str] = []
    with watched_server(folder) as server:
        at_start = server.notes.read_text()
        if str(folder / "catalogue") not in at_start:
            faults.append("the watch of opened files does not work: it did not note the catalogue")
        closed = _closed_routes(server)
        faults += [f"{each} answers without a token" for each in closed if closed[each] != 401]
        if server.ask("GET", "/v1/model/v2/device/manifest.json", server.token)[0] != 200:
            faults.append("the manifest of the published version cannot be read")
        strange = [(path, *server.ask("GET", path, server.token)) for path in strange_paths()]
        faults += [f"{path}: {status} {body[:100]!r}" for path, status, body in strange if status not in (400, 404)]
        tool = _schemathesis(server, folder, examples=examples, seed=seed)
        if tool["exit_code"]:
            faults.append(f"schemathesis: exit code {tool['exit_code']}: {tool['output'][-3000:]}")
        later = server.notes.read_text()[len(at_start) :]
        faults += [f"the server opened a file of others: {line}" for line in later.splitlines()]
        status, body = server.ask("GET", "/v1/health", server.token)
        stored = json.loads(body)["logs"] if status == 200 else None
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(60)
        if (status, code) != (200, 0):
            faults.append(f"the server ended with {code}: {(folder / 'stderr').read_text()[-2000:]}")
    if stored is not None:
        written = load_logs(folder / "out")
        if [len(written.events), len(written.requests)] != [stored["events"], stored["requests"]]:
            faults.append(f"the logs have {len(written.events)} events; the server said {stored}")
    lines = [line.strip() for line in tool["output"].splitlines() if "generated" in line]
    return {
        "examples": examples,
        "seed": seed,
        "routes_closed": len(closed),
        "strange_paths": len(strange),
        "cases": lines[-1] if lines else "none",
        "stored": stored,
        "faults": faults,
    }


def strange_paths() -> list[str]:
    """Return paths that lead out of a folder, if they are joined to it."""
    prefixes = ("/", "/v1/", "/v1/model/v1/", "/v1/model/v2/", "/v1/model/", "/docs/", "/v1/model/v2/device/")
    found = [
        f"{prefix}{'/'.join([up] * depth)}/{name}"
        for prefix, up, depth, name in itertools.product(prefixes, _UP, (1, 4), _FILES)
    ]
    return [*found, "//etc/passwd", "/v1/model/v1//etc/passwd", "/v1/model/%2fetc%2fpasswd/x", "/file:///etc/passwd"]


def _closed_routes(server: Watched) -> dict[str, int]:
    """Return the status of each route that needs a token, without one and with a wrong one."""
    document = json.loads(server.ask("GET", "/openapi.json", server.token)[1])
    routes = [(method.upper(), path) for path, each in document["paths"].items() for method in each]
    routes += [("GET", path) for path in ("/docs", "/redoc", "/openapi.json", "/nothing")]
    found = {}
    for (method, path), token in itertools.product(routes, (None, "", "wrong", server.token[:-1], server.token + "a")):
        if path not in OPEN:
            status = server.ask(method, path.replace("{", "").replace("}", ""), token)[0]
            found[f"{method} {path} ({'none' if token is None else len(token)})"] = status
    return found


def _schemathesis(server: Watched, folder: Path, *, examples: int, seed: int) -> dict[str, Any]:
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(SETTINGS), "run",
        f"{server.url}/openapi.json", "--header", f"Authorization: Bearer {server.token}", "--checks", "all",
        "--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return {"exit_code": done.returncode, "output": done.stdout + done.stderr}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.api", description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=1000, help="generated requests for each route")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with TemporaryDirectory() as folder:
        document = prove(Path(folder), examples=options.examples, seed=options.seed)
    rows = [(name, str(value)) for name, value in document.items() if name != "faults"]
    emit(document, as_json=options.json, table=table_of(("what", "value"), rows))
    for fault in document["faults"]:
        sys.stderr.write(f"fault: {fault}\n")
    return 1 if document["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
