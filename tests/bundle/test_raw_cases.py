"""`verify` starts from raw values: this machine's encoder makes the vectors that training's encoder made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.bundle.golden import read_case
from edgerec.bundle.manifest_file import read_cloud_manifest, read_device_manifest, write_manifest
from edgerec.bundle.raw_cases import RawRequest, read_raw, write_raw_case
from edgerec.bundle.verify import verify_bundle
from edgerec.core.errors import EdgeRecError, FormatError, ParityError
from tests.bundle.restamp import restamp, restamp_device
from tests.synthetic import LIMITS


@pytest.fixture
def exported(plus_path: Path) -> Path:
    return plus_path / "bundle"


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "bundle"))


def test_verify_encodes_raw_values_and_says_how_many(exported: Path) -> None:
    found = verify_bundle(exported)
    cases = [read_case(path, matching=True) for path in sorted((exported / "golden").glob("raw-*.npz"))]
    rows = sum(2 * length if name != "candidates" else length for c in cases for name, length in c.lengths().items())
    assert (found["raw_cases"], found["raw_rows"]) == (len(cases), rows)
    assert (found["raw_values"], found["raw_features"]) == ("valid", 18)
    assert [case.lengths() for case in cases][-1] == LIMITS
    # The cases have missing values and known behaviours, so relations and codes differ from row to row.
    assert (np.ptp(cases[-1].candidates, axis=0) > 0).sum() > 10


def test_a_bundle_without_context_and_relations_has_raw_cases(bundle_path: Path) -> None:
    found = verify_bundle(bundle_path)
    assert found["raw_cases"] == 3
    assert found["raw_rows"] > 2 * (LIMITS["exposures"] + LIMITS["page_views"]) + LIMITS["candidates"]


def test_a_bundle_of_an_earlier_version_passes(bundle: Path) -> None:
    for path in (bundle / "golden").glob("raw-*.npz"):
        path.unlink()
    restamp(bundle)
    found = verify_bundle(bundle)
    assert (found["golden_cases"], found["raw_values"], found["raw_cases"], found["raw_rows"]) == (
        13,
        "not checked",
        0,
        0,
    )


def _constant(bundle: Path, group: str, name: str, constant: str, change: Callable[[Any], Any]) -> None:
    """Change a constant of the encoder in all three manifests."""
    spec = read_device_manifest(bundle / "device").spec
    feature = next(feature for feature in spec[group] if feature["name"] == name)
    feature[constant] = change(feature[constant])
    cloud = bundle / "cloud"
    write_manifest(read_cloud_manifest(cloud).model_copy(update={"spec": spec}), cloud)
    restamp_device(bundle, spec=spec)
    restamp(bundle, spec=spec)


@pytest.mark.parametrize(
    ("group", "name", "constant", "change"),
    [
        ("item", "score", "mean", lambda mean: mean + 1e-6),
        ("item", "level", "values", lambda values: values[::-1]),
        ("ie_action", "duration", "boundaries", lambda boundaries: [1, 7]),
        ("ipv_action", "duration", "high", lambda high: high * 0.5),
        ("context", "length", "scale", lambda scale: scale * 1.001),
        ("context", "device", "values", lambda values: values[::-1]),
        ("relations", "views_of_shop", "scale", lambda scale: scale * 1.001),
        ("relations", "dwell", "mean", lambda mean: mean + 1e-5),
        ("relations", "seen", "relation", lambda rule: {**rule, "same": "shop"}),
    ],
)
def test_another_constant_of_the_encoder_is_found(
    bundle: Path, group: str, name: str, constant: str, change: Callable[[Any], Any]
) -> None:
    _constant(bundle, group, name, constant, change)
    with pytest.raises(ParityError, match=rf"feature {name} in row \d+ of .* should be .*, as in training; received"):
        verify_bundle(bundle)


def _damage(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the raw values of the last raw case."""
    path = bundle / "golden" / "raw-02.npz"
    with np.load(path) as members:
        arrays = dict(members)
    document = json.loads(arrays["raw"].tobytes())
    change(document)
    arrays["raw"] = np.frombuffer(json.dumps(document).encode(), np.uint8)
    np.savez(path, **arrays)
    restamp(bundle)


