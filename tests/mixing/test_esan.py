"""ESAN on the device: its graph, its head, and the file of the head in a bundle."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from edgerec.bundle.layout import PERSONAL_HEAD
from edgerec.bundle.load import load_bundle, load_device_model
from edgerec.bundle.verify import verify_bundle
from edgerec.core.errors import ConversionError, FormatError, IntegrityError, ParityError
from edgerec.data.samples import TRAIN, open_samples
from edgerec.device_runtime.encodings import Encodings
from edgerec.export.bundle import export_bundle
from edgerec.export.onnx_device import OnnxDevice
from edgerec.export.parity import check_random
from edgerec.export.random_cases import random_cases
from edgerec.export.split import device_graphs, split
from edgerec.export.surroundings_check import check_surroundings
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW, Limits
from edgerec.mixing.head import SurroundingsHead
from edgerec.model.batches import make_batch
from edgerec.model.personalization.on_device import check_patches
from edgerec.model.runs import load_run
from edgerec.rankers.registry import MIXED_MODELS
from tests.bundle.restamp import restamp_device
from tests.command_line import edgerec_here, error_line
from tests.hidden_layers import build, logits_of, without_hidden
from tests.mixing.mixed_logs import KINDS
from tests.personalization.heads import a_head
from tests.quicker import some_of
from tests.random_runs import of_model, on_device
from tests.synthetic import whole

LIMITS = Limits(candidates=6, exposures=7, page_views=5)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("model_name", some_of(MIXED_MODELS, fast=("esan", "esan_no_behaviour")))
def test_every_variant_runs_on_the_device(mixed_path: Path, model_name: str, tmp_path: Path) -> None:
    run = of_model(load_run(mixed_path / "run"), model_name)
    parts = split(run)
    graphs = device_graphs(parts, LIMITS)
    device = on_device(graphs, tmp_path)
    cases = random_cases(run.model, LIMITS, seed=3, std=1.0)
    assert 0 < max(check_random(cases, device, OnnxDevice.load(graphs)).values()) < 5e-5
    kernel = run.model.ranker.query.kernel
    kernel.assign(kernel * 1.01)
    wrong = random_cases(run.model, LIMITS, seed=3, std=1.0)
    with pytest.raises(ParityError):
        check_random(wrong, device, OnnxDevice.load(graphs))


@pytest.mark.usefixtures("eager")
def test_head_on_device_equals_keras_in_the_list(mixed_path: Path, tmp_path: Path) -> None:
    """After a change of one table of the head, it must not."""
    run, samples = of_model(load_run(mixed_path / "run"), "esan"), open_samples(mixed_path / "few")
    parts = split(run)
    assert parts.head is not None
    device = replace(on_device(device_graphs(parts, run.head.limits), tmp_path), head=parts.head)
    assert check_surroundings(run.model, samples, parts.tables, device, requests=3) < 5e-5
    for table in ("previous", "following", "distance", "count", "place"):
        changed = getattr(parts.head, table) * np.float32(1.05)
        wrong = replace(device, head=replace(parts.head, **{table: changed}))
        with pytest.raises(ParityError, match="parity surroundings"):
            check_surroundings(run.model, samples, parts.tables, wrong, requests=3)


def test_bundle_has_head_and_vectors_whose_relevance_is_the_logit(mixed_path: Path) -> None:
    manifest, model = load_bundle(mixed_path / "bundle")
    assert manifest.parity.checks["surroundings"] < manifest.parity.tolerance
    assert model.head is not None
    assert model.head.kinds == KINDS
    rng, ranker = np.random.default_rng(0), model.ranker
    candidates = rng.normal(size=(5, ranker.candidate_width)).astype(np.float32)
    empty = Encodings.empty(ranker.key_widths[EXPOSURE], ranker.hidden)
    more = Encodings.empty(ranker.key_widths[PAGE_VIEW], ranker.hidden)
    scored = ranker.score_cards(candidates, empty, more)
    assert scored.vectors is not None
    np.testing.assert_allclose(model.head.relevance(scored.vectors), scored.logits, atol=1e-6)
    np.testing.assert_array_equal(ranker.score(candidates, empty, more), scored.logits)
    assert verify_bundle(mixed_path / "bundle")


@pytest.fixture
def bundle(mixed_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mixed_path / "bundle", tmp_path / "bundle"))


def test_changed_tables_are_refused(bundle: Path) -> None:
    file = bundle / "device" / "surroundings.npz"
    content = bytearray(file.read_bytes())
    content[-200] ^= 1
    file.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"surroundings\.npz"):
        load_device_model(bundle)


def test_bundle_without_its_tables_is_refused(bundle: Path) -> None:
    restamp_device(bundle, surroundings=None)
    with pytest.raises(FormatError, match="tables of surroundings if, and only if, the ranker returns vectors"):
        load_device_model(bundle)


def test_tables_without_a_hash_are_refused(bundle: Path) -> None:
    restamp_device(bundle, surroundings="other.npz")
    with pytest.raises(FormatError, match=r"should have the hash of other\.npz"):
        load_device_model(bundle)


def test_tables_with_other_kinds_are_refused(bundle: Path) -> None:
    file = bundle / "device" / "surroundings.npz"
    head = SurroundingsHead.from_bytes(file.read_bytes())
    file.write_bytes(replace(head, kinds=("product", "video", "shop")).to_bytes())
    restamp_device(bundle)
    with pytest.raises(FormatError, match=r"should have 8 numbers and the kinds .*; received 8 and .*'shop'"):
        load_device_model(bundle)


@pytest.mark.usefixtures("eager")
def test_esan_has_no_personal_patches(mixed_path: Path, tmp_path: Path) -> None:
    path = mixed_path / "run"
    run = load_run(path)
    settings = run.model.settings
    head = a_head(inputs=settings.units + settings.candidate_width, version_id=run.head.version_id)
    with pytest.raises(ConversionError, match=r"Esan computes click rates from the cards around a card.*crban"):
        check_patches(run.model)
    with pytest.raises(ConversionError, match="which patches do not read"):
        export_bundle(path, tmp_path / "new", personal=head)
    line = error_line(edgerec_here("meta-train", mixed_path / "few", "--from", path, "--out", tmp_path / "head.npz"))
    assert "which patches do not read" in line
    assert not list(tmp_path.iterdir())
    bundle = Path(shutil.copytree(mixed_path / "bundle", tmp_path / "bundle"))
    (bundle / "device" / PERSONAL_HEAD).write_bytes(head.to_bytes())
    restamp_device(bundle, personal=PERSONAL_HEAD)
    with pytest.raises(FormatError, match="should have no personal head, because the model has surroundings"):
        load_device_model(bundle)


@pytest.mark.usefixtures("eager")
def test_every_weight_gets_a_gradient_and_padding_changes_nothing(mixed_path: Path) -> None:
    run = of_model(load_run(mixed_path / "run"), "esan")
    batch = make_batch(whole(open_samples(mixed_path / "few"), TRAIN), np.arange(12))
    inputs = tf.nest.map_structure(tf.convert_to_tensor, batch.inputs)
    run.model.reseed(1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(run.model(inputs, training=True) * batch.weight)
    for variable, gradient in zip(
        run.model.trainable_variables, tape.gradient(loss, run.model.trainable_variables), strict=True
    ):
        assert float(tf.reduce_max(tf.abs(tf.convert_to_tensor(gradient)))) > 0, variable.path
    valid = np.arange(batch.label.shape[1])[None] < batch.inputs["candidate_length"][:, None]
    assert not valid.all()
    before = run.model.in_list(inputs).numpy()
    batch.inputs["candidates"]["codes"][~valid] = 1
    batch.inputs["candidates"]["ids"][~valid] = 1
    after = run.model.in_list(tf.nest.map_structure(tf.convert_to_tensor, batch.inputs)).numpy()
    np.testing.assert_allclose(after[valid], before[valid], atol=2e-6)


@pytest.mark.usefixtures("eager")
def test_hidden_layer_is_relu_of_own_in_every_engine(mixed_path: Path, tmp_path: Path) -> None:
    run = of_model(load_run(mixed_path / "run"), "esan")
    made = build(run)
    for case in made.cases:
        np.testing.assert_allclose(logits_of(run, case), case.logits, atol=2e-6)
    assert max(made.check().values()) < 5e-5
    assert made.check("int8")["mnn_hidden"] < 0.2
    plain = made.without["crban"].SerializeToString(deterministic=True)
    assert without_hidden(made.graphs["crban"]) == plain
    ranker, case = on_device(made.graphs, tmp_path).ranker, made.cases[-1]
    empty = Encodings.empty(ranker.key_widths[EXPOSURE], ranker.hidden)
    more = Encodings.empty(ranker.key_widths[PAGE_VIEW], ranker.hidden)
    scored = ranker.score_cards(case.candidates, empty, more)
    assert scored.vectors is not None
    np.testing.assert_array_equal(scored.hidden, np.maximum(scored.vectors.own, 0))
