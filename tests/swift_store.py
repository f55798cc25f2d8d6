"""A real object store on this machine: OpenStack Swift with its S3 interface, four server processes over loopback.

Swift needs packages that conflict with ours, so it is installed into an environment of its own:
``python3 -m venv /tmp/swift && /tmp/swift/bin/pip install swift``, and then ``EDGEREC_SWIFT=/tmp/swift/bin``.
"""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from pathlib import Path

KEY, SECRET = "test:tester", "the-secret-of-the-test"

SERVER = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
workers = 0
user = {user}
log_address = {folder}/no-syslog
"""
STORAGE = """
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
PROXY = """
[pipeline:main]
pipeline = catch_errors s3api tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


def swift_programs() -> Path | None:
    """Return the folder of Swift's programs, or None if ``$EDGEREC_SWIFT`` does not name one."""
    folder = Path(os.environ.get("EDGEREC_SWIFT", "/nowhere"))
    return folder if (folder / "swift-proxy-server").exists() else None


class SwiftStore:
    """The servers. Use it as a context manager.

    Attributes:
        environment: environment variables with which S3 clients find the store and its credentials.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs = folder, programs
        self.servers: list[subprocess.Popen[bytes]] = []
        self.environment: dict[str, str] = {}

    def __enter__(self) -> SwiftStore:
        (self.folder / "devices" / "d1").mkdir(parents=True)
        (self.folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = test\n")
        ports = {name: _free_port() for name in ("account", "container", "object", "proxy")}
        for name in ("account", "container", "object"):
            builder = self.folder / f"{name}.builder"
            device = f"r1z1-127.0.0.1:{ports[name]}/d1"
            for command in (["create", "4", "1", "0"], ["add", device, "1"], ["rebalance"]):
                self._run("swift-ring-builder", builder, *command)
        for name, port in ports.items():
            text = SERVER.format(port=port, folder=self.folder, user=getpass.getuser())
            text += PROXY.format(secret=SECRET) if name == "proxy" else STORAGE.format(name=name)
            file = self.folder / f"{name}-server.conf"
            file.write_text(text)
            with (self.folder / f"{name}.log").open("wb") as log:
                command = [self.programs / f"swift-{name}-server", file, "-v"]
                self.servers.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        for server, port in zip(self.servers, ports.values(), strict=True):
            _wait_for(server, port)
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['proxy']}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.kill()
            server.wait()

    def _run(self, program: str, *arguments: str | Path) -> None:
        subprocess.run([self.programs / program, *arguments], check=True, stdout=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    while True:
        assert server.poll() is None, "a server of Swift has ended: read its log"
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
