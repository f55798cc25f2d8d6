"""`edgerec replay`: logged behaviour, played through client, store and models against a server in another process."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgerec.bench.environment import environment
from edgerec.bench.replay.forced import play_forced
from edgerec.bench.replay.free import FreePlayer
from edgerec.bench.replay.received import Answers, read_answers
from edgerec.bench.replay.sample_digests import sample_digests
from edgerec.bench.replay.spans import QUANTILES, Spans
from edgerec.bench.replay.table3 import ENCODED, RESPONSE, durations_of, stages_of, table3
from edgerec.bench.replay.timed import TimedTransport, time_model, time_store
from edgerec.bench.replay.timeline import LoggedRequest, Timeline, chosen_users, timelines
from edgerec.bundle.guard import guarded
from edgerec.bundle.layout import DEVICE
from edgerec.bundle.load import load_device_model
from edgerec.bundle.manifest_file import read_device_manifest
from edgerec.bundle.signing import PublicKey
from edgerec.cloud.server_process import server_process
from edgerec.core.atomic import output_folder
from edgerec.core.console import log, progress, stage
from edgerec.core.errors import InputError, ParityError
from edgerec.data.logs import JOURNAL, open_logs
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.model.run_head import read_run_head
from edgerec.paging.http_transport import HttpTransport
from edgerec.paging.transport import Transport

Mode = Literal["forced", "free"]
MODES: tuple[Mode, ...] = ("forced", "free")
AT_ONCE = 200
"""Number of users whose logs are in memory at the same time."""


@dataclass
class _Played:
    """What was counted while the timelines were played."""

    stores: int = 0
    behaviours: int = 0
    requests: int = 0
    pages: int = 0
    skipped: int = 0
    sizes: list[dict[str, Any]] = field(default_factory=list)


def run_replay(
    bundle: Path,
    logs: Path,
    *,
    mode: Mode = "forced",
    run: Path | None = None,
    requests: int | None = 1000,
    seed: int = 1,
    received: Path | None = None,
    force: bool = False,
    public_key: PublicKey | None = None,
    before_comparison: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Play the logs of some users, and return the document of `edgerec replay`.

    Logs are played in a separate process, because damaged models can crash native code.

    Args:
        bundle: the bundle.
        logs: the logs to play.
        mode: `forced`: the logged exposures in the logged order. `free`: the client's own order.
        run: the run of the bundle. If given, Keras scores the same requests, and the samples of the logs that the
            devices sent are compared with the samples of the logs that were played.
        requests: users are chosen at random until they have this many requests. None: all users.
        seed: seed of the choice.
        received: folder for the logs that the devices send. Default: they are not kept.
        force: replace `received` if it exists.
        public_key: the key that must have signed the bundle.
        before_comparison: is called before the comparison with Keras, which imports TensorFlow.

    Raises:
        InputError: `run` is given in the free mode, which has no labels and no logged order, or `run` has another
            version than the bundle.
        ParityError: a score of the device differs from that of Keras by more than 1e-4, or the client does not follow
            the logs.
        EdgeRecError: an input cannot be read.
    """
    start = time.perf_counter()
    if run is not None:
        _check_run(run, bundle, mode, public_key)
    with TemporaryDirectory(prefix="edgerec-replay-") as folder:
        work = Path(folder)
        sent = work / "received"
        play = partial(
            _play, logs=logs, mode=mode, requests=requests, seed=seed, sent=sent, work=work, public_key=public_key
        )
        document, scores = guarded(play, bundle)
        if run is not None:
            before_comparison()
            document |= _compare(run, logs, sent, scores, work)
        if received is not None:
            with output_folder(received, force=force, kind="logs") as kept:
                shutil.copytree(sent, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns(f"{JOURNAL}*"))
    return {"environment": environment(), "bundle": str(bundle), "logs": str(logs), **document} | {
        "seconds": time.perf_counter() - start
    }


def _check_run(run: Path, bundle: Path, mode: Mode, public_key: PublicKey | None) -> None:
    if mode == "free":
        raise InputError("replay: the free mode has no logged order to compare with: leave out --run, or use forced")
    of_run = read_run_head(run)[0].version_id
    of_bundle = read_device_manifest(bundle / DEVICE, public_key=public_key).version_id
    if of_run != of_bundle:
        raise InputError(
            f"replay: {bundle} has the version {of_bundle}, and {run} has {of_run}: give the run that the bundle was "
            "exported from"
        )


