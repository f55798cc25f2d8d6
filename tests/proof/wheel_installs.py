"""Install a wheel into an empty environment of one Python, measure it, and run commands there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from dataclasses import asdict, dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

MODELS = ("train", "export", "all")
"""Extras with which a model is trained in the test."""
SERVER_S = 300
"""A server that takes longer to start, to answer and to end is killed."""


@dataclass(frozen=True)
class Install:
    """One environment.

    Attributes:
        python: version of Python, such as 3.11.7.
        extra: the extra of EdgeRec, or base.
        packages: how many packages pip installed, with EdgeRec.
        download: bytes of all wheels.
        size: bytes that the environment has more than an empty one, with the modules that pip compiled.
        trimmed: bytes that are left after `trim`, for the extra `device` only.
        seconds: how long pip installed from the downloaded wheels.
        largest: the largest folders, with their bytes.
        steps: what was run there.
        fault: what went wrong, in one line. Empty: nothing.
    """

    python: str
    extra: str
    packages: int = 0
    download: int = 0
    size: int = 0
    trimmed: int | None = None
    seconds: float = 0.0
    largest: dict[str, int] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    fault: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def find_python(version: str) -> Path | None:
    """Return the Python of `version`, such as 3.12: from PATH, or the newest of pyenv. None if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    newest = sorted(pyenv.glob(f"{version}.*/bin/python"), key=lambda path: _number(path.parts[-3]), reverse=True)
    for python in (*newest, shutil.which(f"python{version}")):
        if python is not None and _version(python).startswith(f"{version}."):
            return Path(python)
    return None


