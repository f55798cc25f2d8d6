"""The head: what it reads, its file, and what is refused. The patch and the gate."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from edgerec.core.errors import FormatError, ShapeError
from edgerec.personalization.gate import judge
from edgerec.personalization.gradient import PatchLoss
from edgerec.personalization.head import MAX_BYTES, PersonalHead
from edgerec.personalization.patch import Patch
from edgerec.personalization.training import train
from tests.personalization.heads import a_head, some_events
from tests.personalization.test_training import a_rate


def same(one: PersonalHead, other: PersonalHead) -> None:
    for name in ("mean", "kernel", "start", "rates", "pull"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.training == other.training
    assert (one.user_rate is None) == (other.user_rate is None)


@pytest.mark.parametrize("users", [None, 0, 5])
def test_a_file_has_the_whole_head(users: int | None) -> None:
    head = a_head(4, steps=7, optimiser="newton", gain=0.01, gain_events=30.0)
    if users is not None:
        head = replace(head, user_rate=a_rate(4, users=users))
    content = head.to_bytes()
    back = PersonalHead.from_bytes(content)
    same(head, back)
    assert back.to_bytes() == content
    if back.user_rate is not None and head.user_rate is not None:
        described = np.arange(7.0)
        assert back.user_rate.factor(described) == head.user_rate.factor(described)


def test_a_head_reads_activations_within_its_clip() -> None:
    head = a_head(4, clip=0.5)
    activations = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    expected = np.clip((activations - head.mean) @ head.kernel, -0.5, 0.5)
    np.testing.assert_allclose(head.read(activations), expected, rtol=1e-5)
    with pytest.raises(ShapeError, match=r"shape \(n, 6\); received \(20, 5\)"):
        head.read(activations[:, :5])


@pytest.mark.parametrize(
    ("name", "array", "text"),
    [
        ("start", np.zeros(4, np.float32), r"start should be float32 of shape \(5,\)"),
        ("mean", np.zeros(6), "mean should be float32"),
        ("rates", np.full(5, -1, np.float32), "rates should be at least 0"),
        ("pull", np.zeros(5, np.float32), "pull greater than 0"),
        ("kernel", np.full((6, 4), np.nan, np.float32), "kernel should be finite"),
        ("kernel", np.zeros((0, 4), np.float32), "kernel should have 1 to"),
        ("kernel", np.zeros(6, np.float32), "kernel should have 1 to"),
    ],
)
def test_a_wrong_array_is_refused(name: str, array: np.ndarray, text: str) -> None:
    with pytest.raises(FormatError, match=text):
        replace(a_head(4), **{name: array})


def test_a_wrong_user_rate_is_refused() -> None:
    with pytest.raises(FormatError, match="rate_mean should be finite float32 of shape"):
        replace(a_head(4), user_rate=a_rate(3))
    rate = a_rate(4)
    with pytest.raises(FormatError, match="rate_scale should be greater than 0"):
        replace(a_head(4), user_rate=replace(rate, rate_scale=np.zeros(7, np.float32)))


def test_a_damaged_file_is_refused() -> None:
    content = a_head().to_bytes()
    for damaged in (b"", content[:-40], b"\0" * 200, bytes(MAX_BYTES + 1)):
        with pytest.raises(FormatError, match="personal head: the file"):
            PersonalHead.from_bytes(damaged)


def test_wrong_settings_in_a_file_are_refused() -> None:
    head, content = a_head(), io.BytesIO()
    arrays = {name: getattr(head, name) for name in ("mean", "kernel", "start", "rates", "pull")}
    text = head.training.model_dump_json().replace('"steps":50', '"steps":0')
    np.savez(content, **arrays, training=np.array(text), user_rate=np.array(False))
    with pytest.raises(FormatError, match=r"personal head: steps: .*greater than or equal to 1"):
        PersonalHead.from_bytes(content.getvalue())


def test_a_file_without_shrink_events_does_not_shrink() -> None:
    head, content = a_head(shrink_events=12.0), io.BytesIO()
    arrays = {name: getattr(head, name) for name in ("mean", "kernel", "start", "rates", "pull")}
    text = head.training.model_dump_json().replace('"shrink_events":12.0', '"least_events":3')
    np.savez(content, **arrays, training=np.array(text), user_rate=np.array(False))
    assert PersonalHead.from_bytes(content.getvalue()).training.shrink_events == 0
    assert PersonalHead.from_bytes(head.to_bytes()).training.shrink_events == 12


def a_patch(head: PersonalHead) -> Patch:
    return Patch(7, "v1", train(head, some_events(head)), 60, 1_700_000_000_000)


def test_a_patch_changes_logits_as_its_loss_says() -> None:
    head = a_head(optimiser="newton")
    events, patch = some_events(head), a_patch(head)
    patch.check(head, user_id=7)
    personal = patch.logits(events.logits, events.phi).astype(np.float64)
    each = np.logaddexp(0, personal) - events.labels * personal
    np.testing.assert_allclose(each, PatchLoss.of(head, events).each(patch.theta.astype(np.float64)), rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "user_id", "text"),
    [
        ({}, 8, "belong to user 8; received one of user 7"),
        ({"version_id": "v2"}, 7, "belong to model version v1; received one of version v2"),
        ({"theta": np.zeros(4, np.float32)}, 7, "should have 5 float32 numbers"),
        ({"theta": np.full(5, np.nan, np.float32)}, 7, "should be finite"),
        ({"theta": np.full(5, 1e5, np.float32)}, 7, "within the reach"),
    ],
)
def test_a_patch_of_another_user_or_version_and_a_damaged_one_are_refused(
    change: dict[str, object], user_id: int, text: str
) -> None:
    head = a_head(optimiser="newton")
    with pytest.raises(FormatError, match=text):
        replace(a_patch(head), **change).check(head, user_id=user_id)


def test_the_gate_uses_what_helps_and_refuses_what_harms() -> None:
    head = a_head(optimiser="newton")
    older, newest = some_events(head, 400).split(0.3)
    theta = train(head, older)
    good, bad = judge(head, theta, newest), judge(head, -theta, newest)
    assert good.use
    assert good.gain == good.expected > 0
    assert not bad.use
    assert good.events == len(newest)


def test_few_events_of_the_gate_count_little_against_meta_training() -> None:
    head = a_head(optimiser="newton", gain=0.01, gain_events=200.0)
    newest = some_events(head, 5)
    harmful = -2 * train(head, some_events(head, 400))
    verdict = judge(head, harmful, newest)
    assert verdict.gain < 0
    assert verdict.expected == pytest.approx((5 * verdict.gain + 200 * 0.01) / 205)
    many = judge(head, harmful, some_events(head, 4000))
    assert not many.use


def test_without_newest_events_meta_training_decides() -> None:
    head = a_head()
    nothing = some_events(head).take(slice(0, 0))
    assert not judge(head, head.start, nothing).use
    sure = a_head(gain=0.01, gain_events=10.0)
    assert judge(sure, sure.start, nothing).use
