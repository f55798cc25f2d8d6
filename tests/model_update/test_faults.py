"""Faults of the application, the disk and the cloud around a switch. The client is a stand-in, the folder is real."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgerec import BehaviourStore, ModelFolder, ModelUpdater, UpdateConfig
from edgerec.bundle.manifest_file import read_device_manifest, sign_bundle
from edgerec.core.errors import BusyError, TransportError
from edgerec.core.hashing import sha256_bytes
from edgerec.model_update.download import PART, Download
from edgerec.model_update.events import Events, UpdateEvent
from edgerec.model_update.state import StateFile
from edgerec.model_update.updater import _fingerprint
from edgerec.paging.model_offer import ModelOffer, OfferedFile
from tests.device_runtime.replayed import Clock
from tests.model_update.test_updater import changed, new_key


class StandIn:
    """Has what an updater needs of a client, and lets a test decide when a switch ends."""

    def __init__(self) -> None:
        self.store = SimpleNamespace(user_id=1, store_id=2)
        self.version_id: str | None = "v1"
        self.ends: dict[str, Callable[[str | None], None]] = {}
        self.given_up: list[str] = []

    def when_unserved(self, call: Callable[[str], None]) -> None:
        pass

    def switch_to(self, model: Any, on_end: Callable[[str | None], None]) -> Callable[[str], None]:
        self.ends[model] = on_end
        return self.given_up.append


class Offers:
    """A cloud that answers with an offer, or with a fault."""

    def __init__(self, answer: ModelOffer | Exception) -> None:
        self.answer, self.asked = answer, threading.Semaphore(0)

    def model(self, *_: Any) -> ModelOffer:
        self.asked.release()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def model_file(self, version_id: str, path: str, start: int, most: int) -> bytes:
        raise AssertionError("nothing should be downloaded")


MANIFEST = b"{}"


def offer(version_id: str) -> ModelOffer:
    file = OfferedFile("device/manifest.json", len(MANIFEST), sha256_bytes(MANIFEST))
    return ModelOffer(version_id, (file,))


def put(folder: ModelFolder, version_id: str) -> None:
    (folder.version_folder(version_id) / "device").mkdir(parents=True)
    (folder.version_folder(version_id) / "device" / "manifest.json").write_bytes(MANIFEST)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelFolder]:
    """A folder with two versions, which are only names. v1 is the current one."""
    monkeypatch.setattr(ModelFolder, "check_installed", lambda *_: SimpleNamespace(serial=2))
    monkeypatch.setattr(ModelFolder, "open", lambda _, version_id: version_id)
    monkeypatch.setattr("edgerec.model_update.updater.prove_model", lambda _: None)
    with ModelFolder(tmp_path / "models") as folder:
        put(folder, "v1")
        put(folder, "v2")
        folder.commit("v1", 1)
        yield folder


def updater_of(folder: ModelFolder, cloud: Offers, client: StandIn, clock: Clock, **more: Any) -> ModelUpdater:
    return ModelUpdater(client, folder, cloud, clock=clock, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("when", ["while v3 is loaded", "after v3 is prepared"])
def test_a_switch_that_ends_late_leaves_the_next_version_in_place(folder: ModelFolder, when: str) -> None:
    client, clock = StandIn(), Clock(10**12)
    cloud = Offers(offer("v2"))
    updater = updater_of(folder, cloud, client, clock)
    updater.run_pending()
    cloud.answer = offer("v3")
    put(folder, "v3")
    clock.now += UpdateConfig().check_ms

    def commit_v2() -> None:
        client.version_id = "v2"
        client.ends["v2"](None)

    if when == "while v3 is loaded":
        opened = folder.open

        def slowly_opened(version_id: str) -> Any:
            commit_v2()
            return opened(version_id)

        folder.open = slowly_opened  # type: ignore[method-assign]
    updater.run_pending()
    if when == "after v3 is prepared":
        commit_v2()
    updater.run_pending()
    assert (folder.state.current, folder.state.next) == ("v2", "v3")
    assert folder.installed() == ["v2", "v3"]
    client.version_id = "v3"
    client.ends["v3"](None)
    updater.run_pending()
    assert (folder.state.current, folder.state.next) == ("v3", None)
    assert folder.installed() == ["v3"]
    assert updater.counts["failed"] == 0


def test_a_switch_is_given_up_when_its_version_is_not_offered_any_more(folder: ModelFolder) -> None:
    client, clock = StandIn(), Clock(10**12)
    cloud = Offers(offer("v2"))
    updater = updater_of(folder, cloud, client, clock)
    updater.run_pending()
    cloud.answer = ModelOffer("v1")
    clock.now += UpdateConfig().check_ms
    updater.run_pending()
    assert client.given_up == ["the cloud does not offer this version any more"]
    client.ends["v2"](client.given_up[0])
    updater.run_pending()
    assert updater.events[-2].what == "rolled_back"
    assert (folder.state.current, folder.state.next, folder.installed()) == ("v1", None, ["v1"])


def test_the_thread_lives_on_if_the_application_fails(folder: ModelFolder) -> None:
    def fail(_: UpdateEvent) -> None:
        raise RuntimeError("a fault of the application")

    cloud = Offers(TransportError("down"))
    updater = updater_of(
        folder, cloud, StandIn(), Clock(10**12), on_event=fail, config=UpdateConfig(retry_first_ms=1, retry_most_ms=1)
    )
    updater.start()
    assert cloud.asked.acquire(timeout=10)
    updater.check_now()
    assert updater._thread is not None
    updater._thread.join(0.1)
    assert updater._thread.is_alive()
    updater.close()
    assert updater.counts["failed"] >= 1


def test_what_on_event_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: UpdateEvent) -> None:
        raise RuntimeError("a fault of the application")

    with caplog.at_level(logging.ERROR):
        Events(fail).add(UpdateEvent(1, "offered", "v1"))
    assert "`on_event` failed" in caplog.text
    assert "a fault of the application" in caplog.text


def test_the_cloud_says_when_to_come_back(folder: ModelFolder) -> None:
    cloud, clock = Offers(BusyError("busy", 1800.0)), Clock(10**12)
    updater = updater_of(folder, cloud, StandIn(), clock)
    updater.run_pending()
    clock.now += 1_799_000
    updater.run_pending()
    assert updater.counts["failed"] == 1
    clock.now += 1_000 + UpdateConfig().retry_first_ms
    updater.run_pending()
    assert updater.counts["failed"] == 2


def test_a_version_that_ended_the_process_is_tried_again_a_day_later(folder: ModelFolder) -> None:
    client, clock, config = StandIn(), Clock(10**12), UpdateConfig()
    folder.remember(loading=_fingerprint(offer("v2")), loads=config.tries)
    updater = updater_of(folder, Offers(offer("v2")), client, clock)
    updater.run_pending()
    assert updater.events[-1].what == "refused"
    assert (folder.state.loading, folder.state.loads) == (None, 0)
    clock.now += config.refused_ms
    updater.run_pending()
    assert "v2" in client.ends


@pytest.mark.parametrize("free", [999, 1000])
def test_the_space_that_a_download_needs_is_that_of_its_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    files = (OfferedFile("device/a", 5000, "a" * 64), OfferedFile("device/b", 700, "b" * 64))
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / f"a{PART}").write_bytes(bytes(4000))
    (tmp_path / "device" / "b").write_bytes(bytes(700))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    download = Download(Offers(ModelOffer("v")), ModelOffer("v", files), tmp_path, 100)  # type: ignore[arg-type]
    if free < 1000:
        with pytest.raises(Exception, match="needs 1000 bytes; the disk has 999 left"):
            download.check_space()
    else:
        download.check_space()


def test_the_shipped_version_repairs_a_device_without_a_readable_one(bundle_path: Path, tmp_path: Path) -> None:
    with ModelFolder(tmp_path / "models") as models, BehaviourStore(tmp_path / "user.db", user_id=3) as store:
        assert models.install(bundle_path)
        assert not models.install(bundle_path)
        current = models.state.current
        assert current is not None
        for file in (models.version_folder(current) / "device").iterdir():
            file.write_bytes(b"")  # what a power cut can leave of files that were not synced
        assert models.load(store) is None
        assert models.install(bundle_path)
        assert models.load(store) is not None
        shutil.rmtree(models.version_folder(current))
        assert models.install(bundle_path)
        assert models.load(store) is not None


def test_what_the_state_names_is_on_the_disk(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file and folder of an installed version is synced before the state names it, and the state itself is."""
    synced, fsync, write, before = set[int](), os.fsync, StateFile.write, set[int]()

    def noted(handle: int) -> None:
        status = os.fstat(handle)
        synced.add(status.st_ino)
        if stat.S_ISDIR(status.st_mode):
            synced.update(entry.inode() for entry in os.scandir(handle) if entry.name == "state.json")
        fsync(handle)

    def written(file: StateFile, state: Any) -> None:
        before.update(synced)
        write(file, state)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(StateFile, "write", written)
    with ModelFolder(tmp_path / "models") as models:
        models.install(bundle_path)
        assert models.state.current is not None
        version = models.version_folder(models.state.current)
    for path in (version.parent, version, *version.rglob("*")):
        assert path.stat().st_ino in before, path
    assert (tmp_path / "models" / "state.json").stat().st_ino in synced


