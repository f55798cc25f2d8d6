"""Tests of model offers and their files over real HTTP, while the versions folder changes."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from edgerec.cloud.version_folder import publish, retire, set_share
from edgerec.cloud.version_list import LIST
from tests.cloud.bundles import write_bundle, write_whole
from tests.cloud.local_server import following
from tests.cloud.test_server import call, served
from tests.command_line import document, edgerec_here, error_line


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    publish(write_whole(root / "a", "v1"), root / "versions")
    publish(write_whole(root / "b", "version-2"), root / "versions", share=0.5)
    return root / "versions"


@pytest.fixture(scope="module")
def url(logs: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    given = write_bundle(tmp_path_factory.mktemp("given") / "bundle", "given")
    with following(folder, logs, [given]) as found:
        yield found


def ask(url: str, user_id: int, version_id: str | None = None) -> dict[str, Any]:
    body = json.dumps({"user_id": user_id, "store_id": 1, "version_id": version_id}).encode()
    status, kind, content = call(url, "POST", "/v1/model", body)
    assert (status, kind) == (200, "application/json")
    offer: dict[str, Any] = json.loads(content)
    assert set(offer) == {"schema", "version_id", "files", "bytes"}
    assert offer["schema"] == 1
    return offer


def get(url: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Request `path` as it is, without any quoting."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection._validate_path = lambda path: None  # type: ignore[attr-defined]
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_an_offer_has_the_files_of_the_device_half(url: str, folder: Path) -> None:
    offers = {user: ask(url, user) for user in range(40)}
    assert {offer["version_id"] for offer in offers.values()} == {"v1", "version-2"}
    for offer in list(offers.values())[:5]:
        (bundle,) = folder.glob(f"{offer['version_id']}-*")
        on_disk = {path.relative_to(bundle).as_posix(): path.read_bytes() for path in (bundle / "device").iterdir()}
        assert offer["files"][0]["path"] == "device/manifest.json"
        assert {file["path"] for file in offer["files"]} == set(on_disk)
        assert offer["bytes"] == sum(map(len, on_disk.values()))
        for file in offer["files"]:
            status, headers, content = get(url, f"/v1/model/{offer['version_id']}/{file['path']}")
            assert (status, content) == (200, on_disk[file["path"]])
            assert headers["content-type"] == "application/octet-stream"
            assert headers["accept-ranges"] == "bytes"
            assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
            assert headers["etag"] == f'"{file["sha256"]}"'


def test_a_device_that_has_the_version_downloads_nothing(url: str) -> None:
    offered = ask(url, 7)["version_id"]
    assert ask(url, 7, offered) == {"schema": 1, "version_id": offered, "files": [], "bytes": 0}
    assert ask(url, 7, "unknown")["files"] != []


def test_a_download_resumes(url: str) -> None:
    path = "/v1/model/v1/device/crban.mnn"
    whole = get(url, path)
    size, tag = len(whole[2]), whole[1]["etag"]
    status, headers, rest = get(url, path, Range="bytes=1000-")
    assert (status, rest, headers["content-range"]) == (206, whole[2][1000:], f"bytes 1000-{size - 1}/{size}")
    assert headers["etag"] == tag
    status, headers, part = get(url, path, Range="bytes=10-19", If_Range=tag)
    assert (status, part, headers["content-range"]) == (206, whole[2][10:20], f"bytes 10-19/{size}")
    assert get(url, path, Range="bytes=10-19", If_Range='"other"')[0] == 200
    assert get(url, path, Range="bytes=0-1,5-6")[2] == whole[2]
    status, headers, content = get(url, path, Range=f"bytes={size}-")
    assert (status, headers["content-range"]) == (416, f"bytes */{size}")
    assert "the range should begin before the end of the file" in json.loads(content)["error"]
    status, headers, content = get(url, path, If_None_Match=tag)
    assert (status, content, headers["etag"]) == (304, b"", tag)


OUTSIDE = [
    "/v1/model/v1/../../../../etc/passwd",
    "/v1/model/v1/device/../cloud/manifest.json",
    "/v1/model/v1/device/../device/crban.mnn",
    "/v1/model/v1/%2e%2e/%2e%2e/versions.json",
    "/v1/model/v1/..%2f..%2fversions.json",
    "/v1/model/v1/%2Fetc%2Fpasswd",
    "/v1/model/v1//etc/passwd",
    "/v1/model/v1/device%5c..%5ccrban.mnn",
    "/v1/model/v1/device/crban.mnn%00",
    "/v1/model/v1/device/crban.mnn%00.json",
    "/v1/model/v1/device/crban.mnn/",
    "/v1/model/v1/device//crban.mnn",
    "/v1/model/v1/./device/crban.mnn",
    "/v1/model/v1/DEVICE/crban.mnn",
    "/v1/model/v1/manifest.json",
    "/v1/model/v1/cloud/manifest.json",
    "/v1/model/v1/golden/case-00.npz",
    "/v1/model/v1/device",
    "/v1/model/v1/",
    "/v1/model/v1/device/%ff%fe",
    "/v1/model/v1/device/%252e%252e/manifest.json",
    "/v1/model/../versions.json",
    "/v1/model/..%2fversions/versions.json",
    "/v1/model/v1%00/device/crban.mnn",
    "/v1/model/%2e%2e/device/crban.mnn",
    "/v1/model/given/device/crban.mnn",
    "/v1/model/v1/" + "a/" * 3000,
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_other_file_can_be_read(url: str, path: str) -> None:
    status, _, content = get(url, path)
    assert status == 404
    error = json.loads(content)["error"]
    assert len(error) < 600
    assert "/tmp" not in error


def test_raw_bytes_in_a_path_read_nothing(url: str) -> None:
    parts = urlsplit(url)
    for path in (b"/v1/model/v1/device/\xff\xfe", b"/v1/model/v1/device/crban.mnn\x00", b"/v1/model/v1/..\\..\\x"):
        with socket.create_connection((parts.hostname, parts.port or 80), timeout=20) as connection:
            connection.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.split(b" ", 2)[1] in (b"400", b"404")


def test_an_unknown_version_gets_the_live_ones_and_the_user_s(url: str) -> None:
    for user in range(6):
        page = {"user_id": user, "store_id": 1, "version_id": "v9", "count": 3, "time": 9}
        status, _, content = call(url, "POST", "/v1/page", json.dumps(page).encode())
        error = json.loads(content)
        assert status == 404
        assert error["versions"] == ["given", "v1", "version-2"]
        assert error["offered"] == ask(url, user)["version_id"]
    for path in ("/v1/items", "/v1/model/v9/device/crban.mnn"):
        body = json.dumps({"version_id": "v9", "item_ids": [1]}).encode() if path == "/v1/items" else None
        status, _, content = call(url, "POST" if body else "GET", path, body)
        assert status == 404
        assert set(json.loads(content)) == {"error", "versions"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"user_id": 1}, "store_id is missing"),
        ({"user_id": "1", "store_id": 1}, "user_id should be a whole number"),
        ({"user_id": 1, "store_id": 1, "version_id": 5}, "version_id should be"),
        ({"user_id": 1, "store_id": 1, "more": 5}, "more is not a known key"),
        ({"user_id": 2**63, "store_id": 1}, "user_id"),
    ],
)
def test_a_wrong_body_is_refused(url: str, body: dict[str, Any], text: str) -> None:
    status, _, content = call(url, "POST", "/v1/model", json.dumps(body).encode())
    assert status == 422
    assert text in json.loads(content)["error"]


def wait_for(url: str, *ids: str) -> None:
    while json.loads(call(url, "GET", "/v1/health")[2])["versions"] != list(ids):
        time.sleep(0.02)


def test_a_running_server_follows_the_commands(logs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "versions"
    first, second = write_whole(tmp_path / "a", "v1"), write_whole(tmp_path / "b", "version-2")
    assert document(edgerec_here("versions", "publish", first, "--to", folder, "--json"))["share"] == 1.0
    out = tmp_path / "out"
    with served("--catalogue", logs, "--logs", out, "--versions", folder) as (process, state):
        url = state["url"]
        assert state["versions"] == ["v1"]
        done = document(edgerec_here("versions", "publish", second, "--to", folder, "--share", "0", "--json"))
        wait_for(url, "v1", "version-2")
        assert {ask(url, user)["version_id"] for user in range(9)} == {"v1"}
        document(edgerec_here("versions", "share", "version-2", "1", "--in", folder, "--json"))
        while ask(url, 1)["version_id"] != "version-2":
            time.sleep(0.02)
        rows = json.loads(call(url, "GET", "/v1/versions")[2])["versions"]
        assert [(row["version_id"], row["share"]) for row in rows] == [("v1", 1.0), ("version-2", 1.0)]
        (folder / done["folder"] / "device" / "crban.mnn").write_bytes(b"damage")
        document(edgerec_here("versions", "retire", "version-2", "--in", folder, "--json"))
        wait_for(url, "v1")
        content = json.loads((folder / LIST).read_text())
        content["versions"][1].update(state="live", retired_at=None, published_at="later")
        (folder / LIST).write_text(json.dumps(content))
        listed: dict[str, Any] = {"versions": [{}]}
        while not listed["versions"][-1].get("error"):
            listed = document(edgerec_here("versions", "list", folder, "--server", url, "--json"))
            time.sleep(0.02)
        assert [row["served"] for row in listed["versions"]] == [True, False]
        assert "device/crban.mnn has 6 bytes instead of" in listed["versions"][1]["error"]
        assert str(tmp_path) not in listed["versions"][1]["error"]
        table = edgerec_here("versions", "list", folder, "--server", url)
        assert "the server refuses version version-2: bundle: version-2-" in table.stderr
        process.terminate()
        process.wait()
        assert process.stderr is not None
        lines = process.stderr.read().splitlines()
    assert [line for line in lines if "is not served" in line] == [
        line for line in lines if line.startswith("edgerec: versions: version version-2 is not served: bundle: ")
    ]
    assert sum("is not served" in line for line in lines) == 1
    assert "edgerec: versions: the folder's live versions are now: v1 (share 1), version-2 (share 0)" in lines


def test_errors_of_the_commands_are_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "versions"
    line = error_line(edgerec_here("versions", "list", folder))
    assert "cannot be read (No such file or directory): give a folder that `edgerec versions publish` wrote" in line
    bundle = write_whole(tmp_path / "a", "v1")
    edgerec_here("versions", "publish", bundle, "--to", folder)
    assert "v1 is live already" in error_line(edgerec_here("versions", "publish", bundle, "--to", folder))
    assert "has no version 'v2'" in error_line(edgerec_here("versions", "retire", "v2", "--in", folder))
    wrong = edgerec_here("versions", "share", "v1", "3", "--in", folder)
    assert wrong.returncode == 2
    assert "should be a number from 0 to 1" in wrong.stderr
    server = ("versions", "list", folder, "--server")
    assert "does not answer" in error_line(edgerec_here(*server, "http://127.0.0.1:1"))
    assert "the server should be http://" in error_line(edgerec_here(*server, "file:///etc/passwd"))
    (tmp_path / "token").write_text("three words here")
    token = (*server, "http://127.0.0.1:1", "--token-file", tmp_path / "token")
    assert "should contain one token" in error_line(edgerec_here(*token))
    assert "three words" not in error_line(edgerec_here(*token))
    (folder / "orphan").mkdir()
    assert (
        "does not name these folders, which may be removed: orphan" in edgerec_here("versions", "list", folder).stderr
    )
    set_share("v1", 0.25, folder)
    retire("v1", folder)
    assert "0.25" in edgerec_here("versions", "list", folder).stdout
