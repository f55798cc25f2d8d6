"""The state of mixing in the store: one row, checked, kept across formats."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edgerec.core.errors import DamagedStoreError, StoreError
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.database import Database
from edgerec.device_runtime.store.forget import forget_store
from edgerec.device_runtime.store.rows import Behaviour
from edgerec.device_runtime.store.spool import create
from edgerec.device_runtime.store.statements import read_migrations
from edgerec.features.behaviours import EXPOSURE
from edgerec.mixing.prices import KindState
from edgerec.mixing.quota import Shown

STATES = {
    "ad": KindState(Shown(10, 3, 19_000, 1_700_000_000_000), 0.125),
    "product": KindState(Shown(10, 7, 19_000, 5)),
}


def opened(path: Path) -> BehaviourStore:
    return BehaviourStore(path, user_id=7)


def exposure(time: int = 5) -> Behaviour:
    return Behaviour(EXPOSURE, time, 3, {})


def test_the_state_is_recorded_with_a_behaviour_and_survives_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as store:
        assert store.mixing() == {}
        store.record(exposure(), mixing=STATES)
        store.record(exposure())
        assert store.mixing() == STATES
    with opened(tmp_path / "a.db") as store:
        assert store.mixing() == STATES
        store.record(exposure(), mixing={})
        assert store.mixing() == {}
        assert store.next_ordinal(EXPOSURE) == 3


def test_a_state_that_cannot_be_stored_leaves_everything(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as store:
        store.record(exposure(), mixing=STATES)
        with pytest.raises(StoreError, match="`mixing` should have strings, finite numbers"):
            store.record(exposure(), mixing={"ad": KindState(Shown(), float("nan"))})
        assert (store.mixing(), store.next_ordinal(EXPOSURE)) == (STATES, 1)
        assert store.record(exposure()) == 1


def test_a_store_of_format_2_gets_the_table(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old = Database(path, read_migrations()[:2], create=lambda database: create(database, 7), checksums=False)
    old.execute("INSERT INTO exposures (ordinal, time, item_id, seen, action, served) VALUES (0, 9, 3, 1, '{}', '{}')")
    old.close()
    with opened(path) as store:
        assert (store.mixing(), store.next_ordinal(EXPOSURE)) == ({}, 1)
        store.record(exposure(10), mixing=STATES)
    with opened(path) as store:
        assert store.mixing() == STATES


@pytest.mark.parametrize(
    "state", ["[1]", '{"ad": {}}', '{"ad": {"cards": 1, "own": 2, "day": 0, "last": 1, "drift": 0}}', "{", "7"]
)
def test_a_state_of_another_form_is_damage(tmp_path: Path, state: str) -> None:
    with opened(tmp_path / "a.db") as store:
        store.record(exposure(), mixing=STATES)
        store._database.execute("UPDATE mixing SET state = ?", (state,))
        with pytest.raises(DamagedStoreError, match="state of mixing"):
            store.mixing()


def test_a_changed_byte_of_the_state_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with opened(path) as store:
        store.record(exposure(), mixing=STATES)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE mixing SET state = replace(state, '0.125', '0.126')")
    with pytest.raises(DamagedStoreError, match="a row of the table `mixing` was changed"):
        opened(path)


def test_forgetting_a_user_forgets_the_state(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with opened(path) as store:
        store.record(exposure(), mixing={"a kind of the user": STATES["ad"]})
    with path.open("rb") as kept:
        forget_store(path, 7)
        assert b"a kind of the user" not in kept.read()
