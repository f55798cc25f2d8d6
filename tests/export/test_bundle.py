from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgerec.bundle.files import stamp_files
from edgerec.bundle.load import load_device_model
from edgerec.bundle.manifest import DEVICE_MODELS
from edgerec.bundle.manifest_file import read_bundle_manifest, read_device_manifest, write_manifest
from edgerec.bundle.signing import SigningKey
from edgerec.bundle.tables import open_tables
from edgerec.bundle.verify import verify_bundle
from edgerec.core.errors import (
    ConversionError,
    EdgeRecError,
    FormatError,
    InputError,
    IntegrityError,
    OutputError,
    SpecificationError,
)
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import write_logs
from edgerec.export import bundle, halves
from edgerec.export.bundle import export_bundle
from edgerec.export.parity import TOLERANCE
from edgerec.export.peers import check_peers
from edgerec.model.runs import Run, load_run
from edgerec.rankers.ranker import Ranker
from tests.random_runs import of_model
from tests.synthetic import LIMITS, make_logs


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_manifest_lists_all_files_and_equals_the_run(bundle_path: Path, run_path: Path) -> None:
    manifest = read_bundle_manifest(bundle_path)
    assert sorted([*manifest.files, "manifest.json"]) == files_of(bundle_path)
    assert {f"device/{name}.mnn" for name in DEVICE_MODELS} | {"device/manifest.json"} == {
        name for name in manifest.files if name.startswith("device/")
    }
    shards = manifest.tables["shop"].shards
    assert sum(name.startswith("cloud/embeddings/shop/shard-") for name in manifest.files) == shards > 1
    assert sum(name.startswith("golden/case-") for name in manifest.files) == 13
    assert sum(name.startswith("golden/onnx/") for name in manifest.files) == 6
    device = read_device_manifest(bundle_path / "device")
    assert sorted([*device.files, "manifest.json"]) == files_of(bundle_path / "device")

    head = load_run(run_path).head
    assert {manifest.version_id, device.version_id} == {head.version_id}
    assert device.spec == manifest.spec == head.spec.model_dump(mode="json")
    assert device.models == manifest.models
    assert device.limits == head.limits.model_dump()
    assert manifest.created == "2025-01-01T00:00:00Z"
    assert manifest.parity.max_abs_error == max(manifest.parity.checks.values()) < 1e-5
    assert manifest.parity.checks.keys() == {"random_mnn", "random_onnx", "long_mnn", "long_onnx", "real_mnn"}
    assert manifest.parity.orders_equal == manifest.parity.requests > 20


