"""Blocks of users of one bucket, played in parallel processes and written as parts of two tables."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Literal

import polars as pl

from edgerec.bundle.layout import NAME
from edgerec.bundle.load import load_device_model
from edgerec.cloud.versions import ServedVersion, open_version
from edgerec.core.resumable import ResumableFolder
from edgerec.data.logs import write_table
from edgerec.data.schema import EVENTS, REQUESTS
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.paging.http_transport import HttpTransport
from edgerec.paging.transport import Transport
from edgerec.simulation.closed_loop.bucket import Bucket
from edgerec.simulation.closed_loop.local_cloud import LocalCloud
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.patches import PatchTotals
from edgerec.simulation.closed_loop.play_user import Played, play_user
from edgerec.simulation.closed_loop.records import Totals
from edgerec.simulation.closed_loop.timed_cloud import Seconds
from edgerec.simulation.population import TRUTH

Design = Literal["paired", "split"]
USERS, EXPOSURES, PLACES = "users", "exposures", "places"
LOGS = "logs"
"""The folder of the logs that devices sent, by bucket."""
TIMEOUT_S = 300.0
"""How long an answer of a server may take. Simulated users do not mind; only a hanging server should be an error."""
BLOCK = 25
"""Number of users in a block. A block of one bucket takes some seconds."""
_COUNTS = {name: pl.Float64() if name == "gmv" else pl.Int32() for name in vars(Totals())}
_PRE = ("sessions", "pv", "clicks", "purchases", "gmv")
USER_COLUMNS: dict[str, pl.DataType] = {
    "bucket": pl.String(),
    "user_id": pl.Int64(),
    "planned_sessions": pl.Int32(),
    **_COUNTS,
    **{f"pre_{name}": _COUNTS[name] for name in _PRE},
}
PATCH_COLUMNS: dict[str, pl.DataType] = {f"patch_{name}": pl.Int32() for name in vars(PatchTotals())}
"""What users have in addition in a test with personal patches."""
EXPOSURE_COLUMNS: dict[str, pl.DataType] = {
    "bucket": pl.String(),
    "user_id": pl.Int64(),
    "session": pl.Int32(),
    "position": pl.Int32(),
    "clicked": pl.Boolean(),
    "probability": pl.Float32(),
}
MIXED_EXPOSURE_COLUMNS: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "worth": pl.Float32(),
    "left": pl.Boolean(),
    "time": pl.Int64(),
    "predicted": pl.Float32(),
    "prices": pl.List(pl.Float32()),
}
"""What exposures have in addition in a mixed world."""
PLACE_COLUMNS: dict[str, pl.DataType] = {
    "request_id": pl.Int64(),
    "place": pl.Int32(),
    "item_id": pl.List(pl.Int64()),
    "probability": pl.List(pl.Float32()),
}
"""The truth of explored places (docs/off-policy.md)."""


@dataclass(frozen=True)
class Plan:
    """What is simulated.

    Attributes:
        world: the world.
        buckets: the buckets; the first one is the control.
        first_user: the ID of the first user.
        users: number of users.
        design: `paired`: every user is in every bucket. `split`: each user is in one bucket.
        pre_days: number of days without EdgeRec before the test period.
        logs: whether the logs that devices send are kept.
    """

    world: LoopWorld
    buckets: tuple[Bucket, ...]
    first_user: int
    users: int
    design: Design
    pre_days: int
    logs: bool

    @property
    def personal(self) -> bool:
        """Whether a bucket has personal patches. Then the application is closed after each session in all buckets."""
        return any(bucket.personal for bucket in self.buckets)

    def blocks(self) -> list[Block]:
        """Return all blocks: for each range of users, one of each bucket."""
        found = []
        end = self.first_user + self.users
        for first in range(self.first_user, end, BLOCK):
            users = range(first, min(first + BLOCK, end))
            for number in range(len(self.buckets)):
                own = [user for user in users if self.design == "paired" or self.assigned(user) == number]
                if own:
                    found.append(Block(first, number, tuple(own)))
        return found

    def assigned(self, user_id: int) -> int:
        """Return the bucket of a user in the split design: a hash of the ID, which says nothing about the user."""
        digest = hashlib.blake2b(f"{self.world.seed} {user_id}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") % len(self.buckets)


@dataclass(frozen=True)
class Block:
    """Some users of one bucket, which become one part of each table.

    Attributes:
        first: the first user of the range that the users are from.
        bucket: the bucket, an index of `Plan.buckets`.
        users: the users.
    """

    first: int
    bucket: int
    users: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the part."""
        return f"{self.first:09d}-{self.bucket:02d}"


