"""One user in one bucket: a device with a store of its own, from the first session to the last."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgerec.core.errors import TransportError
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.paging.transport import Transport
from edgerec.simulation.closed_loop.bucket import Bucket
from edgerec.simulation.closed_loop.clock import Clock
from edgerec.simulation.closed_loop.keyed_random import KeyedRandom, Purpose
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.patches import PatchRecord, PatchTotals
from edgerec.simulation.closed_loop.player import Player
from edgerec.simulation.closed_loop.records import Place, RequestIds, Shown, Totals
from edgerec.simulation.closed_loop.timed_cloud import Seconds, TimedCloud
from edgerec.simulation.closed_loop.user import SimulatedUser
from edgerec.simulation.feed import DAY_MS
from edgerec.simulation.recorder import MAX_REQUESTS


@dataclass(frozen=True)
class Played:
    """What one user did in one bucket.

    Attributes:
        user_id: the user.
        planned_sessions: number of planned sessions in the test period. It does not depend on the bucket.
        pre: what the user did in the pre-period.
        test: what the user did in the test period.
        shown: the exposures of the test period.
        places: the explored places whose truth was recorded, if logs are kept.
        patches: what the user's patches did.
    """

    user_id: int
    planned_sessions: int
    pre: Totals
    test: Totals
    shown: list[Shown]
    places: list[Place]
    patches: PatchTotals = field(default_factory=PatchTotals)


def play_user(
    world: LoopWorld,
    user_id: int,
    *,
    bucket: Bucket,
    control: Bucket,
    cloud: Transport,
    model: DeviceModel | None,
    path: Path,
    seconds: Seconds,
    pre_days: int = 0,
    logs: bool = False,
    closes: bool = False,
) -> Played:
    """Play all sessions of one user.

    Args:
        world: the world.
        user_id: the user.
        bucket: how the user is served.
        control: how every user is served in the pre-period.
        cloud: the RS.
        model: the models of the bucket's bundle; None for a device without a model.
        path: the file of the behaviour store, which should not exist yet.
        seconds: collects what the parts took.
        pre_days: number of days, from the first one on, on which every bucket is served like the control.
        logs: whether the cloud keeps the logs.
        closes: whether the application is closed after each session. Then its pages end, and its log rows are
            delivered. A patch is trained from pages that have ended.

    Raises:
        TransportError: the cloud did not answer, or log rows could not be delivered.
    """
    user, clock = SimulatedUser(world, user_id), Clock()
    switch = world.start_ms + pre_days * DAY_MS
    requests = RequestIds(user_id * MAX_REQUESTS)
    draws = KeyedRandom(world.seed, user_id).at(Purpose.EXPLORATION, world.first_day)

    def client(served: Bucket, used: DeviceModel | None) -> Client:
        return Client(
            store,
            timed,
            used,
            config=served.client(logs=logs, user_id=user_id),
            clock=clock,
            new_id=requests,
            draw=draws.random,
        )

    def player(served: Bucket, used: DeviceModel | None) -> Player:
        explores = logs and served.explore > 0
        return Player(
            user=user,
            client=client(served, used),
            seconds=seconds,
            ranks=used is not None,
            device_ms=served.device_ms,
            in_view=served.in_view,
            clock=clock,
            requests=requests,
            watched=served.explore_places if explores else 0,
            among=served.explore_among,
            patches=patches if served.personal else None,
        )

    with BehaviourStore(path, user_id=user_id, limits=None if model is None else model.limits) as store:
        patches = PatchRecord(store, None if model is None else model.version_id)
        timed = TimedCloud(cloud, seconds, patches.sent if bucket.personal else None)
        begin: int | None = user.planned[0]
        away: int | None = None
        pre = Totals()
        playing = player(bucket, model) if not pre_days else player(control, None)
        before = bool(pre_days)
        while begin is not None:
            if before and begin >= switch:
                playing.close()
                pre, before, playing = playing.totals, False, player(bucket, model)
            ended = playing.play_session(begin, away)
            begin = user.next_session(ended)
            away = None if begin is None else begin - ended
            if closes and begin is not None:
                playing.close()
                playing.client = client(control, None) if before else client(bucket, model)
        playing.close()
        # The client would deliver them later. But the store ends with the user, and the logs would be incomplete.
        if store.unsent(1) is not None:
            raise TransportError(f"closed loop: user {user_id}: the last log rows could not be delivered to the cloud")
    planned = sum(start >= switch for start in user.planned)
    if before:
        return Played(user_id, planned, playing.totals, Totals(), [], [])
    return Played(user_id, planned, pre, playing.totals, playing.shown, playing.places, patches.totals)