def measure(python: Path, wheel: Path, extra: str, *, bundle: Path, logs: Path, folder: Path) -> Install:
    """Install `wheel` with `extra` into a new environment in `folder`, and run the commands that it should have.

    Args:
        python: the Python of the environment.
        wheel: the wheel of EdgeRec.
        extra: the extra, or base.
        bundle: a bundle for the commands of a device.
        logs: logs whose items a server serves.
        folder: a folder that does not exist. It is left behind.
    """
    environment, wheels = folder / "environment", folder / "wheels"
    version = _version(python)
    _run(python, "-m", "venv", environment)
    inside = environment / "bin" / "python"
    before = _sizes(environment)
    empty = _sizes(environment, compiled=False)
    wanted = str(wheel) if extra == "base" else f"{wheel}[{extra}]"
    pip = [inside, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    try:
        _run(*pip, "download", "--only-binary", ":all:", "--dest", wheels, wanted)
        start = time.perf_counter()
        _run(*pip, "install", "--no-index", "--find-links", wheels, wanted)
        seconds = time.perf_counter() - start
    except subprocess.CalledProcessError as error:
        return Install(version, extra, fault=_fault_of_pip(error.stderr))
    after = _sizes(environment)
    more = {name: size - before.get(name, 0) for name, size in after.items()}
    found = Install(
        version,
        extra,
        packages=len(list(wheels.glob("*.whl"))),
        download=sum(path.stat().st_size for path in wheels.iterdir()),
        size=sum(more.values()),
        seconds=seconds,
        largest=dict(sorted(more.items(), key=lambda pair: -pair[1])[:5]),
    )
    work = folder / "work"
    work.mkdir()
    steps, fault, trimmed = [], "", None
    try:
        for step in _steps(extra, bundle):
            _run(environment / "bin" / "edgerec", *step, cwd=work)
            steps.append(" ".join(map(str, step[:2] if step[0] == "bench" else step[:1])))
        if extra in ("cloud", "all"):
            serve(environment / "bin" / "edgerec", logs)
            steps.append("serve")
        if extra == "device":
            trim(environment)
            trimmed = sum(_sizes(environment).values()) - sum(empty.values())
            for step in _steps(extra, bundle):
                _run(environment / "bin" / "edgerec", *step, cwd=work)
    except subprocess.CalledProcessError as error:
        fault = f"{' '.join(map(str, error.cmd[1:]))}: {(error.stderr or error.stdout or '').strip()[-300:]}"
    return Install(**{**asdict(found), "steps": tuple(steps), "fault": fault, "trimmed": trimmed})


def _steps(extra: str, bundle: Path) -> list[list[Any]]:
    """Return the arguments of each command that should work."""
    steps: list[list[Any]] = [["--help"], ["--version"]]
    if extra in ("device", *MODELS):
        steps += [
            ["verify", bundle],
            ["inspect", bundle],
            ["bench", "step", bundle, "--rounds", "2", "--processes", "1", "--no-sweep"],
        ]
    if extra in MODELS:
        steps += [
            ["simulate", "--users", "60", "--items", "120", "--days", "4", "--out", "logs"],
            ["samples", "logs", "--out", "samples"],
            ["train", "samples", "--model", "crban", "--epochs", "1", "--out", "run"],
        ]
    if extra in ("export", "all"):
        steps += [["export", "run", "--requests", "10", "--out", "bundle"], ["verify", "bundle"]]
    return steps


def serve(edgerec: Path, logs: Path, *, most_s: float = SERVER_S) -> None:
    """Start a server, ask for a page, and end it with SIGTERM.

    Raises:
        subprocess.CalledProcessError: the server gave no page, or it ended with another code than 0 after at most
            `most_s` seconds.
    """
    command = [edgerec, "serve", "--catalogue", logs, "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        end = threading.Timer(most_s, server.kill)
        end.start()
        try:
            fault = _fault_of_page(server.stdout.readline(), most_s)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
            end.cancel()
    if server.returncode != 0:
        fault = fault or f"the server should end with code 0; received {server.returncode}"
    if fault:
        raise subprocess.CalledProcessError(server.returncode, command, stderr=fault)


def _fault_of_page(line: str, most_s: float) -> str:
    """Ask the server that printed `line` for a page of three items, and return what is wrong with the answer."""
    body = b'{"user_id": 7, "store_id": 1, "count": 3, "time": 1700000000000}'
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    try:
        request = urllib.request.Request(f"{json.loads(line)['url']}/v1/page", body, headers)
        with urllib.request.urlopen(request, timeout=most_s) as answer:
            count = len(json.load(answer)["items"])
    except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
        return f"the server gave no page: {error!r}"
    return "" if count == 3 else f"a page should have 3 items; received {count}"


def _run(*command: Any, cwd: Path | None = None) -> None:
    """Run a command without the packages of this environment. It writes no compiled modules."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    subprocess.run([*command], check=True, capture_output=True, text=True, cwd=cwd, env=environment)


def trim(environment: Path) -> None:
    """Delete what a device does not need, as docs/dependencies.md says: MNN's converter, tests, compiled modules."""
    (packages,) = (environment / "lib").glob("python*/site-packages")
    for file in packages.glob("_tools.*.so"):
        file.unlink()
    for tests in [path for path in (packages / "numpy").rglob("tests") if path.is_dir()]:
        shutil.rmtree(tests)
    for compiled in list(packages.rglob("__pycache__")):
        shutil.rmtree(compiled)


def _sizes(environment: Path, *, compiled: bool = True) -> dict[str, int]:
    """Return the bytes of each folder and file of the installed packages, and those of the folder of commands."""
    sizes = {"bin": sum(path.stat().st_size for path in (environment / "bin").iterdir() if path.is_file())}
    (packages,) = (environment / "lib").glob("python*/site-packages")
    for path in packages.iterdir():
        files = path.rglob("*") if path.is_dir() else [path]
        sizes[path.name] = sum(
            file.stat().st_size
            for file in files
            if file.is_file() and not file.is_symlink() and (compiled or file.suffix != ".pyc")
        )
    return sizes


def _fault_of_pip(text: str) -> str:
    missing = re.search(r"No matching distribution found for (.+)", text)
    return f"no wheel of {missing[1].strip()}" if missing else text.strip().splitlines()[-1][-300:]


def _version(python: Path | str) -> str:
    code = "import platform; print(platform.python_version())"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