def _without_raw(bundle: Path) -> None:
    shutil.copy(bundle / "golden" / "case-12.npz", bundle / "golden" / "raw-02.npz")
    restamp(bundle)


FAULTS: dict[str, tuple[Callable[[Path], object], type[EdgeRecError], str]] = {
    "another value": (
        lambda bundle: _damage(bundle, lambda raw: raw["candidates"].update(score=[0.25] * 10)),
        ParityError,
        "feature score in row 0 of candidates",
    ),
    "another time": (
        lambda bundle: _damage(bundle, lambda raw: raw.update(time=raw["time"] + 100_000)),
        ParityError,
        "feature",
    ),
    "no raw values": (_without_raw, FormatError, "raw"),
    "no column": (
        lambda bundle: _damage(bundle, lambda raw: raw["candidates"].pop("shop")),
        FormatError,
        r"raw-02.npz does not fit the specification \(column 'shop' is missing\)",
    ),
    "no action": (
        lambda bundle: _damage(bundle, lambda raw: raw["exposures"]["action"].clear()),
        FormatError,
        "does not fit the specification",
    ),
    "a shorter column": (
        lambda bundle: _damage(bundle, lambda raw: raw["page_views"]["item"]["level"].pop()),
        FormatError,
        "column 'level' of page_views.item should have 4 values; received 3",
    ),
    "a time less": (
        lambda bundle: _damage(bundle, lambda raw: raw["page_views"]["time"].pop()),
        FormatError,
        "page_views should have 4 times; received 3",
    ),
    "times in disorder": (
        lambda bundle: _damage(bundle, lambda raw: raw["page_views"]["time"].reverse()),
        FormatError,
        "should ascend",
    ),
    "a list as a value": (
        lambda bundle: _damage(bundle, lambda raw: raw["candidates"].update(score=[[1]] * 10)),
        FormatError,
        "candidates.score",
    ),
    "an unknown field": (lambda bundle: _damage(bundle, lambda raw: raw.update(more=1)), FormatError, "more"),
    "another format": (lambda bundle: _damage(bundle, lambda raw: raw.update(format=2)), FormatError, "format 2"),
    "a huge time": (lambda bundle: _damage(bundle, lambda raw: raw.update(time=2**80)), FormatError, "time"),
    "no context": (
        lambda bundle: _damage(bundle, lambda raw: raw.update(context={})),
        FormatError,
        "absent key 'device'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_raw_values_are_an_error_of_one_line(bundle: Path, fault: str) -> None:
    damage, error, said = FAULTS[fault]
    damage(bundle)
    with pytest.raises(error, match=said) as caught:
        verify_bundle(bundle)
    assert "\n" not in str(caught.value).strip()


@settings(max_examples=100)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")  # NumPy and zipfile warn about damaged headers.
def test_a_damaged_raw_case_gives_a_format_error_or_raw_values(
    exported: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray((exported / "golden" / "raw-01.npz").read_bytes())
    for _ in range(data.draw(st.integers(1, 2))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(content)
    try:
        assert isinstance(read_raw(path), RawRequest)
    except FormatError:
        return


def test_raw_values_that_nothing_can_encode_give_no_raw_cases(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgerec.export import raw_requests
    from edgerec.model.runs import load_run

    def refuse(*arguments: Any, **more: Any) -> Any:
        raise FormatError("no values")

    monkeypatch.setattr(raw_requests, "random_series", refuse)
    assert raw_requests.raw_requests(load_run(exported.parent / "run"), {}) == []
    assert "so the bundle gets no golden cases that start from raw values" in capsys.readouterr().err


def test_raw_values_are_written_and_read_without_change(exported: Path, tmp_path: Path) -> None:
    for path in sorted((exported / "golden").glob("raw-*.npz")):
        write_raw_case(read_raw(path), read_case(path, matching=True), tmp_path / path.name)
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
