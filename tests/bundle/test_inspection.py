from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console

from edgerec.bundle.inspection import inspect_bundle
from edgerec.bundle.manifest import DEVICE_MODELS
from edgerec.bundle.manifest_file import read_bundle_manifest, read_device_manifest, sign_bundle
from edgerec.bundle.signing import SigningKey
from edgerec.cli.tables.bundles import inspection_table
from edgerec.core.errors import FormatError, IntegrityError, SignatureError
from edgerec.device_runtime.session import Session
from tests.bundle.restamp import restamp_device
from tests.mnn_models import built

KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def test_inspect_returns_sizes_parity_tables_and_tools(bundle_path: Path) -> None:
    found = inspect_bundle(bundle_path)
    manifest = read_bundle_manifest(bundle_path)
    assert found["version_id"] == manifest.version_id
    assert (found["precision"], found["created"]) == ("fp32", "2025-01-01T00:00:00Z")
    assert found["limits"] == read_device_manifest(bundle_path / "device").limits
    on_disk = {
        part: sum(path.stat().st_size for path in (bundle_path / part).rglob("*") if path.is_file())
        for part in ("device", "cloud", "golden")
    }
    assert found["sizes"] == {**on_disk, "manifest.json": (bundle_path / "manifest.json").stat().st_size}
    assert (found["device_bytes"], found["cloud_bytes"]) == (on_disk["device"], on_disk["cloud"])
    assert found["parity"]["max_abs_error"] == manifest.parity.max_abs_error
    assert found["gauc"].keys() == {"keras", "mnn"}
    assert found["tools"].keys() >= {"edgerec", "tensorflow", "keras", "numpy", "onnx", "onnxruntime", "MNN", "python"}
    table = found["tables"]["shop"]
    shards = list((bundle_path / "cloud" / "embeddings" / "shop").iterdir())
    assert (table["shards"], table["bytes"]) == (len(shards), sum(path.stat().st_size for path in shards))


def test_inspect_returns_the_commands_that_mnn_runs(bundle_path: Path) -> None:
    models = inspect_bundle(bundle_path)["models"]
    assert sorted(models) == sorted(DEVICE_MODELS)
    for name, model in models.items():
        session = Session(bundle_path / "device" / f"{name}.mnn")
        assert model["bytes"] == (bundle_path / "device" / f"{name}.mnn").stat().st_size
        assert {key: tuple(shape) for key, shape in model["inputs"].items()} == session.inputs
        assert {key: tuple(shape) for key, shape in model["outputs"].items()} == session.outputs
        assert model["commands"] == sum(model["ops"].values())
        assert 0 < model["operations"] < model["commands"]
    # A step model has two stacks of two GRU layers, and the ranker has one stack of two. Each layer is one operation of
    # MNN, not a loop.
    assert models["hubsm_ie"]["ops"]["RNNSequenceGRU"] == models["hubsm_ipv"]["ops"]["RNNSequenceGRU"] == 4
    assert models["crban"]["ops"]["RNNSequenceGRU"] == 2


def test_counting_commands_does_not_change_later_runs() -> None:
    session = Session(built().ie)
    inputs = {name: np.full(shape, 0.25, np.float32) for name, shape in session.inputs.items()}
    before = session.run(**inputs)
    first = session.commands()
    assert first == session.commands()
    assert [kind for kind, _ in first].count("RNNSequenceGRU") == 6
    after = session.run(**inputs)
    for name, array in before.items():
        assert (array == after[name]).all()


def test_inspect_says_which_parts_are_signed_and_whether_signatures_were_checked(
    bundle_path: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    assert inspect_bundle(bundle)["signature"] == {
        "signed": False,
        "parts": {"bundle": False, "device": False, "cloud": False},
        "checked": False,
    }
    with pytest.raises(SignatureError, match="is not signed"):
        inspect_bundle(bundle, public_key=KEY.public)
    sign_bundle(bundle, KEY)
    for key in (None, KEY.public):
        assert inspect_bundle(bundle, public_key=key)["signature"] == {
            "signed": True,
            "parts": {"bundle": True, "device": True, "cloud": True},
            "checked": key is not None,
        }
    (bundle / "cloud" / "manifest.json.sig").write_bytes(bytes(64))
    with pytest.raises(SignatureError, match="cloud"):
        inspect_bundle(bundle, public_key=KEY.public)
    (bundle / "device" / "manifest.json.sig").unlink()
    found = inspect_bundle(bundle)["signature"]
    assert (found["signed"], found["parts"]["device"], found["parts"]["cloud"]) == (False, False, True)


def test_the_printed_table_has_all_sections(bundle_path: Path) -> None:
    document = inspect_bundle(bundle_path)
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(inspection_table(document))
    text = captured.get()
    for word in (document["version_id"], "not signed", "RNNSequenceGRU", "shop", "tensorflow", "candidates (10, 1,"):
        assert word in text
    assert "{" not in text


def test_inspect_refuses_a_faulty_bundle(bundle_path: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is not a folder"):
        inspect_bundle(tmp_path / "nothing")
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    restamp_device(bundle, version_id="20250101000000-000000000000")
    with pytest.raises(FormatError, match="received that of version 20250101000000-000000000000"):
        inspect_bundle(bundle)
    (bundle / "device" / "crban.mnn").write_bytes(b"")
    with pytest.raises(IntegrityError, match="0 bytes instead of"):
        inspect_bundle(bundle)
