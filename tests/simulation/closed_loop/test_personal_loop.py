"""Buckets with personal patches: a real client trains them between sessions, and the test says what they did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from edgerec.bundle.load import load_device_model
from edgerec.cloud.versions import open_version
from edgerec.core.errors import ConfigurationError
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.simulation.ab_test import run
from edgerec.simulation.ab_test.buckets import check_heads, make_buckets, shared_buckets
from edgerec.simulation.ab_test.run import run_ab_test
from edgerec.simulation.closed_loop.bucket import CONTROL, Bucket
from edgerec.simulation.closed_loop.local_cloud import LocalCloud
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.play_user import Played, play_user
from edgerec.simulation.closed_loop.simulate_buckets import read_table
from edgerec.simulation.closed_loop.timed_cloud import Seconds
from tests.small_world import CONFIG, SEED

WORLD = LoopWorld(CONFIG, SEED)
PAGE: dict[str, Any] = {"page": 12, "prefetch": 3}


@pytest.fixture(scope="module")
def personal_world_path(small_world_path: Path) -> Path:
    return small_world_path / "bundle"


def play(bundle: Path, folder: Path, *, personal: bool, users: range = range(61, 66), **more: Any) -> list[Played]:
    bucket = Bucket("one", bundle, fetch=24, personal=personal, **PAGE)
    cloud = LocalCloud(WORLD, [open_version(bundle)], keep=more.get("logs", False))
    model = load_device_model(bundle)
    folder.mkdir()
    return [
        play_user(
            WORLD,
            user,
            bucket=bucket,
            control=Bucket(CONTROL, **PAGE),
            cloud=cloud,
            model=model,
            path=folder / f"{user}.sqlite",
            seconds=Seconds(),
            closes=True,
            **more,
        )
        for user in users
    ]


def test_a_patch_is_trained_after_a_session_and_orders_the_next_one(tmp_path: Path, personal_world_path: Path) -> None:
    shared, personal = (
        play(personal_world_path, tmp_path / str(patched), personal=patched) for patched in (False, True)
    )

    assert all(one.patches.trainings == 0 == one.patches.ranked for one in shared)
    for plain, own in zip(shared, personal, strict=True):
        first = [[each.probability for each in one.shown if each.session == 1] for one in (plain, own)]
        assert first[0] == first[1]  # There is no patch yet.
        assert own.patches.trainings >= (own.test.sessions > 0)
        # With one session there is no order after the only training.
        assert (own.patches.changed > 0) <= (own.test.sessions > 1)
    totals = [one.patches for one in personal]
    assert sum(one.at_end for one in totals) > 2
    assert 0 < sum(one.changed for one in totals) < sum(one.ranked for one in totals)
    assert [one.shown for one in shared] != [one.shown for one in personal]


def test_the_pre_period_trains_nothing(tmp_path: Path, personal_world_path: Path) -> None:
    users, whole = range(61, 63), CONFIG.days + 1
    plain = play(personal_world_path, tmp_path / "a", personal=False, users=users, pre_days=whole)
    own = play(personal_world_path, tmp_path / "b", personal=True, users=users, pre_days=whole)

    assert [one.pre for one in plain] == [one.pre for one in own]
    assert all(one.pre.sessions and one.pre.pv and not one.test.sessions for one in own)
    for user in users:
        with BehaviourStore(tmp_path / "b" / f"{user}.sqlite", user_id=user) as store:
            assert store.personal.versions() == []  # neither a training nor an event


@pytest.mark.slow
def test_the_document_says_what_patches_did(
    tmp_path: Path, personal_world_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"fetch": 24, **PAGE}
    buckets = [
        Bucket(CONTROL, **PAGE),
        Bucket("shared", personal_world_path, **more),
        Bucket("personal", personal_world_path, personal=True, **more),
    ]
    monkeypatch.setattr(run, "LEAST_USERS", 6)
    found = run_ab_test(WORLD, buckets, tmp_path / "test", users=6, processes=1)
    users, shown = (read_table(tmp_path / "test", name) for name in ("users", "exposures"))
    own, row = users.filter(bucket="personal"), found["personal"]["personal"]

    assert list(found["personal"]) == ["personal"]
    assert (row["against"], row["trainings"]) == ("shared", own["patch_trainings"].sum())
    assert row["trainings"] >= own.filter(pl.col("sessions") > 0).height > 3
    assert row["patched_share"] == own.filter(pl.col("sessions") > 0)["patch_at_end"].mean()
    assert row["changed_share"] == own["patch_changed"].sum() / own["patch_ranked"].sum()
    sums = {name: shown.filter(bucket=name)["probability"].cast(pl.Float64).sum() for name in ("shared", "personal")}
    gain = row["gain"]
    assert gain["expected_clicks"]["mean"] == pytest.approx(sums["personal"] / sums["shared"] - 1)
    assert sum(group["users"] for group in gain["activity"]) == found["buckets"]["personal"]["users"]
    assert gain["sessions"][0]["from"] == 1
    # So few users have no intervals.
    assert gain["sessions"][0]["click"]["ci95"] is None
    for name in ("ab_test.md", "ab_test.html"):
        text = (tmp_path / "test" / name).read_text()
        assert "Personal patches against the shared model" in text
        assert "orders changed" in text
    document = json.loads((tmp_path / "test" / "ab_test.json").read_text())
    assert document["personal"] == found["personal"]
    assert document["buckets"]["personal"]["settings"]["personal"] is True


def test_a_bundle_without_a_head_is_one_clear_error(bundle_path: Path, personal_world_path: Path) -> None:
    buckets = [Bucket(CONTROL), Bucket("own", bundle_path, personal=True)]

    check_heads([Bucket(CONTROL), Bucket("own", personal_world_path, personal=True)])
    with pytest.raises(ConfigurationError, match=r"bucket 'own': personal needs a bundle with a head .* --personal"):
        check_heads(buckets)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[buckets.own]\npersonal = true\nbundle = false", "bucket 'own': personal needs a bundle"),
        ("[buckets.cloud]\npersonal = true", "bucket 'cloud': personal needs a bundle"),
        ("[buckets.own]\npersonal = 1", "bucket 'own': .*`personal` should be"),
    ],
)
def test_a_wrong_setting_is_one_clear_error(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "buckets.toml").write_text(text, encoding="utf-8")

    with pytest.raises(ConfigurationError, match=expected):
        make_buckets([Path("runs/crban")], tmp_path / "buckets.toml")


def test_a_bucket_is_compared_with_the_one_that_differs_in_patches_alone(tmp_path: Path) -> None:
    text = "[buckets.own]\npersonal = true\n[buckets.small]\npersonal = true\npage = 20\n"
    (tmp_path / "buckets.toml").write_text(text, encoding="utf-8")
    buckets = make_buckets([Path("runs/crban"), Path("dlcm")], tmp_path / "buckets.toml")

    assert shared_buckets(buckets) == {"own": "crban", "small": None}
    assert [bucket.client(logs=False).personal for bucket in buckets] == [False, False, False, True, True]