def test_an_older_signed_version_replaces_no_damaged_one(bundle_path: Path, plus_path: Path, tmp_path: Path) -> None:
    """The newest other version is taken, and none with a smaller serial number than the device has had."""
    key = new_key()
    with (
        ModelFolder(tmp_path / "models", public_key=key.public) as models,
        BehaviourStore(tmp_path / "user.db", user_id=3) as store,
    ):
        names = []
        for name, source, serial in (("a", bundle_path, 30), ("b", plus_path / "bundle", 20)):
            bundle = changed(source, tmp_path / name, serial=serial)
            sign_bundle(bundle, key)
            names.append(bundle)
        assert models.install(names[0])
        current = models.state.current
        assert current is not None
        version_id = read_device_manifest(names[1] / "device").version_id
        shutil.copytree(names[1] / "device", models.download_folder(version_id) / "device")
        models.publish(version_id)
        (models.version_folder(current) / "device" / "manifest.json").write_bytes(b"")
        assert models.load(store) is None
        assert models.state.current == current
        assert models.install(names[0])
        (models.version_folder(current) / "device" / "manifest.json").write_bytes(b"")
        models.remember(highest_serial=20)
        loaded = models.load(store)
        assert loaded is not None
        assert loaded.version_id == models.state.current == version_id
