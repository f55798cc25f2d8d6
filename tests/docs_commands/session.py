"""Run the commands of one page, in its order, in a folder that contains a copy of the project."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from tests.docs_commands.pages import ROOT, Command, blocks
from tests.docs_commands.plan import Plan
from tests.docs_commands.usage import command_of

PORTS = {"8008": "EDGEREC_PORT", "8010": "DEMO_PORT", "6379": "REDIS_PORT", "8786": "DASK_PORT"}
"""Ports of the docs. Others take their place, so that a server that runs already is not asked."""
SERVERS = {"serve": ("", "8008", "v1/ready"), "demo": ("--no-browser", "8010", "")}
"""Command that runs until it is stopped -> its options here, its port in the docs, and a path that it answers."""
OUTPUTS = frozenset(["--out", "--to", "--html", "--markdown", "--out-a", "--out-b", "-out", "-o", ">>", ">"])
READY = {("dask", "scheduler"): "Scheduler at:", ("dask", "worker"): "Registered to:"}
"""Programs of others that go on until the end of the page, and what they print when they are ready."""
STARTS_S = 120.0
"""Seconds in which a server should answer."""
LIMIT_S = 1800.0
"""Seconds in which a command should end."""


class CommandFailedError(Exception):
    """A command of the docs did not do what the docs promise."""


class Given:
    """The folder with what the docs take as given. Everything is made once, when a command first needs it."""

    def __init__(self, plan: Plan, folder: Path, environment: Mapping[str, str]) -> None:
        self.plan, self.folder, self.environment = plan, folder, dict(environment)

    def path(self, name: str) -> Path:
        """Return the path of what has this name in `plan.given`. Make it if it is not there."""
        found = self.folder / name
        if not found.exists():
            command = self.plan.given[name]
            for word in shlex.split(command):
                word = word.split("/")[0]
                if word in self.plan.given and word != name:
                    self.path(word)
            run(command, self.folder, self.environment)
            if not found.exists():
                raise CommandFailedError(f"{command} did not make {name}")
        return found

    def value(self, word: str) -> str:
        """Return the value for which a word of the docs stands."""
        command = self.plan.values[word]
        for name in shlex.split(command):
            if name in self.plan.given:
                self.path(name)
        return run(command, self.folder, self.environment).strip()


class Session:
    """The commands of one page.

    Args:
        folder: a new folder. It gets a copy of the project.
        given: what the docs take as given.
        page: the page. Its TOML blocks that begin with `# NAME.toml` are written to files.
    """

    def __init__(self, folder: Path, given: Given, page: Path) -> None:
        self.folder, self.given, self.plan = folder, given, given.plan
        self.environment = given.environment
        self._server: subprocess.Popen[bytes] | None = None
        self._log = folder.with_name(f"{folder.name}-server.log")
        self._others: list[subprocess.Popen[bytes]] = []
        copy_project(folder)
        for block in blocks(page):
            named = re.match(r"# (\w+\.toml)\n", block.text)
            if named and block.label == "toml":
                (folder / named[1]).write_text(block.text, encoding="utf-8")

    def run(self, command: Command) -> str:
        """Run a command at a small size, and return what it printed. A server goes on until the next one, or `close`.

        Raises:
            CommandFailedError: its exit code is not 0, it takes too long, or a server does not answer.
        """
        text = self._with_values(command.text)
        text = " ".join(filter(None, [text, self.plan.appended(command.text)]))
        for word in self._inputs(text):
            self._provide(word)
        text = " ".join([text, *self._force(text)])
        edgerec = command.words[1] if command.words[:1] == ["edgerec"] else ""
        if edgerec == "forget":
            self.close()  # as the page says, because a folder that is in use is refused
        if edgerec in SERVERS:
            return self._serve(text, edgerec)
        text = self._with_ports(text)
        if tuple(command.words[:2]) in READY:
            return self._start(text, READY[command.words[0], command.words[1]])
        return run(text, self.folder, self.environment)

    def prepare(self, text: str) -> None:
        """Run a command that comes before those of the page."""
        self.run(Command("", 0, text))

    def close(self) -> None:
        """Stop the server and what else runs.

        Raises:
            CommandFailedError: SIGTERM does not end the server with the exit code of the docs.
        """
        self._stop_others()
        if self._server is not None:
            server, self._server = self._server, None
            server.terminate()
            code = server.wait(timeout=60)
            if code != 0:
                raise CommandFailedError(f"after SIGTERM, the server had the exit code {code}\n{self._printed()}")

    def kill(self) -> None:
        """End the server and what else still runs after an interrupt."""
        self._stop_others()
        if self._server is not None:
            self._server.kill()

    def _start(self, text: str, ready: str) -> str:
        with (Path(self.folder) / f"started-{len(self._others)}.log").open("w+b") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {text}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            self._others.append(process)
            end, printed = time.monotonic() + STARTS_S, ""
            while ready not in printed:
                if process.poll() is not None or time.monotonic() > end:
                    raise CommandFailedError(f"{text}\ndid not start\n{printed[-3000:]}")
                time.sleep(0.1)
                printed = Path(log.name).read_text(errors="replace")
        return ""

    def _stop_others(self) -> None:
        while self._others:
            process = self._others.pop()
            # With the processes that it has started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _printed(self) -> str:
        """Return the end of what the server printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def _with_ports(self, text: str) -> str:
        for port, variable in PORTS.items():
            text = re.sub(rf"\b{port}\b", self.environment[variable], text)
        return text

    def _with_values(self, text: str) -> str:
        for word in self.plan.values:
            if re.search(rf"\b{word}\b", text):
                text = re.sub(rf"\b{word}\b", self.given.value(word), text)
        return text

    def _inputs(self, text: str) -> list[str]:
        """Return the words of a command that can be inputs: all words that do not follow an option for outputs.

        What a Python program of the docs reads was made by the page before, and the docs cannot say what it writes.
        """
        words = shlex.split(text)
        if words[0] == "python":
            return []
        if words[0] == "edgerec":
            words = command_of(words[1:])[1]
        return [word for before, word in zip(["", *words], words, strict=False) if before not in OUTPUTS]

    def _provide(self, word: str) -> None:
        """Put what a word names into the folder, if it is not there."""
        parts = Path(word.split("=")[-1]).parts
        for name in ("/".join(parts[:2]), parts[0]) if parts else ():
            place = self.folder / name
            if place.exists() or os.path.lexists(place):
                return
            own = self.folder / name.lower()
            if name.isupper() and own.exists():
                place.symlink_to(own.name)
                return
            source = self.plan.names.get(name, name.lower() if name.isupper() else name)
            if source in self.plan.given:
                place.parent.mkdir(parents=True, exist_ok=True)
                made = self.given.path(source)
                shutil.copytree(made, place) if made.is_dir() else shutil.copy2(made, place)
                return

    def _force(self, text: str) -> list[str]:
        """Return `--force` if an output is there already: a page may show several ways to make it."""
        words = shlex.split(text)
        if words[0] != "edgerec" or "--force" in words:
            return []
        found, _ = command_of(words[1:])
        has_force = any("--force" in parameter.opts for parameter in found.params)
        outputs = [after for word, after in pairwise(words) if word in OUTPUTS]
        return ["--force"] if has_force and any((self.folder / name).exists() for name in outputs) else []

    def _serve(self, text: str, name: str) -> str:
        """Start a server, and return when it answers. A file gets what it prints: a pipe would be full some day."""
        self.close()
        options, port, path = SERVERS[name]
        text = " ".join(filter(None, [text, options, "" if "--port" in text else f"--port {port}"]))
        scheme = "https" if "--ssl-certfile" in text else "http"
        text, url = self._with_ports(text), self._with_ports(f"{scheme}://127.0.0.1:{port}/{path}")
        with self._log.open("w") as printed:
            self._server = subprocess.Popen(
                ["bash", "-c", f"exec {text}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
            )
        end = time.monotonic() + STARTS_S
        while not healthy(url):
            if self._server.poll() is not None or time.monotonic() > end:
                self._server.kill()
                self._server = None
                raise CommandFailedError(f"{text}\nthe server does not answer\n{self._printed()}")
            time.sleep(0.2)
        return ""


def run(text: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Run a command in bash and return its standard output.

    Raises:
        CommandFailedError: its exit code is not 0, or it takes too long.
    """
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        out, errors = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise CommandFailedError(f"{text}\ndid not end in {LIMIT_S:g} seconds") from None
    finally:
        # Also the processes that the command started, if it was interrupted or left some.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        tail = "\n".join((out[-1000:] + errors[-3000:]).splitlines()[-20:])
        raise CommandFailedError(f"{text}\nhad the exit code {process.returncode}\n{tail}")
    return out


def copy_project(folder: Path) -> None:
    """Copy the files of the project that git does not ignore, and link its .venv."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")


def healthy(url: str) -> bool:
    """Return whether a server answers at this address. Its certificate is not checked: the proof made it itself."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=5, context=context if url.startswith("https") else None) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> str:
    """Return a port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])
