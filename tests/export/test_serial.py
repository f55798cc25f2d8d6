"""The serial number of the device half: that of the training by default, so that the same run has the same number."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerec import export_bundle
from edgerec.bundle.inspection import inspect_bundle
from edgerec.bundle.manifest_file import read_device_manifest
from edgerec.core.errors import InputError
from edgerec.export.bundle import serial_of


def test_the_serial_number_is_the_time_of_the_training(bundle_path: Path) -> None:
    manifest = read_device_manifest(bundle_path / "device")
    assert manifest.serial == int(manifest.version_id[:14]) == serial_of(manifest.version_id)
    assert inspect_bundle(bundle_path)["serial"] == manifest.serial


@pytest.mark.parametrize("version_id", ["v1", "", "2026-abc", "2026112913553-a", "²0261129135533-a"])
def test_a_version_without_a_time_has_the_number_0(version_id: str) -> None:
    assert serial_of(version_id) == 0


@pytest.mark.parametrize("serial", [-1, 2**63, True, "7"])
def test_a_wrong_serial_number_is_refused_before_any_work(serial: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--serial should be"):
        export_bundle(tmp_path / "none", tmp_path / "out", serial=serial)


@pytest.mark.slow
def test_an_older_model_can_be_issued_again(run_path: Path, tmp_path: Path, short_parity_check: None) -> None:
    export_bundle(run_path, tmp_path / "again", requests=2, serial=2**63 - 1)
    assert read_device_manifest(tmp_path / "again" / "device").serial == 2**63 - 1
