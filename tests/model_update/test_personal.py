"""The head of personal patches comes to a device with a model version, as all its files do."""

from __future__ import annotations

from pathlib import Path

from edgerec.bundle.layout import PERSONAL_HEAD
from edgerec.bundle.load import load_device_model
from edgerec.bundle.manifest_file import read_bundle_manifest, sign_bundle
from edgerec.bundle.whole import check_whole, copy_bundle
from edgerec.cloud.device_files import read_device_files
from tests.bundle.restamp import restamp_device
from tests.device_runtime.version_cloud import VersionCloud
from tests.model_update.model_server import model_server
from tests.model_update.test_updater import Device, new_key


def test_the_server_hands_out_the_head_and_a_device_installs_it(
    personal_path: Path, plus_path: Path, tmp_path: Path
) -> None:
    # The versions folder of a server has such a copy.
    served = tmp_path / "served"
    key = new_key()
    copy_bundle(personal_path, read_bundle_manifest(personal_path), served)
    restamp_device(served, serial=2)
    sign_bundle(served, key)
    check_whole(served, public_key=key.public)
    path = f"device/{PERSONAL_HEAD}"
    files = read_device_files(served, public_key=key.public)
    assert path in [one["path"] for one in files.offer()]
    old = tmp_path / "old"
    copy_bundle(plus_path / "bundle", read_bundle_manifest(plus_path / "bundle"), old)
    restamp_device(old, serial=1)
    sign_bundle(old, key)
    with model_server() as server:
        server.offered = files.version_id
        server.files = {name: file.content for name, file in files.files.items()}
        (tmp_path / "device").mkdir()
        device = Device(tmp_path / "device", VersionCloud(old, served), server, key.public)
        device.shipped = old
        device.start()
        try:
            assert device.client.version_id != files.version_id
            server.damage = (path, 100)
            device.switch()
            assert device.client.version_id != files.version_id
            server.damage = None
            device.turn(1, ms=device.config.retry_most_ms)
            device.switch()
            assert device.client.version_id == files.version_id
            found = device.models.open(files.version_id).personal
        finally:
            device.stop()
    expected = load_device_model(personal_path).personal
    assert found is not None
    assert expected is not None
    assert found.to_bytes() == expected.to_bytes()
