"""The command `edgerec demo`: what it refuses, and what it reuses."""

from __future__ import annotations

import importlib.util
import json
import socket
from pathlib import Path

import pytest

from edgerec.core.written import layout_of
from edgerec.demo.folder import made_before
from tests.command_line import edgerec_here, error_line


def test_a_port_in_use_is_refused(small_world_path: Path) -> None:
    parts = [small_world_path / "bundle", "--catalogue", small_world_path / "logs"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        line = error_line(edgerec_here("demo", *parts, "--no-browser", "--port", port))
    assert line == (
        f"edgerec: cannot listen at 127.0.0.1:{port} (Address already in use): choose another --port, or --port 0 for "
        "a free one"
    )


def test_a_port_in_use_is_refused_before_the_first_start_takes_its_minutes(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        line = error_line(edgerec_here("demo", "--no-browser", "--port", port, cwd=tmp_path))
    assert line.startswith(f"edgerec: cannot listen at 127.0.0.1:{port} ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["bundle"], "BUNDLE needs --catalogue"),
        (["bundle", "--catalogue", "logs", "--out", "x"], "--out is the folder of the demo's own bundle"),
        (["--catalogue", "logs"], "--catalogue needs BUNDLE"),
        (["--port", "70000"], "should be a whole number from 0 to 65535"),
    ],
)
def test_wrong_usage(arguments: list[str], text: str, tmp_path: Path) -> None:
    done = edgerec_here("demo", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert text in " ".join(done.stderr.split())


@pytest.mark.parametrize(("package", "more"), [("fastapi", ["bundle", "--catalogue", "logs"]), ("tensorflow", [])])
def test_a_missing_package_is_named(
    package: str, more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else find(name))
    line = error_line(edgerec_here("demo", *more, cwd=tmp_path))
    assert line == f"edgerec: {package} is not installed: run pip install 'edgerec[all]'"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_others_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "photo.jpg").write_bytes(b"x")
    line = error_line(edgerec_here("demo", "--no-browser", cwd=tmp_path))
    assert "output demo exists already" in line
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["photo.jpg"]


def test_a_catalogue_that_is_no_folder_of_logs_is_an_error(small_world_path: Path, tmp_path: Path) -> None:
    parts = [small_world_path / "bundle", "--catalogue", tmp_path]
    assert "logs" in error_line(edgerec_here("demo", *parts, "--no-browser", "--port", "0"))


@pytest.mark.parametrize("kind", ["demo", "quickstart"])
def test_a_folder_that_was_made_before_is_reused(kind: str, tmp_path: Path) -> None:
    assert made_before(tmp_path) is None
    (tmp_path / f"{kind}.json").write_text(json.dumps({"schema": 1, "kind": kind, "version_id": "v1", "paths": {}}))
    parts = made_before(tmp_path)
    assert parts is not None
    assert (parts.bundle, parts.logs) == (tmp_path / "bundle", tmp_path / "logs")


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_the_first_start_makes_a_folder_that_the_second_one_reuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from edgerec.demo import prepare

    monkeypatch.setattr(prepare, "DEMO_WORLD", replace(prepare.DEMO_WORLD, users=10))
    monkeypatch.setattr(prepare, "DEMO_CONFIG", prepare.DEMO_CONFIG.model_copy(update={"units": 4, "epochs": 1}))
    monkeypatch.setattr(prepare, "LIMITS", {"candidates": 30, "exposures": 8, "page_views": 4})
    monkeypatch.setattr(prepare, "PARITY_REQUESTS", 5)
    out = tmp_path / "demo"
    parts = prepare.prepare_demo(out)
    assert made_before(out) == parts
    layout = layout_of(out)
    assert layout is not None
    assert layout.foreign(out) is None
    assert json.loads((out / "run" / "run.json").read_text())["samples"] == str(out / "samples")
