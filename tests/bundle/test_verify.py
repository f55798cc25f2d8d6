from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.bundle.files import stamp_files
from edgerec.bundle.golden import GoldenCase, read_case, run_case, write_case
from edgerec.bundle.load import load_device_model
from edgerec.bundle.manifest import Parity
from edgerec.bundle.manifest_file import read_bundle_manifest, read_cloud_manifest, read_device_manifest, write_manifest
from edgerec.bundle.verify import verify_bundle
from edgerec.core.errors import EdgeRecError, FormatError, ParityError
from edgerec.device_runtime.device_model import encode_behaviours
from edgerec.features.behaviours import EXPOSURE
from edgerec.kv.npz import open_table
from edgerec.kv.shard_writer import write_shards
from tests.bundle.restamp import restamp, restamp_device


@pytest.fixture
def bundle(bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))


def test_verify_returns_the_results_of_a_valid_bundle(bundle_path: Path) -> None:
    found = verify_bundle(bundle_path)
    manifest = read_bundle_manifest(bundle_path)
    assert found["golden_cases"] == 13
    assert found["parity_max_abs"] < 1e-5 < found["tolerance"] == 1e-4
    assert found["files"] == len(manifest.files)
    sizes = {name: stamp.size for name, stamp in manifest.files.items()}
    assert found["device_bytes"] == sum(size for name, size in sizes.items() if name.startswith("device/"))
    assert found["cloud_bytes"] == sum(size for name, size in sizes.items() if name.startswith("cloud/"))
    assert found["version_id"] == manifest.version_id


def test_golden_cases_cover_the_lengths_up_to_the_limits(bundle_path: Path) -> None:
    limits = read_device_manifest(bundle_path / "device").limits
    cases = [read_case(path) for path in sorted((bundle_path / "golden").glob("case-*.npz"))]
    lengths = {(len(case.exposure_action), len(case.page_view_action), len(case.candidates)) for case in cases}
    assert {length[0] for length in lengths} >= {0, 1, 2, limits["exposures"]}
    assert (limits["exposures"], limits["page_views"], limits["candidates"]) in lengths
    for case in cases:
        assert (case.candidates < 0).any() or len(case.candidates) == 1


