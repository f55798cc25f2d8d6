"""A bundle with files larger than any bundle needs is refused at once, even if its hashes match."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgerec.bundle.golden import read_case, write_case
from edgerec.bundle.inspection import inspect_bundle
from edgerec.bundle.load import load_device_model
from edgerec.bundle.manifest_file import read_bundle_manifest, read_device_manifest, write_manifest
from edgerec.bundle.tables import open_tables
from edgerec.bundle.verify import verify_bundle
from edgerec.core.errors import FormatError, ResourceError, SessionError
from edgerec.core.hashing import FileStamp
from edgerec.device_runtime.interpreter import MAX_MODEL_BYTES
from edgerec.device_runtime.session import Session
from tests.bundle.restamp import restamp

HUGE = 4 << 40
"""Four terabytes. A sparse file of this size takes no space on the disk."""


@pytest.fixture
def bundle(bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))


@pytest.mark.parametrize("size", [MAX_MODEL_BYTES + 1, HUGE])
def test_a_model_that_is_too_large_is_refused_before_it_is_read(bundle: Path, size: int) -> None:
    os.truncate(bundle / "device" / "crban.mnn", size)
    stamp = FileStamp(size=size, sha256="0" * 64)
    device = read_device_manifest(bundle / "device")
    write_manifest(device.model_copy(update={"files": {**device.files, "crban.mnn": stamp}}), bundle / "device")
    manifest = read_bundle_manifest(bundle)
    write_manifest(manifest.model_copy(update={"files": {**manifest.files, "device/crban.mnn": stamp}}), bundle)
    for load in (load_device_model, verify_bundle, inspect_bundle):
        with pytest.raises(FormatError, match=f"crban.mnn should have at most {MAX_MODEL_BYTES} bytes"):
            load(bundle)
    with pytest.raises(SessionError, match=f"should have at most {MAX_MODEL_BYTES} bytes"):
        Session(bundle / "device" / "crban.mnn")


@pytest.mark.parametrize("kind", ["exposure", "page_view"])
def test_a_golden_case_longer_than_the_limits_of_the_models_is_an_error(bundle: Path, kind: str) -> None:
    path = bundle / "golden" / "case-12.npz"
    case = read_case(path)
    action, item = getattr(case, f"{kind}_action"), getattr(case, f"{kind}_item")
    long = {f"{kind}_action": np.resize(action, (20_000, action.shape[1]))}
    write_case(replace(case, **long, **{f"{kind}_item": np.resize(item, (20_000, item.shape[1]))}), path)
    restamp(bundle)
    with pytest.raises(FormatError, match=rf"case-12.npz should have at most \d+ {kind}s; received 20000"):
        verify_bundle(bundle)


def test_the_error_of_a_full_disk_says_how_to_set_the_temporary_folder(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SessionError, match=r"No space left.*set TMPDIR") as caught:
        load_device_model(bundle)
    assert "--out" not in str(caught.value)


def test_too_little_memory_is_a_resource_error(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> bytes:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("edgerec.bundle.load.read_stamped", none)
        with pytest.raises(ResourceError, match="not enough memory"):
            load_device_model(bundle)
    monkeypatch.setattr("edgerec.kv.npz.map_members", none)
    with pytest.raises(ResourceError, match="not enough memory"):
        open_tables(bundle / "cloud")
