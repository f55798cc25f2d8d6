"""`edgerec personalize inspect` and `reset`, on stores that are there, open, of others, missing or damaged."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edgerec.device_runtime.store.rows import PatchState
from edgerec.features.behaviours import EXPOSURE
from edgerec.personalization.patch import Patch
from tests.command_line import edgerec_here
from tests.device_runtime.store.example_rows import START, VERSION, open_store
from tests.device_runtime.store.test_personal import ask, expose, page

THETA = np.array([3, 0, 0, 0, -4], np.float32)


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    """Return a store with a patch, a page with events, and a page that is still open."""
    path = tmp_path / "user.db"
    with open_store(path) as store:
        page(store, 1)
        store.personal.write(PatchState(VERSION, Patch(7, VERSION, THETA, 3, START), START + 1000, 1, "trained", 2))
        ask(store, 5, 2)
        expose(store, 2, 2)
    return path


def inspect(path: Path, user: int = 7, *more: str) -> subprocess.CompletedProcess[str]:
    return edgerec_here("personalize", "inspect", path, "--user-id", str(user), *more)


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as file:
        return list(file.iterdump())


def test_inspect_shows_sizes_and_outcomes_and_changes_nothing(store_path: Path) -> None:
    before = dump(store_path)
    for _ in range(2):
        done = inspect(store_path, 7, "--json")
        document = json.loads(done.stdout)
        assert (document["user_id"], document["store"]) == (7, str(store_path))
        assert document["patches"] == [
            {
                "version_id": VERSION, "ranks_with": "a patch", "bytes": 20, "length": 5.0, "trained_from": 3,
                "trained": START, "tried": START + 1000, "outcome": "trained", "rollbacks": 2, "pages": 1, "events": 3,
            }
        ]  # fmt: skip
    text = inspect(store_path).stdout
    for line in ("ranks with a patch", "its length 5.0000", "trained at 2023-11-14 22:13:20 UTC", "roll-backs 2"):
        assert line in " ".join(text.split())
    assert "-4" not in text
    assert dump(store_path) == before


@pytest.mark.parametrize("change", ["user_id = 8", f"theta = x'{'00' * 16}0000c07f'"])
def test_inspect_says_that_a_patch_which_no_client_uses_does_not_rank(store_path: Path, change: str) -> None:
    with open_store(store_path) as store:
        store._database.write(f"UPDATE patches SET {change}")
    (row,) = json.loads(inspect(store_path, 7, "--json").stdout)["patches"]
    assert (row["ranks_with"], row["bytes"]) == ("the shared model", 20)


def test_pages_that_a_killed_client_had_open_stay_open(store_path: Path) -> None:
    assert inspect(store_path).returncode == 0
    assert edgerec_here("personalize", "reset", store_path, "--user", "7").returncode == 0
    with open_store(store_path) as store:
        batch = store.unsent(100)
        assert batch is not None
        assert [row["page_id"] for row in batch.requests] == [1, 2]
        assert [row["clicked"] for row in batch.requests] == [[0, 1, 0], [None, 0, None]]


def test_reset_forgets_patch_and_events_and_nothing_else(store_path: Path) -> None:
    done = edgerec_here("personalize", "reset", store_path, "--user-id", "7", "--json")
    assert json.loads(done.stdout)["removed"] == {"versions": [VERSION], "pages": 1, "events": 3}
    document = json.loads(inspect(store_path, 7, "--json").stdout)
    assert document["patches"] == []
    assert "none, and no events" in inspect(store_path).stdout
    with open_store(store_path) as store:
        assert store.personal.versions() == []
        assert store.next_ordinal(EXPOSURE) == 4
    assert THETA.tobytes() not in store_path.read_bytes()


@pytest.mark.parametrize("command", ["inspect", "reset"])
def test_a_store_that_cannot_be_used_is_one_clear_line(store_path: Path, tmp_path: Path, command: str) -> None:
    def error(path: Path, user: int = 7) -> str:
        done = edgerec_here("personalize", command, path, "--user-id", str(user))
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        return done.stderr

    before = store_path.read_bytes()
    assert "belongs to user 7, received user 8" in error(store_path, 8)
    for name in ("missing.db", "empty.db", ""):
        if name == "empty.db":
            (tmp_path / name).touch()
        assert "there is no behaviour store" in error(tmp_path / name)
    assert not (tmp_path / "missing.db").exists()
    (tmp_path / "text").write_text("no database")
    assert "is not a behaviour store" in error(tmp_path / "text")
    with open_store(store_path):
        assert "is open already" in error(store_path)
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(before.replace(THETA.tobytes(), bytes(20)))
    assert "a row of the table `patches` was changed" in error(damaged)
    assert damaged.read_bytes() != before


def test_a_patch_of_another_form_is_one_clear_line(store_path: Path) -> None:
    with open_store(store_path) as store:
        store._database.write("UPDATE patches SET theta = x'00'")
    done = inspect(store_path)
    assert done.returncode == 1
    assert "the patch of version" in done.stderr
    assert "edgerec personalize reset" in done.stderr
    assert edgerec_here("personalize", "reset", store_path, "--user-id", "7").returncode == 0
    assert inspect(store_path).returncode == 0
