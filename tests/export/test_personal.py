"""`edgerec export --personal`: the head of personal patches in a bundle, what is checked, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.bundle.golden import read_case, run_case, run_scored, write_case
from edgerec.bundle.inspection import inspect_bundle
from edgerec.bundle.layout import PERSONAL_HEAD
from edgerec.bundle.load import load_bundle, load_device_model
from edgerec.bundle.manifest import RANKING_MODEL
from edgerec.bundle.manifest_file import read_device_manifest
from edgerec.bundle.verify import verify_bundle
from edgerec.cli.tables.bundles import inspection_table
from edgerec.core.errors import ConversionError, EdgeRecError, FormatError, InputError, IntegrityError, ParityError
from edgerec.core.written import layout_of
from edgerec.data.samples import Samples
from edgerec.export.bundle import export_bundle
from edgerec.export.personal_check import check_activations, check_head
from edgerec.export.split import split
from edgerec.model.personalization.on_device import check_patches
from edgerec.model.runs import Run, load_run
from edgerec.personalization.head import MAX_BYTES, PersonalHead
from edgerec.personalization.head_file import load_personal_head
from tests.bundle.restamp import restamp, restamp_device
from tests.cli.test_mixing_tables import printed
from tests.command_line import edgerec_here, error_line
from tests.personalization.heads import a_head


@pytest.fixture(scope="module")
def run(run_path: Path) -> Run:
    return load_run(run_path)


def head_of(run: Run, *, more: int = 0, version_id: str | None = None) -> PersonalHead:
    settings = run.model.settings
    inputs = settings.units + settings.candidate_width + more
    return a_head(inputs=inputs, version_id=version_id or run.head.version_id)


def test_a_bundle_has_the_head_and_the_hidden_layer_if_asked(personal_path: Path, bundle_path: Path, run: Run) -> None:
    manifest, model = load_bundle(personal_path)
    plain, old = load_bundle(bundle_path)
    units, limits = manifest.config["units"], model.limits
    assert manifest.models[RANKING_MODEL].outputs["hidden"] == (limits.candidates, units)
    assert (model.ranker.hidden_width, old.ranker.hidden_width) == (units, 0)
    assert "hidden" not in plain.models[RANKING_MODEL].outputs
    assert model.personal is not None
    assert model.personal.to_bytes() == head_of(run).to_bytes()
    assert (old.personal, read_device_manifest(bundle_path / "device").personal) == (None, None)
    assert read_device_manifest(personal_path / "device").personal == PERSONAL_HEAD
    assert f"device/{PERSONAL_HEAD}" in manifest.files
    names = {"random_mnn_hidden", "random_onnx_hidden", "long_mnn_hidden", "long_onnx_hidden", "personal"}
    assert names <= manifest.parity.checks.keys()
    assert 0 < manifest.parity.checks["personal"] < 1e-5
    assert not any(name.endswith(("hidden", "personal")) for name in plain.parity.checks)
    assert verify_bundle(personal_path)["parity_max_abs"] < 1e-5
    layout = layout_of(personal_path)
    assert layout is not None
    assert layout.foreign(personal_path) is None  # `--force` may replace it


def test_a_patch_reads_the_vectors_that_were_scored(personal_path: Path, bundle_path: Path) -> None:
    model, plain = load_device_model(personal_path), load_device_model(bundle_path)
    case = read_case(personal_path / "golden" / "case-12.npz", hidden=True)
    scored, head = run_scored(model, case), model.personal
    assert head is not None
    assert scored.hidden is not None
    assert scored.candidates is not None
    np.testing.assert_array_equal(scored.candidates, case.candidates)
    assert not np.shares_memory(scored.candidates, case.candidates)
    both = head.activations(scored.hidden, scored.candidates)
    np.testing.assert_array_equal(both, np.concatenate([scored.hidden, case.candidates], axis=1))
    assert head.read(both).shape == (len(case.candidates), 4)
    alone = a_head(inputs=scored.hidden.shape[1])
    assert alone.activations(scored.hidden, scored.candidates) is scored.hidden
    assert run_scored(plain, case).candidates is None


@pytest.mark.usefixtures("eager")
def test_the_check_finds_wrong_activations(run: Run, samples: Samples, personal_path: Path, bundle_path: Path) -> None:
    tables, device, plain = split(run).tables, load_device_model(personal_path), load_device_model(bundle_path)
    assert 0 < check_activations(run.model, samples, tables, device, requests=3) < 1e-5
    wrong = {name: replace(table, values=table.values + np.float32(0.01)) for name, table in tables.items()}
    with pytest.raises(ParityError, match=r"parity personal .* of the (hidden layer|candidate vector) of candidate"):
        check_activations(run.model, samples, wrong, device, requests=3)
    with pytest.raises(ConversionError, match="should return its hidden layer"):
        check_activations(run.model, samples, tables, plain, requests=3)


def test_inspect_shows_the_head(personal_path: Path, bundle_path: Path) -> None:
    document = inspect_bundle(personal_path)
    assert document["personal"]["rank"] == 4
    assert document["personal"]["patch_bytes"] == 20
    text = " ".join(" ".join(printed(inspection_table(document))).split())
    assert "personal patches maml: 4 numbers and a bias" in text
    assert "personal" not in inspect_bundle(bundle_path)


@pytest.fixture
def bundle(personal_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(personal_path, tmp_path / "bundle"))


@pytest.mark.parametrize("name", ["case-12", "raw-02"])
def test_verify_compares_the_hidden_layer(bundle: Path, name: str) -> None:
    path = bundle / "golden" / f"{name}.npz"
    case = read_case(path, hidden=True)
    assert case.hidden is not None
    np.testing.assert_allclose(run_case(load_bundle(bundle)[1], case), case.logits, atol=1e-5)
    wrong = case.hidden.copy()
    wrong[1, 3] += np.float32(0.001)
    for hidden, error, said in (
        (wrong, ParityError, "number 3 of the hidden layer of candidate 1 should be"),
        (case.hidden[:, 1:], FormatError, "hidden should have 8 numbers for each candidate"),
        (case.hidden[1:], FormatError, "candidates and hidden should have equal lengths"),
        (None, FormatError, "hidden"),
    ):
        write_case(replace(case, hidden=hidden), path)
        restamp(bundle)
        with pytest.raises(error, match=said):
            verify_bundle(bundle)


def test_a_changed_or_missing_head_is_refused(bundle: Path) -> None:
    file = bundle / "device" / PERSONAL_HEAD
    content = bytearray(file.read_bytes())
    content[-200] ^= 1
    file.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"personal_head\.npz was changed"):
        load_device_model(bundle)
    restamp_device(bundle)
    with pytest.raises(FormatError, match="personal head"):
        load_device_model(bundle)
    file.unlink()
    with pytest.raises(IntegrityError, match=r"personal_head\.npz is missing"):
        load_device_model(bundle)
    restamp_device(bundle)
    with pytest.raises(FormatError, match=r"should have the hash of personal_head\.npz"):
        load_device_model(bundle)


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"version_id": "v2"}, "should belong to model version .*; received that of version v2"),
        ({"more": 1}, r"should read 8 numbers \(the hidden layer\) or 17 .* received a head that reads"),
    ],
)
def test_a_bundle_with_the_head_of_another_model_is_refused(
    bundle: Path, run: Run, other: dict[str, Any], text: str
) -> None:
    (bundle / "device" / PERSONAL_HEAD).write_bytes(head_of(run, **other).to_bytes())
    restamp_device(bundle)
    with pytest.raises(FormatError, match=text):
        load_device_model(bundle)


def test_a_head_needs_a_ranker_that_returns_its_hidden_layer(bundle_path: Path, run: Run, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    head = a_head(inputs=run.model.settings.candidate_width, version_id=run.head.version_id)
    (bundle / "device" / PERSONAL_HEAD).write_bytes(head.to_bytes())
    restamp_device(bundle, personal=PERSONAL_HEAD)
    with pytest.raises(FormatError, match="of a ranker that returns its hidden layer"):
        load_device_model(bundle)


@pytest.mark.parametrize(
    ("other", "text"),
    [({"version_id": "v2"}, "received that of version v2"), ({"more": 3}, "received a head that reads")],
)
def test_export_refuses_the_head_of_another_model(
    run_path: Path, run: Run, other: dict[str, Any], text: str, tmp_path: Path
) -> None:
    with pytest.raises(FormatError, match=text):
        export_bundle(run_path, tmp_path / "bundle", personal=head_of(run, **other))
    assert not list(tmp_path.iterdir())


def test_export_refuses_what_is_no_head(run_path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`personal` should be a PersonalHead"):
        export_bundle(run_path, tmp_path / "bundle", personal="head.npz")  # type: ignore[arg-type]


def test_a_model_without_a_hidden_layer_has_no_patches(run: Run) -> None:
    parts = split(run)
    check_head(head_of(run), parts, run)
    check_head(a_head(inputs=run.model.settings.units, version_id=run.head.version_id), parts, run)
    check_patches(run.model)


def test_a_file_that_is_no_head_is_refused_in_one_line(run_path: Path, run: Run, tmp_path: Path) -> None:
    head = tmp_path / "head.npz"
    content = head_of(run).to_bytes()
    for written, text in (
        (None, r"should be a file that `edgerec meta-train` wrote; there is none"),
        (b"", "head.npz: personal head: the file"),
        (content[:-50], "head.npz: personal head: the file"),
        (bytes(MAX_BYTES + 5), "should have at most"),
        (head_of(run, version_id="v2").to_bytes(), "received that of version v2: run `edgerec meta-train` on this run"),
    ):
        if written is not None:
            head.write_bytes(written)
        line = error_line(edgerec_here("export", run_path, "--personal", head, "--out", tmp_path / "bundle"))
        assert text in line
    assert [path.name for path in tmp_path.iterdir()] == ["head.npz"]
    head.write_bytes(content)
    assert load_personal_head(head).to_bytes() == content
    with pytest.raises(EdgeRecError, match="there is none"):
        load_personal_head(tmp_path)
