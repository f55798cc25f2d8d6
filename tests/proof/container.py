"""Build the server's container from nothing, run it read-only and not as root, and ask it.

    python -m tests.proof.container BUNDLE LOGS [--base IMAGE] [--json]

Needs root, podman and buildah. Without `--base`, the base image is made of Debian's packages (debootstrap), because a
registry may be out of reach. The wheels of the extra `cloud` are downloaded, and then the image is built without a
network. The container has a read-only root, no capability, and mounted folders for BUNDLE, LOGS and logs. It is asked
for its health, a page, the embedding rows of items, and to store a batch of logs. SIGTERM must end it with code 0
within ten seconds, and leave the logs. Where a program is missing, the proof says so, and fails.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from edgerec.cli.output import emit, scalars
from edgerec.core.console import log
from edgerec.core.errors import TransportError
from edgerec.kit.wheel import build_wheel, wheel_name
from edgerec.paging.http_transport import HttpTransport
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.page import PageRequest

ROOT = Path(__file__).parents[2]
NAME = "localhost/edgerec"
USER = "10001"
SUITE = "bookworm"
IN_BASE = "async-timeout>=4.0.3"
"""The Python of `SUITE` is 3.11.2, for which the package redis needs this one."""


def missing(base: str | None) -> list[str]:
    """Return what the proof needs and does not find here."""
    programs = ("podman", "buildah", *(() if base else ("debootstrap",)))
    found = [program for program in programs if shutil.which(program) is None]
    return found + ([] if os.geteuid() == 0 else ["root"])


class Storage:
    """Images and containers in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        places = ["--root", str(folder / "images"), "--runroot", str(folder / "run")]
        runtime = [f"--runtime={shutil.which('runc')}"] if shutil.which("runc") else []
        self._podman = ["podman", *places, "--cgroup-manager=cgroupfs", *runtime]
        self._buildah = ["buildah", *places]

    def podman(self, *arguments: Any, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        return _run([*self._podman, *map(str, arguments)], check=check, **options)

    def buildah(self, *arguments: Any) -> None:
        _run([*self._buildah, *map(str, arguments)])


def make_base(storage: Storage, folder: Path) -> str:
    """Make a base image with Debian's Python and return its name."""
    root = folder / "root"
    _run(["debootstrap", "--variant=minbase", "--include=python3,python3-venv", SUITE, str(root)])
    for unneeded in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(root / unneeded)
    with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
        storage.podman("import", "-", "localhost/base", stdin=tar.stdout)
    shutil.rmtree(root)
    return "localhost/base"


def download(wheels: Path) -> None:
    """Download the wheels of the base install and of the extra `cloud`, for Python 3.11."""
    wheels.mkdir()
    wheel = wheels / wheel_name()
    wheel.write_bytes(build_wheel(ROOT / "edgerec"))
    build = ["setuptools>=77", "wheel"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--python-version", "3.11"]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    _run([*pip, *constraints, "--dest", str(wheels), f"{wheel}[cloud]", *build, IN_BASE])
    wheel.unlink()  # the image is built from the source


def build(storage: Storage, base: str, wheels: Path) -> None:
    """Build the image as the docs say, but from the wheels."""
    settings = {"BASE": base, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
    arguments = [part for name, value in settings.items() for part in ("--build-arg", f"{name}={value}")]
    storage.buildah(
        *("bud", "--isolation", "chroot", "--format", "docker", "--volume", f"{wheels}:/wheels", *arguments),
        *("-t", NAME, "-f", ROOT / "Containerfile", ROOT),
    )


def start(storage: Storage, bundle: Path, logs: Path, out: Path) -> tuple[str, str]:
    """Start the container and return its name and the address of the server."""
    # Without the capability to raise limits, a container cannot have more than this process.
    limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    least = {name: min(1024, resource.getrlimit(kind)[1] % 2**31) for name, kind in limits.items()}
    port = _free_port()
    name = f"edgerec-{port}"
    storage.podman(
        *("run", "--detach", "--name", name, "--network", "host", "--read-only", "--cap-drop", "all"),
        *("--security-opt", "no-new-privileges", "--health-interval", "disable"),
        *(part for kind, most in least.items() for part in ("--ulimit", f"{kind}={most}:{most}")),
        *("-v", f"{bundle}:/bundles/one:ro", "-v", f"{logs}:/catalogue:ro", "-v", f"{out}:/logs"),
        *(NAME, "/bundles/one", "--catalogue", "/catalogue", "--logs", "/logs", "--port", port),
    )
    return name, f"http://127.0.0.1:{port}"


def ask(url: str, version: str) -> dict[str, Any]:
    """Ask as a device does, once the server is ready.

    Raises:
        EdgeRecError: the server does not answer within two minutes, or its answer is wrong.
    """
    begin = time.perf_counter()
    with HttpTransport(url, timeout_s=20) as cloud:
        while True:
            try:
                page = cloud.page(PageRequest(7, 1, version, 20, time=1_700_000_000_000))
                break
            except TransportError:  # until it listens, and 503 until it is ready
                if time.perf_counter() - begin > 120:
                    raise
                time.sleep(0.1)
        ready = time.perf_counter() - begin
        items = cloud.items(version, page.items.item_id.tolist())
        cloud.send(LogBatch(7, 1, 0, [], []))
    rows = sum(len(column.rows) for column in items.embeddings.values())
    return {"seconds_to_the_first_page": ready, "items_of_a_page": len(page.items), "embedding_rows": rows}


def prove(storage: Storage, options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Build, run and ask. Return what was measured, and what is wrong."""
    base = options.base or make_base(storage, folder)
    wheels, out = folder / "wheels", folder / "logs"
    download(wheels)
    begin = time.perf_counter()
    build(storage, base, wheels)
    seconds = time.perf_counter() - begin
    sizes = [int(storage.podman("image", "inspect", "--format", "{{.Size}}", image).stdout) for image in (base, NAME)]
    out.mkdir()
    os.chown(out, int(USER), int(USER))
    name, url = start(storage, options.bundle.resolve(), options.logs.resolve(), out)
    try:
        version = json.loads((options.bundle / "manifest.json").read_text("utf-8"))["version_id"]
        answers = ask(url, version)
        faults = [] if answers["items_of_a_page"] == 20 and answers["embedding_rows"] else [f"the answers: {answers}"]
        # The shell comes from the base image. It is only used here.
        if storage.podman("exec", name, "sh", "-c", "id -u").stdout.strip() != USER:
            faults.append(f"the server should run as user {USER}")
        if not storage.podman("exec", name, "sh", "-c", "touch /opt/edgerec/file", check=False).returncode:
            faults.append("a file was written outside /logs")
        check = storage.podman("image", "inspect", "--format", "{{json .Config.Healthcheck.Test}}", NAME).stdout
        command = [part.replace(":8008", f":{urlsplit(url).port}") for part in json.loads(check)[1:]]
        proxy = ["--env", "http_proxy=http://127.0.0.1:9"]  # nothing listens there
        if storage.podman("exec", *proxy, name, *command, check=False).returncode:
            faults.append("the health check of the image fails")
        begin = time.perf_counter()
        storage.podman("stop", "--time", "10", name)
        stopped = time.perf_counter() - begin
        code = int(storage.podman("inspect", "--format", "{{.State.ExitCode}}", name).stdout)
        faults += [] if code == 0 else [f"SIGTERM should end the server with code 0; received {code}"]
        faults += [] if (out / "logs.json").is_file() else ["the logs of devices were not written"]
    finally:
        storage.podman("rm", "--force", name, check=False)
    measured = {
        "base_bytes": sizes[0],
        "image_bytes": sizes[1],
        "build_seconds": seconds,
        **answers,
        "stop_seconds": stopped,
    }
    return measured, faults


def _run(command: list[str], *, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if check and done.returncode:
        raise SystemExit(f"container: {' '.join(command)[:200]} failed: {done.stderr[-2000:]}")
    return done


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.container", description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("logs", type=Path)
    parser.add_argument("--base", help="an image with Python 3.11 (default: Debian's packages)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if absent := missing(options.base):
        log(f"container: not proved, because this is missing: {', '.join(absent)}")
        log("container: apt-get install buildah podman runc debootstrap")
        return 1
    with TemporaryDirectory(prefix="edgerec-container-") as folder:
        storage = Storage(Path(folder))
        try:
            document, faults = prove(storage, options, Path(folder))
        finally:
            storage.podman("rmi", "--all", "--force", check=False)
    emit(document, as_json=options.json, table=scalars(document))
    for fault in faults:
        log(f"container: {fault}")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