@pytest.mark.usefixtures("eager")
def test_tables_in_half_precision_and_small_shards(run_path: Path, bundle_path: Path, tmp_path: Path) -> None:
    manifest = export_bundle(run_path, tmp_path / "half", requests=25, table_dtype="float16", shard_rows=3).manifest
    assert verify_bundle(tmp_path / "half")["golden_cases"] == 13
    whole, half = (open_tables(path / "cloud").tables["shop"] for path in (bundle_path, tmp_path / "half"))
    assert (half.entry.dtype, whole.entry.dtype) == ("float16", "float32")
    assert half.entry.shards == -(-whole.entry.keys // 3) > 1
    keys = np.concatenate([keys for keys, _ in whole.blocks()] + [np.array([10**9])])
    rows, known = half.get_many(keys)
    assert known.tolist() == [True] * (len(keys) - 1) + [False]
    np.testing.assert_array_equal(rows, whole.get_many(keys).rows.astype(np.float16))
    # The parity check reads rows that are not rounded. The manifest states the effect of rounding.
    assert manifest.precision == "fp32"
    assert manifest.parity.max_abs_error < 1e-5 < manifest.precisions["fp32"].drift < 0.01
    assert manifest.parity.tolerance == TOLERANCE


@pytest.mark.slow
@pytest.mark.usefixtures("short_parity_check")
def test_two_exports_have_equal_bytes(
    run_path: Path, bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1735689600")
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    export_bundle(run_path, tmp_path / "again", requests=5, shard_rows=3, sign_key=key)
    assert verify_bundle(tmp_path / "again", public_key=key.public)["signature"] == "valid"
    signatures = [f"{part}manifest.json.sig" for part in ("", "cloud/", "device/")]
    assert files_of(tmp_path / "again") == sorted([*files_of(bundle_path), *signatures])
    different = [
        name
        for name in files_of(bundle_path)
        if (tmp_path / "again" / name).read_bytes() != (bundle_path / name).read_bytes()
    ]
    # The parity check of the shared bundle has more cases and requests, so the results in the two manifests may differ.
    assert different in ([], ["manifest.json"])
    one, other = (read_bundle_manifest(path) for path in (bundle_path, tmp_path / "again"))
    assert one.model_copy(update={"parity": other.parity, "gauc": other.gauc}) == other


def test_invalid_arguments_are_an_error_before_any_work(
    run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_logs(make_logs(seed=9), tmp_path / "logs")
    write_samples(tmp_path / "logs", tmp_path / "samples", limits=LIMITS)
    (tmp_path / "there").mkdir()
    shutil.copytree(run_path, tmp_path / "no-weights", ignore=shutil.ignore_patterns("*.h5"))
    attempts: list[tuple[type[EdgeRecError], str, Path, dict[str, object]]] = [
        (InputError, "--requests should be a whole number of at least 1", run_path, {"requests": 0}),
        (
            InputError,
            "`precision` should be one of fp32, fp16, int8, auto; received fp8",
            run_path,
            {"precision": "fp8"},
        ),
        (
            InputError,
            "`table_dtype` should be one of float32, float16; received int8",
            run_path,
            {"table_dtype": "int8"},
        ),
        (InputError, "--shard-rows should be a whole number of at least 1", run_path, {"shard_rows": 0}),
        (FormatError, "run: .* is not a folder", tmp_path / "nothing", {}),
        (FormatError, "samples: .* is not a folder", run_path, {"samples_path": tmp_path / "nothing"}),
        # The samples are checked before the weights are read.
        (SpecificationError, "do not fit run", tmp_path / "no-weights", {"samples_path": tmp_path / "samples"}),
    ]
    before = files_of(tmp_path)
    for error, said, run, more in attempts:
        with pytest.raises(error, match=said):
            export_bundle(run, tmp_path / "bundle", **more)  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="exists already"):
        export_bundle(run_path, tmp_path / "there")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(InputError, match="SOURCE_DATE_EPOCH should be seconds since 1970; received 'yesterday'"):
        export_bundle(run_path, tmp_path / "bundle")
    assert files_of(tmp_path) == before
    assert not (tmp_path / "bundle").exists()


def test_a_changed_byte_in_any_file_is_an_error(bundle_path: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    for name in files_of(bundle):
        whole = (bundle / name).read_bytes()
        for index in (0, len(whole) // 2, len(whole) - 1):
            content = bytearray(whole)
            content[index] ^= 0x01
            (bundle / name).write_bytes(content)
            with pytest.raises(FormatError):
                verify_bundle(bundle)
        (bundle / name).write_bytes(whole[:-1])
        with pytest.raises(FormatError):
            verify_bundle(bundle)
        (bundle / name).unlink()
        with pytest.raises(FormatError, match=r"missing|has no manifest\.json"):
            verify_bundle(bundle)
        (bundle / name).write_bytes(whole)
    assert verify_bundle(bundle) == verify_bundle(bundle_path)


def test_the_device_half_is_checked_without_the_rest(bundle_path: Path, tmp_path: Path) -> None:
    """A phone that has only the folder `device/` still detects every changed byte."""
    shutil.copytree(bundle_path / "device", tmp_path / "device")
    assert load_device_model(tmp_path).version_id == read_bundle_manifest(bundle_path).version_id
    for name in files_of(tmp_path / "device"):
        path = tmp_path / "device" / name
        whole = path.read_bytes()
        path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
        with pytest.raises(FormatError):
            load_device_model(tmp_path)
        path.unlink()
        with pytest.raises(FormatError):
            load_device_model(tmp_path)
        path.write_bytes(whole)


def reseal(bundle: Path) -> None:
    """Update the hashes of a bundle that a test has changed."""
    folder = bundle / "device"
    device = read_device_manifest(folder)
    write_manifest(device.model_copy(update={"files": stamp_files(folder, folder.glob("*.mnn"))}), folder)
    manifest = read_bundle_manifest(bundle)
    files = [path for path in bundle.rglob("*") if path.is_file() and path != bundle / "manifest.json"]
    write_manifest(manifest.model_copy(update={"files": stamp_files(bundle, files)}), bundle)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "text": lambda content: b"not a model at all" * 100,
    "half": lambda content: content[: len(content) // 2],
    "middle overwritten": lambda content: content[:200] + b"\xff" * (len(content) - 400) + content[-200:],
    "zeros": lambda content: bytes(len(content)),
}


def test_a_damaged_model_is_an_error_and_does_not_crash(bundle_path: Path, tmp_path: Path) -> None:
    """The hashes are updated, so MNN gets the damaged model. A child process loads it: a crash would end the test."""
    script = (
        "import sys; from pathlib import Path\n"
        "from edgerec.core.errors import SessionError\n"
        "from edgerec.bundle.verify import verify_bundle\n"
        "for folder in sys.argv[1:]:\n"
        "    try: verify_bundle(Path(folder)); print('passed')\n"
        "    except SessionError as error: print('SessionError', str(error).count(chr(10)))\n"
    )
    bundles = []
    for name, damage in DAMAGES.items():
        bundle = Path(shutil.copytree(bundle_path, tmp_path / name))
        model = bundle / "device" / "crban.mnn"
        model.write_bytes(damage(model.read_bytes()))
        reseal(bundle)
        bundles.append(str(bundle))
    swapped = Path(shutil.copytree(bundle_path, tmp_path / "swapped"))
    shutil.copy(bundle_path / "device" / "hubsm_ie.mnn", swapped / "device" / "crban.mnn")
    reseal(swapped)
    done = subprocess.run(
        [sys.executable, "-c", script, *bundles, str(swapped)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    # MNN also prints lines to stdout.
    assert [line for line in done.stdout.splitlines() if line.startswith("SessionError")] == ["SessionError 0"] * 6
    assert "passed" not in done.stdout


def test_another_format_number_is_an_error(bundle_path: Path, tmp_path: Path) -> None:
    for part in ("manifest.json", "device/manifest.json"):
        bundle = Path(shutil.copytree(bundle_path, tmp_path / part.replace("/", "-")))
        document = json.loads((bundle / part).read_text())
        (bundle / part).write_text(json.dumps({**document, "format": 2}))
        read = verify_bundle if part == "manifest.json" else load_device_model
        with pytest.raises(FormatError, match="has format 2, but this version of EdgeRec reads format 1"):
            read(bundle)
        with pytest.raises(IntegrityError if part != "manifest.json" else FormatError):
            verify_bundle(bundle)


def test_only_the_papers_model_has_peers(run_path: Path) -> None:
    check_peers(load_run(run_path).model)
    with pytest.raises(InputError, match="--peers is only for the model crban; received crban_din"):
        check_peers(of_model(load_run(run_path), "crban_din").model)


def _reset_before(run: Run) -> Run:
    run.model.ranker.candidate_stack.grus[1].cell.reset_after = False
    return run


def _unknown_layer(run: Run) -> Run:
    return replace(
        run, model=SimpleNamespace(behaviour_kinds=(), settings=run.model.settings, ranker=Ranker(name="odd"))
    )


def _nan_weight(run: Run) -> Run:
    run.model.ranker.hidden.bias.assign(run.model.ranker.hidden.bias * np.nan)
    return run


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_reset_before, "reset_after should be True for MNN; received False"),
        (_unknown_layer, "there is no device graph for Ranker"),
        (_nan_weight, "run has weights that a device cannot compute with .* should be finite.*: train it again"),
    ],
)
def test_a_model_that_a_device_cannot_compute_is_refused_before_conversion(
    change: Callable[[Run], Run], said: str, run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "load_run", lambda path: change(load_run(path)))
    monkeypatch.setattr(halves, "convert_to_mnn", lambda *_, **__: pytest.fail("a model was converted"))
    with pytest.raises(ConversionError, match=said) as caught:
        export_bundle(run_path, tmp_path / "bundle", requests=5)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_feature_kind_is_refused_before_conversion(
    run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(run_path, tmp_path / "run"))
    document = json.loads((run / "run.json").read_text())
    document["spec"]["item"][0]["kind"] = "hashed"
    (run / "run.json").write_text(json.dumps(document))
    monkeypatch.setattr(halves, "convert_to_mnn", lambda *_, **__: pytest.fail("a model was converted"))
    with pytest.raises(FormatError, match=r"spec\.item\.0 .*kind is one of bucketize, .* 'hashed'") as caught:
        export_bundle(run, tmp_path / "bundle")
    assert "\n" not in str(caught.value)


def test_the_device_folder_is_refused_as_a_whole_bundle(bundle_path: Path) -> None:
    with pytest.raises(FormatError, match=r"received 'device'.*: give the folder of a whole bundle"):
        read_bundle_manifest(bundle_path / "device")
