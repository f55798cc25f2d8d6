"""A device learns of a version, downloads and checks it, and switches. Whatever fails, it keeps the version it has."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgerec import BehaviourStore, Client, ClientConfig, HttpTransport, ModelFolder, ModelUpdater, UpdateConfig
from edgerec.bundle.manifest_file import read_device_manifest, sign_bundle
from edgerec.bundle.signing import PublicKey, SigningKey
from edgerec.core.errors import ConfigurationError, InputError, SignatureError
from edgerec.model_update.events import UpdateEvent
from tests.bundle.restamp import restamp_device
from tests.device_runtime.replayed import Clock
from tests.device_runtime.version_cloud import VersionCloud
from tests.model_update.model_server import ModelServer, model_server

CONFIG = ClientConfig(page=6, fetch=10, prefetch=1, debounce_ms=0, send_interval_ms=0)


class Device:
    """A device that can be started again, with an updater. The cloud is in this process, the models come over HTTP."""

    def __init__(self, folder: Path, cloud: VersionCloud, server: ModelServer, key: PublicKey | None = None) -> None:
        self.folder, self.cloud, self.server, self.key = folder, cloud, server, key
        self.clock, self.seen, self.allow = Clock(1_000_000), list[UpdateEvent](), True
        self.config = UpdateConfig(piece_bytes=8192)
        self.shipped: Path | None = None

    def start(self) -> None:
        self.models = ModelFolder(self.folder / "models", public_key=self.key)
        if self.shipped is not None:
            self.models.install(self.shipped)
        self.store = BehaviourStore(self.folder / "user.db", user_id=3)
        self.model = self.models.load(self.store)
        spec = next(iter(self.cloud.models.values())).spec
        self.client = Client(self.store, self.cloud, self.model, config=CONFIG, clock=self.clock, spec=spec)
        self.transport = HttpTransport(self.server.url, timeout_s=2)
        self.updater = ModelUpdater(
            self.client,
            self.models,
            self.transport,
            allowed=lambda: self.allow,
            config=self.config,
            clock=self.clock,
            on_event=self.seen.append,
        )

    def stop(self) -> None:
        self.client.close(send=False)
        self.updater.close()
        self.transport.close()
        self.store.close()
        self.models.close()

    def turn(self, times: int = 1, *, ms: int = 0) -> None:
        """Let time pass, and do all work that is due."""
        for _ in range(times):
            self.clock.now += ms
            self.updater.run_pending()
            self.client.run_pending()

    def scroll(self, items: int = 6) -> None:
        self.client.refresh()
        self.client.run_pending()
        for item in self.client.order()[:items]:
            self.clock.now += 1000
            self.client.exposed(item, {"duration_s": 2.0})
            self.client.run_pending()

    def switch(self) -> None:
        """Do everything up to a switch."""
        self.turn(20)
        self.scroll(2)
        self.updater.run_pending()

    def happened(self) -> list[str]:
        return [event.what for event in self.seen]


@pytest.fixture(scope="module")
def bundles(bundle_path: Path, plus_path: Path) -> tuple[Path, Path]:
    return bundle_path, plus_path / "bundle"


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture
def device(tmp_path: Path, bundles: tuple[Path, Path], server: ModelServer) -> Iterator[Device]:
    for name, value in {"status": 200, "damage": None, "cut": None, "ranges": True, "hidden": {}}.items():
        setattr(server, name, value)
    server.offer(bundles[1])
    server.paths.clear()
    server.bodies.clear()
    device = Device(tmp_path, VersionCloud(*bundles), server)
    device.shipped = bundles[0]
    device.start()
    yield device
    device.stop()


def versions(device: Device) -> list[str]:
    return list(device.cloud.models)


def test_a_new_version_is_downloaded_installed_and_used(device: Device) -> None:
    old, new = versions(device)
    device.scroll()
    assert device.client.version_id == old
    device.switch()
    assert device.happened() == ["offered", "installed", "preparing", "switched", "removed"]
    assert device.client.version_id == new
    assert device.models.installed() == [new]
    assert device.server.bodies[0] == {"user_id": 3, "store_id": device.store.store_id, "version_id": old}
    assert device.updater.counts["switched"] == 1
    asked = len(device.server.paths)
    device.turn(5)
    assert len(device.server.paths) == asked  # the interval is not over
    device.turn(1, ms=device.config.check_ms)
    assert device.server.paths[asked:] == ["/v1/model"]
    assert device.server.bodies[-1]["version_id"] == new
    device.stop()
    device.start()
    assert device.client.version_id == new


def test_a_device_without_a_version_gets_one(device: Device, tmp_path: Path) -> None:
    other = Device(tmp_path / "other", device.cloud, device.server)
    other.folder.mkdir()
    other.start()
    assert other.model is None
    other.scroll()
    other.switch()
    assert other.client.version_id == versions(device)[1]
    other.stop()


def test_nothing_is_downloaded_while_it_is_not_allowed(device: Device) -> None:
    device.allow = False
    for _ in range(3):
        device.turn(2, ms=device.config.wait_ms)
    assert device.happened() == ["offered", "waiting"]
    assert set(device.server.paths) == {"/v1/model"}
    device.allow = True
    device.turn(1, ms=device.config.wait_ms)
    device.switch()
    assert device.happened()[-2:] == ["switched", "removed"]


def test_a_download_resumes_after_a_restart(device: Device) -> None:
    pieces = iter(range(100))
    device.updater._allowed = lambda: next(pieces) < 5
    device.turn()
    assert device.happened() == ["offered", "waiting"]
    device.stop()
    first = [path for path in device.server.paths if path != "/v1/model"]
    assert len(first) == 5
    device.start()
    device.switch()
    whole = sum(-(-len(content) // device.config.piece_bytes) for content in device.server.files.values())
    assert len([path for path in device.server.paths if path != "/v1/model"]) == whole  # no piece came twice
    assert device.client.version_id == versions(device)[1]


def test_a_server_without_ranges_works_too(device: Device) -> None:
    device.server.ranges = False
    device.switch()
    assert device.client.version_id == versions(device)[1]


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 5))])
def test_a_file_that_was_damaged_on_its_way_is_refused_and_downloaded_again(device: Device, part: int) -> None:
    """50 offsets, spread over all files: those of a part are far from each other. Without `slow`, ten are tested."""
    places = [(path, at) for path, content in sorted(device.server.files.items()) for at in range(len(content))]
    device.config = UpdateConfig(piece_bytes=1 << 20)
    device.stop()
    device.start()
    for number in range(part, 50, 5):
        device.server.damage = places[number * (len(places) - 1) // 49]
        failed = device.updater.counts["failed"]
        device.turn(1, ms=device.config.retry_most_ms)
        assert device.updater.counts["failed"] == failed + 1
        assert "was damaged on its way" in device.seen[-1].detail
        assert device.client.version_id == versions(device)[0]
        assert device.models.installed() == [versions(device)[0]]
    asked = len(device.server.paths)
    device.turn(3)
    assert len(device.server.paths) == asked  # it waits after a failure
    device.server.damage = None
    device.turn(1, ms=device.config.retry_most_ms)
    device.switch()
    assert device.client.version_id == versions(device)[1]


@pytest.mark.parametrize("fault", ["status", "cut", "closed"])
def test_a_server_that_is_down_changes_nothing(device: Device, fault: str) -> None:
    device.scroll()
    if fault == "status":
        device.server.status = 503
    elif fault == "cut":
        device.server.cut = 100
    else:
        device.updater._transport = HttpTransport("http://127.0.0.1:9", timeout_s=0.5)
    device.turn(3)
    assert device.happened()[-1] == "failed"
    assert device.updater.counts["failed"] == 1  # the next try waits
    device.scroll()
    assert device.client.version_id == versions(device)[0]
    device.turn(1, ms=device.config.retry_first_ms)
    assert device.updater.counts["failed"] == 2
    device.server.status, device.server.cut, device.updater._transport = 200, None, device.transport
    device.turn(1, ms=device.config.retry_most_ms)
    device.switch()
    assert device.client.version_id == versions(device)[1]


WRONG_OFFERS = {
    "schema": {"schema": 2},
    "a version that is no name of a folder": {"version_id": "../evil"},
    "a path that leads out": {"files": [{"path": "device/../../evil", "bytes": 3, "sha256": "0" * 64}]},
    "an absolute path": {"files": [{"path": "/etc/passwd", "bytes": 3, "sha256": "0" * 64}]},
    "a path outside of the device half": {"files": [{"path": "cloud/x", "bytes": 3, "sha256": "0" * 64}]},
    "a negative size": {"files": [{"path": "device/x", "bytes": -3, "sha256": "0" * 64}]},
    "no hash": {"files": [{"path": "device/x", "bytes": 3}]},
    "no files": {"files": []},
    "files of another form": {"files": "all"},
    "too many files": {"files": [{"path": f"device/{name}", "bytes": 3, "sha256": "0" * 64} for name in range(65)]},
    "a file twice": {"files": [{"path": "device/x", "bytes": 3, "sha256": "0" * 64}] * 2},
}


@pytest.mark.parametrize("what", WRONG_OFFERS)
def test_a_wrong_offer_is_refused(device: Device, what: str, tmp_path: Path) -> None:
    device.server.hidden = WRONG_OFFERS[what]
    device.turn(2)
    assert device.happened()[-1] == "failed"
    assert "/v1/model" in device.seen[-1].detail
    assert set(device.server.paths) == {"/v1/model"}
    assert device.models.installed() == [versions(device)[0]]
    assert not any("evil" in path.name for path in tmp_path.parent.rglob("*evil*"))


def test_a_version_that_is_too_large_is_refused_before_it_is_downloaded(device: Device) -> None:
    device.config = UpdateConfig(max_bytes=10_000)
    device.stop()
    device.start()
    device.turn(3)
    assert device.happened() == ["offered", "refused"]
    assert "at most 10000 are allowed" in device.seen[-1].detail
    assert set(device.server.paths) == {"/v1/model"}
    device.turn(2, ms=device.config.check_ms)
    assert device.happened() == ["offered", "refused"]  # the same offer is left alone


def test_a_file_that_is_longer_than_offered_is_not_read_further(device: Device, tmp_path: Path) -> None:
    document = device.server.document(None)
    for file in document["files"]:
        file["bytes"] = min(file["bytes"], 100)
    device.server.hidden = {"files": document["files"]}
    device.turn()
    assert "was damaged on its way" in device.seen[-1].detail
    assert sum(path.stat().st_size for path in (tmp_path / "models" / "downloads").rglob("*") if path.is_file()) <= 100


def changed(bundle: Path, to: Path, **change: Any) -> Path:
    """Copy a bundle with other values of its device manifest."""
    shutil.copytree(bundle, to)
    restamp_device(to, **change)
    return to


def new_key() -> SigningKey:
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    return SigningKey(ed25519.Ed25519PrivateKey.generate())


def signed_device(device: Device, bundles: tuple[Path, Path], tmp_path: Path, key: SigningKey) -> Device:
    """Return a device that accepts only signed versions. It is shipped with the serial number 10, and not started."""
    signed = Device(tmp_path / "signed", device.cloud, device.server, key.public)
    signed.folder.mkdir()
    signed.shipped = changed(bundles[0], tmp_path / "v1", serial=10)
    return signed


def test_only_signed_versions_are_installed(device: Device, bundles: tuple[Path, Path], tmp_path: Path) -> None:
    key = new_key()
    signed = signed_device(device, bundles, tmp_path, key)
    with pytest.raises(SignatureError, match="is not signed"):
        signed.start()
    signed.models.close()
    assert signed.shipped is not None
    sign_bundle(signed.shipped, key)
    signed.start()
    assert signed.client.version_id == versions(device)[0]

    signed.turn(1)  # the offered version has no signature
    assert signed.happened() == ["offered", "refused"]
    assert "is not signed" in signed.seen[-1].detail
    assert not list((signed.folder / "models" / "downloads").iterdir())

    foreign = changed(bundles[1], tmp_path / "foreign", serial=20)
    sign_bundle(foreign, new_key())
    device.server.offer(foreign)
    signed.turn(1, ms=signed.config.check_ms)
    assert signed.happened()[-1] == "refused"
    assert "is not what the owner of the given public key signed" in signed.seen[-1].detail
    signed.stop()


def test_no_version_with_a_smaller_serial_number_is_installed(
    device: Device, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    key = new_key()
    signed = signed_device(device, bundles, tmp_path, key)
    assert signed.shipped is not None
    sign_bundle(signed.shipped, key)
    stale = changed(bundles[1], tmp_path / "stale", serial=9)
    sign_bundle(stale, key)
    device.server.offer(stale)
    signed.start()
    signed.turn(1)
    assert signed.happened()[-1] == "refused"
    assert "has the serial number 9, but this device has had 10" in signed.seen[-1].detail

    again = changed(bundles[1], tmp_path / "again", serial=11)  # what `edgerec export --serial` makes
    sign_bundle(again, key)
    device.server.offer(again)
    signed.turn(1, ms=signed.config.check_ms)
    signed.switch()
    assert signed.client.version_id == versions(device)[1]
    assert signed.models.state.highest_serial == 11
    signed.stop()


def test_without_a_key_an_older_version_can_come_back(
    device: Device, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    device.switch()
    assert device.models.state.highest_serial == read_device_manifest(bundles[1] / "device").serial > 0
    device.server.offer(changed(bundles[0], tmp_path / "older", serial=1))
    device.turn(1, ms=device.config.check_ms)
    device.switch()
    assert device.client.version_id == versions(device)[0]


def test_a_version_whose_models_cannot_be_loaded_is_refused(
    device: Device, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundles[1], broken)
    (broken / "device" / "crban.mnn").write_bytes(bytes(2000))
    restamp_device(broken)
    device.server.offer(broken)
    device.turn(2)
    assert device.happened() == ["offered", "installed", "refused"]
    assert "is not an MNN model" in device.seen[-1].detail
    device.scroll()
    assert device.client.version_id == versions(device)[0]
    device.server.offer(bundles[1])  # repaired: another offer
    device.turn(1, ms=device.config.check_ms)
    device.switch()
    assert device.client.version_id == versions(device)[1]


def test_another_version_than_the_offered_one_is_refused(device: Device, bundles: tuple[Path, Path]) -> None:
    device.server.offer(bundles[1])
    device.server.offered = "another"
    device.turn()
    assert device.happened() == ["offered", "refused"]
    assert "the cloud offered version another, but sent version" in device.seen[-1].detail


def test_a_version_that_ended_the_process_several_times_is_refused(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def crash(_: object) -> None:
        raise Killed

    for _ in range(device.config.tries):
        with monkeypatch.context() as patch:
            patch.setattr("edgerec.model_update.updater.prove_model", crash)
            patch.setattr(ModelFolder, "remember", keep_loading(ModelFolder.remember))
            with pytest.raises(Killed):
                device.turn()
        device.stop()
        device.start()
    device.turn()
    assert device.happened()[-1] == "refused"
    assert "the process ended 3 times while it loaded this version" in device.seen[-1].detail
    assert device.client.version_id == versions(device)[0]


def keep_loading(remember: Any) -> Any:
    """Leave out what a process that is killed does not write any more."""

    def kept(folder: ModelFolder, **change: Any) -> None:
        if change.get("loads") != 0:
            remember(folder, **change)

    return kept


def test_a_retired_version_makes_the_device_ask_at_once(device: Device) -> None:
    device.server.offered, device.server.files = None, {}
    device.scroll()
    device.turn(3)
    assert device.server.paths == ["/v1/model"]
    bundles = versions(device)
    device.cloud.served.remove(bundles[0])
    device.scroll()
    device.turn()
    assert len(device.server.paths) == 2  # long before the interval was over
    assert device.cloud.requests[-1] is None


def test_a_switch_that_fails_is_tried_again_later(device: Device) -> None:
    new = versions(device)[1]
    device.cloud.served.remove(new)
    device.turn(20)
    device.scroll(2)
    device.turn(1)
    assert device.happened()[:4] == ["offered", "installed", "preparing", "rolled_back"]
    assert device.client.version_id == versions(device)[0]
    device.cloud.served.add(new)
    device.turn(1, ms=device.config.retry_most_ms)
    device.switch()
    assert device.client.version_id == new
    assert device.updater.counts["installed"] == 1  # it was not downloaded again


def test_a_current_version_that_is_damaged_on_the_disk_is_left_out(device: Device) -> None:
    device.turn(5)
    device.stop()
    old, new = versions(device)
    (device.models.version_folder(old) / "device" / "crban.mnn").write_bytes(b"damaged")
    device.start()
    assert device.client.version_id == new
    device.stop()
    (device.models.version_folder(new) / "device" / "crban.mnn").write_bytes(b"damaged")
    device.shipped = None
    device.start()
    assert device.client.version_id is None  # pass-through: the cloud's order, until a version is downloaded
    device.scroll()
    device.switch()
    assert device.client.version_id == new


def test_a_damaged_state_loses_no_version(device: Device) -> None:
    device.stop()
    (device.folder / "models" / "state.json").write_text("{")
    device.start()
    assert device.client.version_id == versions(device)[0]


def test_one_process_opens_the_folder(device: Device) -> None:
    with pytest.raises(InputError, match="is open already"):
        ModelFolder(device.folder / "models")


def test_threads_update_a_running_client(device: Device) -> None:
    device.client.start()
    device.updater.start()
    for _ in range(300):
        device.client.refresh()
        device.client.wait(10)
        device.clock.now += 100
        if "switched" in device.happened():
            break
        device.updater._wake.acquire()
        device.updater._wake.wait(0.02)
        device.updater._wake.release()
    assert device.client.version_id == versions(device)[1]


def test_the_configuration_is_checked() -> None:
    with pytest.raises(ConfigurationError, match="`check_ms` should be a whole number above 0; received 0"):
        UpdateConfig(check_ms=0)
