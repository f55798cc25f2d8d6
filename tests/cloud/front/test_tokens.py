from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest

from edgerec.cloud.app import create_app
from edgerec.cloud.front.front import Front
from edgerec.cloud.front.tokens import Tokens
from edgerec.cloud.start import open_service
from edgerec.core.errors import ConfigurationError
from tests.cloud.asking import ask

OLD, NEW = "old-token-0123456789", "new-token-9876543210"
PAGE = {"user_id": 1, "store_id": 1, "count": 3, "time": 9}


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def bearer(token: str) -> bytes:
    return f"Bearer {token}".encode()


def test_a_token_has_its_name_and_everything_else_has_none(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    digest = hashlib.sha256(NEW.encode()).hexdigest()
    file.write_text(f"# devices\napp {OLD}\n\nother  sha256:{digest}\n")
    tokens = Tokens(file)
    assert tokens.name_of(bearer(OLD)) == "app"
    assert tokens.name_of(b"bearer " + NEW.encode()) == "other"
    for wrong in (None, b"", b"Bearer", b"Bearer ", bearer(OLD[:-1]), bearer(OLD + "x"), bearer(OLD.upper()),
                  f"Basic {OLD}".encode(), OLD.encode(), b"Bearer \xff\x00", bearer(f"sha256:{digest}")):  # fmt: skip
        assert tokens.name_of(wrong) is None


def test_a_changed_file_is_read_again_and_a_wrong_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, clock = tmp_path / "tokens", Clock()
    file.write_text(f"app {OLD}\n")
    tokens = Tokens(file, clock=clock)
    file.write_text(f"app {OLD}\napp2 {NEW}\n")
    assert tokens.name_of(bearer(NEW)) is None  # the file is looked at once a second
    clock.now += 1
    assert (tokens.name_of(bearer(OLD)), tokens.name_of(bearer(NEW))) == ("app", "app2")
    file.write_text(f"app2 {NEW}\n")
    clock.now += 1
    assert (tokens.name_of(bearer(OLD)), tokens.name_of(bearer(NEW))) == (None, "app2")
    with caplog.at_level(logging.ERROR):
        file.write_text(f"app {OLD} more\n")
        clock.now += 1
        assert (tokens.name_of(bearer(OLD)), tokens.name_of(bearer(NEW))) == (None, "app2")
        file.unlink()
        clock.now += 1
        assert tokens.name_of(bearer(NEW)) == "app2"
    assert [
        record.getMessage().partition("tokens: ")[2] for record in caplog.records if record.levelno == logging.ERROR
    ] == [
        f"{file}: line 1 should be `NAME TOKEN`; it has 3 words; the tokens that were read before stay valid",
        f"{file} cannot be read (No such file or directory); the tokens that were read before stay valid",
    ]
    file.write_text(f"app {OLD}\n")
    clock.now += 1
    assert (tokens.name_of(bearer(OLD)), tokens.name_of(bearer(NEW))) == ("app", None)


WRONG = {
    "line 1: the token should have 20 to 1000": f"app {OLD[:19]}",
    "line 2: the token should have 20 to 1000": f"app {NEW}\n{OLD} app",
    "line 2 should be `NAME TOKEN`; it has 1 words": f"app {OLD}\n{NEW}",
    "line 1: the name should have": f"a/b {OLD}",
    "line 2: its name or its token is there twice": f"app {OLD}\napp {NEW}",
    "line 3: its name or its token is there twice": f"app {OLD}\n\nb {OLD}",
    "should have at least one line": "# none\n",
    "should have only ASCII": f"app {OLD}é",
    "should have at most 1048576 bytes": f"app {OLD}\n" + "#" * (1 << 20),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_is_one_line_without_the_token(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(WRONG[text])
    with pytest.raises(ConfigurationError) as error:
        Tokens(file)
    assert text in str(error.value)
    assert OLD[:10] not in str(error.value)
    assert "\n" not in str(error.value)


def test_without_a_valid_token_only_health_and_ready_answer(logs: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"app {OLD}\n")
    app = create_app(open_service(logs), front=Front(tokens=Tokens(file), metrics=True))
    every = [
        "/v1/page", "/v1/items", "/v1/logs", "/v1/versions", "/metrics", "/docs", "/redoc", "/openapi.json", "/",
        "/docs/oauth2-redirect", "/v1/health/", "//v1/health", "/v1/health/../versions", "/v1/healthx",
    ]  # fmt: skip
    for path in every:
        for method in ("GET", "POST", "HEAD", "OPTIONS", "TRACE"):
            for headers in ({}, {"authorization": f"Bearer {NEW}"}, {"authorization": OLD}):
                answer = ask(app, method, path, PAGE, **headers)
                assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
                assert list(answer.json) == ["error"]
    assert ask(app, "GET", "/v1/health").json == {"status": "ok"}
    assert ask(app, "GET", "/v1/ready").json == {"status": "ok", "embeddings": "ok"}
    valid = {"authorization": f"Bearer {OLD}"}
    assert ask(app, "GET", "/v1/health", **valid).json["items"] == 40
    assert ask(app, "POST", "/v1/page", PAGE, **valid).status == 200
    assert ask(app, "GET", "/metrics", **valid).status == 200


def test_two_headers_with_tokens_are_no_token(logs: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"app {OLD}\n")
    app = create_app(open_service(logs), front=Front(tokens=Tokens(file)))
    twice = ask(app, "GET", "/v1/versions", Authorization=f"Bearer {OLD}", authorization=f"Bearer {OLD}")
    assert twice.status == 401
