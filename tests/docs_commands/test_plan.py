"""How `scripts/prove docs` runs commands: what runs.toml says fits the docs, and a command that fails is noticed."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docs_commands import session as session_module
from tests.docs_commands.pages import ROOT, Command, commands, pages
from tests.docs_commands.plan import Plan, read_plan
from tests.docs_commands.session import CommandFailedError, Given, Session, free_port
from tests.docs_commands.usage import WrongUsageError, check

COMMANDS = [command for page in pages() for command in commands(page)]


MOST_EXCEPTED = 9
"""Number of exceptions. Lower it when one is gone. Do not raise it for a command that can be made to run."""


def test_each_exception_has_a_reason_and_is_still_in_the_docs() -> None:
    assert len(read_plan().excepted) <= MOST_EXCEPTED
    for excepted in read_plan().excepted:
        assert any(map(excepted.holds_for, COMMANDS)), f"runs.toml: no command begins with this any more: {excepted}"
        assert len(excepted.why.split()) > 3, excepted


def test_the_first_pages_need_no_exception() -> None:
    plan = read_plan()
    first = [command for command in COMMANDS if command.page == "README.md" or command.page.startswith("docs/for-")]
    assert len({command.page for command in first}) == 5
    assert [str(command) for command in first if plan.why_not(command)] == []


def test_every_entry_is_used() -> None:
    plan = read_plan()
    text = "\n".join(command.text for command in COMMANDS)
    used = {next((pattern for pattern in plan.shorter if re.search(pattern, one.text)), "") for one in COMMANDS}
    assert set(plan.shorter) <= used, f"runs.toml: no command fits {set(plan.shorter) - used}"
    for name in (*plan.names, *plan.values):
        assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), f"runs.toml: no command has {name}"
    assert set(plan.names.values()) <= set(plan.given)
    assert set(plan.before) <= {command.page for command in COMMANDS}


def test_shortened_commands_are_accepted() -> None:
    plan = read_plan()
    for command in COMMANDS:
        more = plan.appended(command.text)
        if more and command.words[0] == "edgerec":
            try:
                check(replace(command, text=f"{command.text} {more}"))
            except WrongUsageError as error:
                pytest.fail(f"{command} {more}\n{error}")


PLAN = Plan(
    shorter={"^echo": "two"},
    environment={},
    given={"one.txt": "echo 1 > one.txt", "twice.txt": "cat one.txt one.txt > twice.txt"},
    names={"NUMBERS": "twice.txt"},
    before={},
    values={"VERSION": "echo v7"},
    excepted=[],
)


SERVER = f"""#!{sys.executable}
import http.server, pathlib, signal, sys

def stop(*_):
    pathlib.Path("stopped").write_text("by SIGTERM")
    sys.exit()

signal.signal(signal.SIGTERM, stop)
pathlib.Path("arguments").write_text(" ".join(sys.argv[1:]))
print("x" * 200_000, flush=True)  # more than fits into a pipe
handler = http.server.SimpleHTTPRequestHandler
handler.do_GET = lambda self: (self.send_response(200), self.end_headers())
http.server.HTTPServer(("127.0.0.1", int(sys.argv[-1])), handler).serve_forever()
"""
"""A server that listens at its last argument."""


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(session_module, "copy_project", Path.mkdir)
    (tmp_path / "given").mkdir()
    page = tmp_path / "page.md"
    page.write_text("```toml\n# some.toml\nvalue = 1\n```\n")
    monkeypatch.setattr("tests.docs_commands.pages.ROOT", tmp_path)
    environment = {**os.environ, "EDGEREC_PORT": "1", "DEMO_PORT": "2", "REDIS_PORT": "3", "DASK_PORT": "4"}
    return Session(tmp_path / "work", Given(PLAN, tmp_path / "given", environment), page)


def test_a_command_finds_what_the_page_takes_as_given(opened: Session) -> None:
    assert opened.run(Command("page.md", 1, "cat NUMBERS some.toml")) == "1\n1\n# some.toml\nvalue = 1\n"
    assert opened.run(Command("page.md", 2, "echo VERSION")) == "v7 two\n"
    opened.run(Command("page.md", 3, "echo made > numbers"))
    assert opened.run(Command("page.md", 4, "cat NUMBERS")) == "1\n1\n"


def test_a_command_that_fails_or_makes_nothing_is_noticed(opened: Session, tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match="exit code 2"):
        opened.run(Command("page.md", 1, "(exit 2)"))
    with pytest.raises(CommandFailedError, match="did not make a"):
        Given(replace(PLAN, given={"a": "true"}), tmp_path / "given", os.environ).path("a")


def test_a_program_of_others_goes_on_until_the_end_of_the_page(
    opened: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "READY", {("sh", "-c"): "ready"})
    opened.run(Command("page.md", 1, "sh -c 'echo ready > seen; cat seen; sleep 600'"))
    (process,) = opened._others
    assert process.poll() is None
    opened.close()
    assert process.poll() is not None
    with pytest.raises(CommandFailedError, match="did not start"):
        opened.run(Command("page.md", 2, "sh -c 'exit 3'"))


@pytest.mark.parametrize("name", ["demo", "serve"])
def test_a_server_goes_on_beside_later_commands_and_is_stopped(name: str, opened: Session, tmp_path: Path) -> None:
    (tmp_path / "edgerec").write_text(SERVER)
    (tmp_path / "edgerec").chmod(0o755)
    opened.environment |= {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "EDGEREC_PORT": free_port(),
        "DEMO_PORT": free_port(),
    }
    opened.run(Command("page.md", 1, f"edgerec {name}"))
    assert opened.run(Command("page.md", 2, "cat arguments")).split()[0] == name
    opened.close()
    assert opened.run(Command("page.md", 3, "cat stopped")) == "by SIGTERM"


def test_a_server_that_does_not_start_is_noticed(opened: Session, tmp_path: Path) -> None:
    (tmp_path / "edgerec").write_text("#!/bin/sh\necho no port >&2\nexit 1\n")
    (tmp_path / "edgerec").chmod(0o755)
    opened.environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    with pytest.raises(CommandFailedError, match="no port"):
        opened.run(Command("page.md", 1, "edgerec serve"))


def test_the_project_is_copied_without_what_git_ignores(tmp_path: Path) -> None:
    session_module.copy_project(tmp_path)
    assert (tmp_path / "README.md").read_bytes() == (ROOT / "README.md").read_bytes()
    assert (tmp_path / ".venv").is_symlink()
    assert not list(tmp_path.rglob("*.pyc"))
