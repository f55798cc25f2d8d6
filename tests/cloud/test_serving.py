"""Tests of how `edgerec serve` starts, stops and speaks TLS, in a process of its own."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from edgerec.cloud.front.opening import opening_answers
from edgerec.cloud.front.readiness import Readiness
from edgerec.cloud.front.settings import FrontSettings
from edgerec.cloud.serve import serve
from edgerec.cloud.settings import ServerSettings
from edgerec.core.errors import ConfigurationError
from edgerec.data.logs import load_logs
from edgerec.paging.http_transport import HttpTransport
from edgerec.paging.page import PageRequest
from tests.cloud.batches import batches_of
from tests.cloud.test_server import call, served
from tests.full_disk import files_up_to
from tests.synthetic import make_logs_with_context


def ready(url: str, context: ssl.SSLContext) -> tuple[int, Any]:
    connection = http.client.HTTPSConnection(urlsplit(url).netloc, context=context, timeout=20)
    connection.request("GET", "/v1/ready")
    answer = connection.getresponse()
    document = json.loads(answer.read())
    connection.close()
    return answer.status, document


def test_while_it_opens_only_health_answers_and_no_connection_is_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with opening_answers(listener, None):
            # A client that says nothing does not keep the others waiting.
            silent = socket.create_connection(listener.getsockname())
            assert call(url, "GET", "/v1/health")[0] == 200
            for method, path in (("GET", "/v1/ready"), ("POST", "/v1/page"), ("POST", "/v1/health"), ("GET", "/docs")):
                status, kind, body = call(url, method, path, b"{}")
                assert (status, kind) == (503, "application/json")
                assert json.loads(body) == {"error": "the server is being started: try again later"}
            silent.close()
        # What connects from now on waits for the server that listens next.
        waiting = socket.create_connection(listener.getsockname())
        with opening_answers(listener, None):
            waiting.sendall(b"GET /v1/health HTTP/1.1\r\n\r\n")
            assert waiting.recv(100).startswith(b"HTTP/1.0 200")
        waiting.close()


def test_while_it_drains_it_answers_over_tls_and_says_that_it_stops(logs: Path, bundle: Path, tmp_path: Path) -> None:
    made = make_logs_with_context(users=2, requests=4)
    certificate, key = certificate_for_localhost(tmp_path)
    context = ssl.create_default_context(cafile=str(certificate))
    options = ["--host", "localhost", "--ssl-certfile", certificate, "--ssl-keyfile", key, "--drain", "3600"]
    with served(bundle, "--catalogue", logs, "--logs", tmp_path / "out", *options) as (process, state):
        url = state["url"]
        assert url.startswith("https://localhost:")
        assert ready(url, context) == (200, {"status": "ok", "embeddings": "ok"})
        process.send_signal(signal.SIGTERM)
        while ready(url, context)[0] == 200:
            time.sleep(0.01)
        assert ready(url, context) == (503, {"error": "the server is being stopped"})
        with HttpTransport(url, context=context) as transport:
            assert len(transport.page(PageRequest(1, 1, "v1", 5)).items) == 5
            for batch in batches_of(made):
                transport.send(batch)
        process.send_signal(signal.SIGTERM)  # a second signal ends it at once
        assert process.wait(60) == 0
    assert len(load_logs(tmp_path / "out").events) == len(made.events)


def test_requests_that_are_open_when_it_is_stopped_are_answered(logs: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stored: list[int] = []
    with served(bundle, "--catalogue", logs, "--logs", out) as (process, state):
        parts = urlsplit(state["url"])
        body = json.dumps({"user_id": 1, "store_id": 1, "version_id": "v1", "count": 100, "time": 9}).encode()
        opened = [http.client.HTTPConnection(parts.netloc, timeout=20) for _ in range(5)]
        for connection in opened:
            connection.putrequest("POST", "/v1/page")
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body[:10])

        def send(number: int) -> None:
            with HttpTransport(state["url"], timeout_s=20) as transport:
                for batch in list(batches_of(make_logs_with_context(users=number + 1, requests=3), rows=3))[-8:]:
                    try:
                        transport.send(batch)
                    except Exception:
                        return
                    stored.append(len(batch.events))

        threads = [threading.Thread(target=send, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        while not stored:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        for connection in opened:
            connection.send(body[10:])
            assert connection.getresponse().status == 200
            connection.close()
        for thread in threads:
            thread.join()
        assert process.wait(30) == 0
    # Each batch whose answer came is there.
    assert len(load_logs(out).events) >= sum(stored) > 0


def test_a_server_that_starts_speaks_tls(tmp_path: Path) -> None:
    certificate, key = certificate_for_localhost(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cafile=str(certificate))
    with socket.create_server(("127.0.0.1", 0)) as listener, opening_answers(listener, server):
        port = listener.getsockname()[1]
        connection = http.client.HTTPSConnection("localhost", port, context=client, timeout=20)
        connection.request("GET", "/v1/health")
        assert connection.getresponse().status == 200
        connection.close()


def test_settings_that_do_not_fit_are_one_error(logs: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    wrong: dict[str, dict[str, Any]] = {
        "--token-rate needs --tokens": {"token_rate": "5/second"},
        "--ssl-keyfile needs --ssl-certfile": {"key": tmp_path / "key"},
        "cannot be used .No such file": {"certificate": tmp_path / "none"},
        "cannot be used": {"certificate": tmp_path / "key", "key": tmp_path / "key"},
        "tokens: .* cannot be read": {"tokens": tmp_path / "none"},
        "rate: should be NUMBER/PERIOD": {"user_rate": "5"},
    }
    for text, settings in wrong.items():
        with pytest.raises(ConfigurationError, match=text):
            serve([], logs, ServerSettings(port=0, front=FrontSettings(**settings)))


def test_a_full_or_missing_disk_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Readiness(None).fault() is None
    found = Readiness(tmp_path)
    assert found.fault() is None
    monkeypatch.setattr("edgerec.cloud.front.readiness._PROBE_EACH_S", 0.0)
    with files_up_to(1000):
        assert found.fault() == "the logs cannot be written (File too large)"
    assert found.fault() is None
    monkeypatch.setattr("edgerec.cloud.front.readiness.LEAST_FREE", 2**62)
    assert found.fault() == f"the disk of the logs is almost full: it should have at least {2**42} MiB free"
    assert Readiness(tmp_path / "none").fault() == "the logs cannot be written (No such file or directory)"
    found.stop()
    assert found.fault() == "the server is being stopped"


def certificate_for_localhost(folder: Path) -> tuple[Path, Path]:
    """Make a certificate that signs itself."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    make = """
import datetime, sys
from pathlib import Path
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
now = datetime.datetime.now(datetime.timezone.utc)
day = datetime.timedelta(days=1)
made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
made = made.serial_number(7).not_valid_before(now - day).not_valid_after(now + day)
made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
made = made.add_extension(x509.BasicConstraints(True, None), True)
Path(sys.argv[1]).write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
Path(sys.argv[2]).write_bytes(key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
))
"""
    subprocess.run([sys.executable, "-c", make, certificate, key], check=True)
    return certificate, key