def test_a_golden_case_is_written_and_read_without_change(bundle_path: Path, tmp_path: Path) -> None:
    case = read_case(bundle_path / "golden" / "case-12.npz")
    write_case(case, tmp_path / "a.npz")
    write_case(read_case(tmp_path / "a.npz"), tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (tmp_path / "a.npz").read_bytes() == (bundle_path / "golden" / "case-12.npz").read_bytes()


def test_encode_behaviours_equals_single_steps(bundle_path: Path) -> None:
    model = load_device_model(bundle_path)
    case = read_case(bundle_path / "golden" / "case-12.npz")
    whole = encode_behaviours(model.steppers[EXPOSURE], case.exposure_action, case.exposure_item)
    state = model.steppers[EXPOSURE].initial_state()
    for at in range(len(case.exposure_action)):
        key, value, state = model.steppers[EXPOSURE].step(case.exposure_action[at], case.exposure_item[at], state)
        np.testing.assert_array_equal(key, whole.keys[at])
        np.testing.assert_array_equal(value, whole.values[at])
    assert len(whole.keys) == len(case.exposure_action) >= 2
    np.testing.assert_allclose(run_case(model, case), case.logits, atol=1e-5)


def _case(bundle: Path, **change: Callable[[np.ndarray], np.ndarray]) -> None:
    path = bundle / "golden" / "case-12.npz"
    case = read_case(path)
    write_case(replace(case, **{name: f(getattr(case, name)) for name, f in change.items()}), path)
    restamp(bundle)


def test_the_relative_part_of_the_tolerance_is_used(bundle: Path) -> None:
    """Each logit is changed by 9e-5 plus 0.09 % of its own size. Only a relative tolerance accepts the second part."""
    _case(bundle, logits=lambda logits: logits + np.float32(9e-5) + np.float32(9e-4) * np.abs(logits))
    parity = read_bundle_manifest(bundle).parity
    restamp(bundle, parity=parity.model_copy(update={"relative_tolerance": 1e-3}))
    assert verify_bundle(bundle)["relative_tolerance"] == 1e-3
    restamp(bundle, parity=Parity.model_validate(parity.model_dump(exclude={"relative_tolerance"})))
    assert read_bundle_manifest(bundle).parity.relative_tolerance == 0
    with pytest.raises(ParityError, match=r"a difference of at most 0\.0001"):
        verify_bundle(bundle)


def _shapes(bundle: Path, model: str, side: str, **shapes: tuple[int, ...]) -> None:
    """Change the shapes of a model in both manifests."""
    models = dict(read_device_manifest(bundle / "device").models)
    stated = models[model]
    models[model] = stated.model_copy(update={side: {**getattr(stated, side), **shapes}})
    restamp_device(bundle, models=models)


def _spec(bundle: Path, group: str, change: Callable[[list[Any]], object]) -> None:
    spec = read_device_manifest(bundle / "device").spec
    change(spec[group])
    restamp_device(bundle, spec=spec)


def _smaller_table(bundle: Path) -> None:
    folder = bundle / "cloud" / "embeddings" / "shop"
    table = open_table(folder)
    keys, values = (np.concatenate(part) for part in zip(*table.blocks(), strict=True))
    # The arrays are mapped from the files. They stay valid after the files are removed.
    shutil.rmtree(folder)
    shards = len(read_cloud_manifest(bundle / "cloud").files)
    write_shards(folder, keys[:shards], [values[:shards]], table.unknown, shard_rows=1)
    cloud = bundle / "cloud"
    files = stamp_files(cloud, cloud.rglob("*.npz"))
    write_manifest(read_cloud_manifest(cloud).model_copy(update={"files": files}), cloud)
    restamp(bundle)


def _number(bundle: Path, bad: float) -> None:
    """Write the number `bad` into a table, and update the hashes."""
    cloud = bundle / "cloud"
    file = min((cloud / "embeddings" / "shop").iterdir())
    with np.load(file) as members:
        arrays = dict(members)
    arrays["values"][0, 0] = bad
    np.savez(file, **arrays)
    files = stamp_files(cloud, cloud.rglob("*.npz"))
    write_manifest(read_cloud_manifest(cloud).model_copy(update={"files": files}), cloud)
    restamp(bundle)


def _without_cases(bundle: Path) -> None:
    for path in (bundle / "golden").glob("case-*.npz"):
        path.unlink()
    restamp(bundle)


def _not_an_archive(bundle: Path) -> None:
    with (bundle / "golden" / "case-12.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    restamp(bundle)


def _exchanged(bundle: Path) -> None:
    ie, ipv = (bundle / "device" / f"hubsm_{kind}.mnn" for kind in ("ie", "ipv"))
    one, other = ie.read_bytes(), ipv.read_bytes()
    ie.write_bytes(other)
    ipv.write_bytes(one)
    restamp_device(bundle)


FAULTS: dict[str, tuple[Callable[[Path], object], type[EdgeRecError], str]] = {
    "another logit": (
        lambda bundle: _case(bundle, logits=lambda a: a + np.float32(2e-4) * (np.arange(len(a)) == 3)),
        ParityError,
        r"case-12\.npz: candidate 3 should score .*, as in training",
    ),
    "a logit that is NaN": (
        lambda bundle: _case(bundle, logits=lambda a: np.where(np.arange(len(a)) == 3, np.nan, a).astype("f4")),
        ParityError,
        "candidate 3 should score nan, as in training",
    ),
    "another behaviour": (lambda bundle: _case(bundle, exposure_item=lambda a: a * 2), ParityError, "candidate"),
    "one logit for all": (lambda bundle: _case(bundle, logits=lambda a: a[:1]), FormatError, "received 10 and 1"),
    "fewer actions": (
        lambda bundle: _case(bundle, exposure_action=lambda a: a[1:]),
        FormatError,
        "exposure_action and exposure_item should have equal lengths; received 7 and 8",
    ),
    "no candidate": (
        lambda bundle: _case(bundle, logits=lambda a: a[:0], candidates=lambda a: a[:0]),
        FormatError,
        "should have a candidate",
    ),
    "other features": (lambda bundle: _case(bundle, candidates=lambda a: a[:, 1:]), FormatError, "does not fit the"),
    "other type": (
        lambda bundle: _case(bundle, logits=lambda a: a.astype("f8")),
        FormatError,
        "logits should be float32 .* received float64",
    ),
    "no cases": (_without_cases, FormatError, "no golden case"),
    "no archive": (_not_an_archive, FormatError, "cannot be read"),
    "a table of another version": (
        _smaller_table,
        FormatError,
        r"shop should have \d+ keys of .*, as the manifest states",
    ),
    "NaN in a table": (lambda bundle: _number(bundle, np.nan), FormatError, "values has a NaN or infinite number"),
    "an infinite number in a table": (lambda bundle: _number(bundle, -np.inf), FormatError, "a NaN or infinite number"),
    "a device half of another version": (
        lambda bundle: restamp_device(bundle, version_id="20250101000000-0123456789ab"),
        FormatError,
        "received that of version 20250101000000-0123456789ab",
    ),
    "other limits": (
        lambda bundle: restamp_device(bundle, limits={"candidates": 11, "exposures": 20, "page_views": 8}),
        FormatError,
        "do not fit together",
    ),
    "encoders exchanged": (_exchanged, FormatError, r"inputs of .*hubsm_ie\.mnn should be .*; received a model with"),
    "another input shape": (
        lambda bundle: _shapes(bundle, "hubsm_ie", "inputs", state=(4, 1, 9)),
        FormatError,
        r"inputs of .*hubsm_ie\.mnn should be .*\(4, 1, 9\).*; received a model with .*\(4, 1, 8\)",
    ),
    "an input more": (
        lambda bundle: _shapes(bundle, "hubsm_ipv", "inputs", more=(1,)),
        FormatError,
        r"inputs of .*hubsm_ipv\.mnn should be .*more",
    ),
    "another output shape": (
        lambda bundle: _shapes(bundle, "crban", "outputs", logits=(3, 1)),
        FormatError,
        r"outputs of .*crban\.mnn should be .*\(3, 1\)",
    ),
    "an action feature less": (
        lambda bundle: _spec(bundle, "ie_action", lambda features: features.pop()),
        FormatError,
        r"features of ie_action have \d+ numbers; received a model that reads \d+",
    ),
    "an item feature twice": (
        lambda bundle: _spec(bundle, "item", lambda features: features.append({**features[0], "name": "again"})),
        FormatError,
        "features of item have",
    ),
    "no specification": (
        lambda bundle: _spec(bundle, "ipv_action", lambda features: features.clear()),
        FormatError,
        "specification: manifest.json: ipv_action",
    ),
    "no bundle": (lambda bundle: shutil.rmtree(bundle), FormatError, "is not a folder"),
    "no device half": (lambda bundle: shutil.rmtree(bundle / "device"), FormatError, "is missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_bundle_is_an_error_of_one_line(bundle: Path, fault: str) -> None:
    damage, error, said = FAULTS[fault]
    damage(bundle)
    with pytest.raises(error, match=said) as caught:
        verify_bundle(bundle)
    assert "\n" not in str(caught.value).strip()


@settings(max_examples=150)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")  # NumPy and zipfile warn about damaged headers.
def test_a_damaged_golden_case_gives_a_format_error_or_a_valid_case(
    bundle_path: Path, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray((bundle_path / "golden" / "case-03.npz").read_bytes())
    for _ in range(data.draw(st.integers(1, 2))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "case.npz").write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    try:
        case = read_case(tmp_path / "case.npz")
    except FormatError:
        return
    assert isinstance(case, GoldenCase)
    assert len(case.logits) == len(case.candidates) > 0


def test_tables_of_another_version_are_refused(bundle_path: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(bundle_path, bundle)
    cloud = read_cloud_manifest(bundle / "cloud")
    assert cloud.version_id == read_bundle_manifest(bundle).version_id
    shards = {path.relative_to(bundle / "cloud").as_posix() for path in (bundle / "cloud").rglob("*.npz")}
    assert set(cloud.files) == shards
    write_manifest(cloud.model_copy(update={"version_id": "another"}), bundle / "cloud")
    restamp(bundle)
    with pytest.raises(FormatError, match="received those of version another"):
        verify_bundle(bundle)
