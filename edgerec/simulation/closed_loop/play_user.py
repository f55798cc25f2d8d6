"""One user in one bucket: a device with a store of its own, from the first session to the last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgerec.device_runtime.client import Client
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.paging.transport import Transport
from edgerec.simulation.closed_loop.bucket import CONTROL, Bucket
from edgerec.simulation.closed_loop.keyed_random import KeyedRandom, Purpose
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.player import Clock, Place, Player, RequestIds, Seconds, Shown, TimedCloud, Totals
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
    """

    user_id: int
    planned_sessions: int
    pre: Totals
    test: Totals
    shown: list[Shown]
    places: list[Place]


def play_user(
    world: LoopWorld,
    user_id: int,
    bucket: Bucket,
    cloud: Transport,
    model: DeviceModel | None,
    path: Path,
    *,
    seconds: Seconds,
    pre_days: int = 0,
    logs: bool = False,
) -> Played:
    """Play all sessions of one user.

    Args:
        world: the world.
        user_id: the user.
        bucket: how the user is served.
        cloud: the RS.
        model: the models of the bucket's bundle; None for a device without a model.
        path: the file of the behaviour store, which should not exist yet.
        seconds: collects what the parts took.
        pre_days: number of days, from the first one on, on which every bucket is served like the control.
        logs: whether the cloud keeps the logs.

    Raises:
        TransportError: the cloud did not answer.
    """
    user, clock = SimulatedUser(world, user_id), Clock()
    timed = TimedCloud(cloud, seconds)
    switch = world.start_ms + pre_days * DAY_MS
    requests = RequestIds(user_id * MAX_REQUESTS)
    draws = KeyedRandom(world.seed, user_id).at(Purpose.EXPLORATION, world.first_day)

    def player(served: Bucket, used: DeviceModel | None) -> Player:
        client = Client(
            store,
            timed,
            used,
            config=served.client(logs=logs),
            clock=clock,
            new_id=requests,
            draw=draws.random,
        )
        watched, among = (served.explore_places, served.explore_among) if logs and served.explore else (0, 0)
        return Player(
            user,
            client,
            seconds,
            used is not None,
            served.device_ms,
            served.in_view,
            clock,
            requests,
            watched,
            among,
        )

    with BehaviourStore(path, user_id=user_id, limits=None if model is None else model.limits) as store:
        begin: int | None = user.planned[0]
        away: int | None = None
        pre = Totals()
        playing = player(bucket, model) if not pre_days else player(Bucket(CONTROL), None)
        before = bool(pre_days)
        while begin is not None:
            if before and begin >= switch:
                playing.close()
                pre, before, playing = playing.totals, False, player(bucket, model)
            ended = playing.play_session(begin, away)
            begin = user.next_session(ended)
            away = None if begin is None else begin - ended
        playing.close()
    planned = sum(start >= switch for start in user.planned)
    if before:
        return Played(user_id, planned, playing.totals, Totals(), [], [])
    return Played(user_id, planned, pre, playing.totals, playing.shown, playing.places)