def _play(
    bundle: Path,
    *,
    logs: Path,
    mode: Mode,
    requests: int | None,
    seed: int,
    sent: Path,
    work: Path,
    public_key: PublicKey | None,
) -> tuple[dict[str, Any], dict[int, NDArray[np.float32]]]:
    """Play the logs. Return the document, and the scores (c,) of each request by its ID."""
    model = load_device_model(bundle, public_key=public_key)
    opened = open_logs(logs, spec=model.spec)
    if opened.head.repeated_items:
        raise InputError(f"replay: the lists of {logs} contain an item several times, and a feed shows it once")
    users = chosen_users(opened, requests=requests, seed=seed)
    spans, played = Spans(), _Played()
    time_model(model, spans)
    groups = [users[first : first + AT_ONCE] for first in range(0, len(users), AT_ONCE)]
    every = (one for group in groups for one in timelines(opened, model.spec, group))
    with (
        stage("play"),
        server_process(bundle, catalogue=logs, logs=sent) as url,
        HttpTransport(url) as transport,
    ):
        cloud = TimedTransport(transport, spans)
        for _ in progress(_play_all(every, mode, work, cloud, model, spans, played), what="replay", total=requests):
            pass
    answered = read_answers(sent)
    document = {"version_id": model.version_id, **_document(answered, spans, played, mode, users=len(users))}
    return document, answered.scores


def _play_all(
    every: Iterator[Timeline],
    mode: Mode,
    work: Path,
    cloud: Transport,
    model: DeviceModel,
    spans: Spans,
    played: _Played,
) -> Iterator[None]:
    """Play timelines one after the other, and yield after each request."""
    for number, timeline in enumerate(every):
        path = work / f"{number}.sqlite"
        with BehaviourStore(path, user_id=timeline.user_id, limits=model.limits) as store:
            time_store(store, spans)
            if mode == "forced":
                pages = {step.page_id for step in timeline.steps if isinstance(step, LoggedRequest)}
                played.pages += len(pages)
                for _ in play_forced(timeline, store, cloud, model, spans):
                    played.requests += 1
                    yield
            else:
                player = FreePlayer(timeline, store, cloud, model, spans)
                for _ in player.play():
                    yield
                played.requests += player.orders
                played.pages += player.pages
                played.skipped += player.skipped
            played.sizes.append(store.measure())
        played.stores += 1
        played.behaviours += sum(not isinstance(step, LoggedRequest) for step in timeline.steps)
        path.unlink()


def _document(answered: Answers, spans: Spans, played: _Played, mode: Mode, *, users: int) -> dict[str, Any]:
    durations = durations_of(spans)
    return {
        "mode": mode,
        "users": users,
        "stores": played.stores,
        "requests": played.requests,
        "behaviours": played.behaviours,
        "pages": played.pages,
        "skipped_exposures": played.skipped,
        "outcomes": answered.outcomes,
        "behaviour_p99_ms": _p99(durations, ENCODED),
        "response_p99_ms": _p99(durations, RESPONSE),
        "feedback_per_user": played.requests / users,
        "feedback_cloud_only": played.pages / users,
        "durations": durations,
        "quantiles": list(QUANTILES),
        "stages": stages_of(spans),
        "table3": table3(durations, feedback=played.requests / users, pages=played.pages / users),
        "store": _mean_sizes(played.sizes),
        "parity_max_abs": None,
        "orders_equal": None,
        "orders_tied": None,
        "orders_different": None,
        "samples_equal": None,
    }


def _mean_sizes(sizes: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the mean bytes stored and written a behaviour over all stores with behaviours."""
    means: dict[str, float | None] = {}
    for name in ("stored_per_behaviour", "written_per_behaviour"):
        values = [one[name] for one in sizes if one[name] is not None]
        means[name] = float(np.mean(values)) if values else None
    return means


def _p99(durations: Mapping[str, Any], name: str) -> float | None:
    return durations[name]["p99"] if name in durations else None


def _compare(
    run: Path, logs: Path, sent: Path, scores: Mapping[int, NDArray[np.float32]], work: Path
) -> dict[str, Any]:
    """Compare with Keras, and compare the samples of both logs."""
    # TensorFlow takes seconds to import. It is imported after the durations were measured.
    from edgerec.bench.replay.parity import TOLERANCE, compare_scores
    from edgerec.data.build_samples import write_samples
    from edgerec.model.runs import load_run

    with stage("samples"):
        played = write_samples(logs, work / "played", like=run)
        returned = write_samples(sent, work / "returned", like=run)
    with stage("compare"):
        parity = compare_scores(load_run(run).model, played, scores)
        here, there = sample_digests(played), sample_digests(returned)
    equal = sum(there.get(request) == here[request] for request in scores)
    if parity.max_abs > TOLERANCE:
        raise ParityError(
            f"replay: scores of the device and of Keras differ by up to {parity.max_abs:.2e}; at most {TOLERANCE:.0e} "
            f"is allowed ({parity.requests:,} requests)"
        )
    if equal < len(scores):
        log(f"{len(scores) - equal:,} of {len(scores):,} requests have other samples in the logs of the devices")
    return {
        "parity_requests": parity.requests,
        "parity_max_abs": parity.max_abs,
        "orders_equal": parity.orders_equal,
        "orders_tied": parity.orders_tied,
        "orders_different": parity.orders_different,
        "samples_equal": equal,
    }
