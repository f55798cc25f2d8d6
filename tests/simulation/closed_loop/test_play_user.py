"""One user in one bucket, with a real client, a real store, real models and a real cloud."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from edgerec.bundle.load import load_device_model
from edgerec.cloud.versions import open_version
from edgerec.core.errors import TransportError
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.paging.http_transport import HttpTransport
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.transport import Transport
from edgerec.simulation.closed_loop.bucket import CONTROL, Bucket
from edgerec.simulation.closed_loop.local_cloud import LocalCloud
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.play_user import Played, play_user
from edgerec.simulation.closed_loop.records import Totals
from edgerec.simulation.closed_loop.server import world_server
from edgerec.simulation.closed_loop.timed_cloud import Seconds
from tests.small_world import CONFIG, SEED

WORLD = LoopWorld(CONFIG, SEED)
USERS = range(61, 69)
PAGE = {"page": 12, "prefetch": 3}
CONTROL_BUCKET = Bucket(CONTROL, **PAGE)


@pytest.fixture(scope="module")
def model(small_world_path: Path) -> DeviceModel:
    return load_device_model(small_world_path / "bundle")


@pytest.fixture(scope="module")
def ranked(small_world_path: Path) -> Bucket:
    return Bucket("ranked", small_world_path / "bundle", fetch=24, **PAGE)


def play(
    bucket: Bucket,
    model: DeviceModel | None,
    folder: Path,
    *,
    cloud: Transport | None = None,
    users: Sequence[int] = USERS,
    **more: int,
) -> list[Played]:
    bundles = [] if bucket.bundle is None else [bucket.bundle]
    cloud = cloud or LocalCloud(WORLD, [open_version(bundle) for bundle in bundles])
    return [
        play_user(
            WORLD,
            user,
            bucket=bucket,
            control=CONTROL_BUCKET,
            cloud=cloud,
            model=model,
            path=folder / f"{bucket.name}-{user}.sqlite",
            seconds=Seconds(),
            **more,
        )
        for user in users
    ]


def test_a_user_behaves_the_same_in_two_equal_buckets(tmp_path: Path) -> None:
    first, second = (play(Bucket(name, **PAGE), None, tmp_path) for name in ("a", "b"))

    assert first == second
    assert sum(one.test.pv for one in first) > 50
    assert sum(one.test.orders for one in first) == 0


def test_a_model_changes_what_users_see_and_do(tmp_path: Path, model: DeviceModel, ranked: Bucket) -> None:
    control, treated = play(Bucket(CONTROL, **PAGE), None, tmp_path), play(ranked, model, tmp_path)
    shown = [[each.probability for each in one.shown] for one in control]

    assert shown != [[each.probability for each in one.shown] for one in treated]
    assert sum(one.test.orders for one in treated) > 10
    assert [one.planned_sessions for one in control] == [one.planned_sessions for one in treated]


def test_the_server_gives_the_same_sessions_as_the_service_in_this_process(
    tmp_path: Path, model: DeviceModel, ranked: Bucket
) -> None:
    assert ranked.bundle is not None
    inside = play(ranked, model, tmp_path, users=USERS[:2], logs=True)
    (tmp_path / "server").mkdir()
    with (
        world_server(WORLD, ranked.bundle, logs=tmp_path / "logs", work=tmp_path / "server") as url,
        HttpTransport(url) as transport,
    ):
        bucket = Bucket("http", ranked.bundle, fetch=24, **PAGE)
        over_http = play(bucket, model, tmp_path, cloud=transport, users=USERS[:2], logs=True)

    assert over_http == inside


def test_a_device_slower_than_the_user_orders_too_late(tmp_path: Path, model: DeviceModel, ranked: Bucket) -> None:
    slow = Bucket("slow", ranked.bundle, fetch=24, device_ms=3_600_000, **PAGE)
    fast, late = play(ranked, model, tmp_path), play(slow, model, tmp_path)

    assert sum(one.test.orders for one in late) < sum(one.test.orders for one in fast)


def test_before_the_switch_every_bucket_is_served_like_the_control(
    tmp_path: Path, model: DeviceModel, ranked: Bucket
) -> None:
    control, treated = (
        play(bucket, used, tmp_path, pre_days=2) for bucket, used in ((CONTROL_BUCKET, None), (ranked, model))
    )

    assert [one.pre for one in control] == [one.pre for one in treated]
    assert sum(one.pre.pv for one in control) > 20
    assert sum(one.test.orders for one in treated) > 0
    assert all(one.test == Totals() for one in control if not one.planned_sessions and not one.shown)


class Unreachable:
    """A cloud that no log rows reach."""

    def __init__(self, plain: Transport) -> None:
        self.page, self.items = plain.page, plain.items

    def send(self, batch: LogBatch) -> None:
        raise TransportError("the cloud does not answer")


def test_log_rows_that_were_not_delivered_are_an_error(tmp_path: Path) -> None:
    # The first delivery would be after a day, so all rows are delivered when the client is closed.
    bucket = Bucket("late", delivery_s=86_400, **PAGE)

    with pytest.raises(TransportError, match=r"could not be delivered|cannot be delivered"):
        play(bucket, None, tmp_path, cloud=Unreachable(LocalCloud(WORLD, [])), users=USERS[:1])


def test_the_truth_of_explored_places_is_that_of_the_order_that_was_shown(
    tmp_path: Path, model: DeviceModel, ranked: Bucket
) -> None:
    assert ranked.bundle is not None
    bucket = Bucket("explorer", ranked.bundle, fetch=24, explore=0.5, **PAGE)
    cloud = LocalCloud(WORLD, [open_version(ranked.bundle)], keep=True)
    places, shown = [], {}
    for user in USERS[:4]:
        (played,) = play(bucket, model, tmp_path, cloud=cloud, users=[user], logs=True)
        places += played.places
        for row in cloud.take_logs()[1].iter_rows(named=True):
            shown[row["request_id"]] = [row["item_id"][position] for position in row["positions"]]

    assert len(places) > 5
    assert {place.place for place in places} == {1, 2, 3}
    for place in places:
        order = shown[place.request_id]
        best = order[place.place - 1 : place.place - 1 + len(place.item_ids)]
        assert place.item_ids[: len(best)] == best