def play_block(plan: Plan, work: ResumableFolder, urls: Sequence[str] | None, block: Block) -> dict[str, float]:
    """Play the users of a block, write its part of both tables, and mark it as finished.

    Args:
        plan: what is simulated.
        work: the folder of the results.
        urls: the URL of each bucket's server; None for the RS in this process.
        block: the block.

    Returns:
        The seconds of each part of the closed loop, those of the whole block (`block`), and the number of sessions.
    """
    started = perf_counter()
    bucket, seconds = plan.buckets[block.bucket], Seconds()
    model = None if bucket.bundle is None else _model(bucket.bundle, _changed(bucket.bundle))
    url = None if urls is None else urls[block.bucket]
    sent: list[tuple[pl.DataFrame, pl.DataFrame]] = []
    played = list(_play(plan, bucket, block, model, url, seconds, sent))
    tables = {
        f"{USERS}/part-{block.name}": _users(bucket.name, played, personal=plan.personal),
        f"{EXPOSURES}/part-{block.name}": _exposures(bucket.name, played, mixed=plan.world.config.mix is not None),
    }
    logs, part = f"{LOGS}/{bucket.name}", f"part-{block.first:09d}"
    if plan.logs and bucket.explore:
        tables[f"{logs}/{TRUTH}/{PLACES}/{part}"] = _places(played)
    if sent:
        for name, frames in zip((EVENTS, REQUESTS), zip(*sent, strict=True), strict=True):
            tables[f"{logs}/{name}/{part}"] = pl.concat(frames)
    files = []
    for name, frame in tables.items():
        files.append(work.path / f"{name}.parquet")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        write_table(frame, files[-1])
    sessions = sum(one.test.sessions + one.pre.sessions for one in played)
    note = {**vars(seconds), "block": perf_counter() - started, "sessions": float(sessions)}
    work.finish(block.name, note, files)
    return note


def _play(
    plan: Plan,
    bucket: Bucket,
    block: Block,
    model: DeviceModel | None,
    url: str | None,
    seconds: Seconds,
    sent: list[tuple[pl.DataFrame, pl.DataFrame]],
) -> Iterator[Played]:
    """Play the users of a block. Logs that are kept in this process are added to `sent`, for each user."""
    with TemporaryDirectory(prefix="edgerec-loop-") as folder, _transport(plan, bucket, url) as cloud:
        for user_id in block.users:
            path = Path(folder) / f"{user_id}.sqlite"
            yield play_user(
                plan.world,
                user_id,
                bucket=bucket,
                control=plan.buckets[0],
                cloud=cloud,
                model=model,
                path=path,
                seconds=seconds,
                pre_days=plan.pre_days,
                logs=plan.logs,
                closes=plan.personal,
            )
            path.unlink()
            if plan.logs and isinstance(cloud, LocalCloud):
                sent.append(cloud.take_logs())


@contextlib.contextmanager
def _transport(plan: Plan, bucket: Bucket, url: str | None) -> Iterator[Transport]:
    """Yield the transport to the RS of a bucket, for one block."""
    if url is None:
        served = [] if bucket.bundle is None else [_version(bucket.bundle, _changed(bucket.bundle))]
        yield LocalCloud(plan.world, served, keep=plan.logs)
    else:
        with HttpTransport(url, timeout_s=TIMEOUT_S) as transport:
            yield transport


@lru_cache(maxsize=32)
def _model(bundle: Path, changed: int) -> DeviceModel:
    """Return the models of a bundle. They are loaded once in each process, and again when the bundle has changed."""
    return load_device_model(bundle)


@lru_cache(maxsize=32)
def _version(bundle: Path, changed: int) -> ServedVersion:
    """Return the version of a bundle that the cloud serves. It is opened and checked once in each process."""
    return open_version(bundle)


def _changed(bundle: Path) -> int:
    return int((bundle / NAME).stat().st_mtime_ns)


def _users(bucket: str, played: Sequence[Played], *, personal: bool) -> pl.DataFrame:
    columns = {**USER_COLUMNS, **(PATCH_COLUMNS if personal else {})}
    rows = [
        {
            "bucket": bucket,
            "user_id": one.user_id,
            "planned_sessions": one.planned_sessions,
            **vars(one.test),
            **{f"pre_{name}": getattr(one.pre, name) for name in _PRE},
            **({f"patch_{name}": value for name, value in vars(one.patches).items()} if personal else {}),
        }
        for one in played
    ]
    return pl.DataFrame(rows, schema=columns)


def _exposures(bucket: str, played: Sequence[Played], *, mixed: bool) -> pl.DataFrame:
    columns = {**EXPOSURE_COLUMNS, **(MIXED_EXPOSURE_COLUMNS if mixed else {})}
    own = [name for name in columns if name not in ("bucket", "user_id")]
    rows = [(bucket, one.user_id, *(getattr(shown, name) for name in own)) for one in played for shown in one.shown]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _places(played: Sequence[Played]) -> pl.DataFrame:
    rows = [
        (place.request_id, place.place, place.item_ids, place.probabilities) for one in played for place in one.places
    ]
    return pl.DataFrame(rows, schema=PLACE_COLUMNS, orient="row")
