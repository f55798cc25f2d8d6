"""`edgerec explain`: which behaviours of the user put the candidates of a request in their order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgerec.bench.replay.timeline import LoggedBehaviour, LoggedRequest, Timeline, timelines
from edgerec.bundle.guard import guarded
from edgerec.bundle.load import load_bundle
from edgerec.bundle.signing import PublicKey
from edgerec.cloud.versions import open_version
from edgerec.core.errors import InputError
from edgerec.core.paths import AnyPath, to_path
from edgerec.data.logs import LogsFolder, open_logs
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.prepared_items import ItemPreparer
from edgerec.device_runtime.scoring import kinds_read
from edgerec.explanation.attention import read_attention
from edgerec.explanation.document import build_document
from edgerec.explanation.effects import Situation, effects_of
from edgerec.explanation.find import FoundRequest, find_request, latest_clicked
from edgerec.explanation.groups import groups_of
from edgerec.explanation.items import LoggedItems
from edgerec.explanation.past import read_past
from edgerec.features.behaviours import BEHAVIOUR_KINDS

USERS = 100
"""Number of users among whom a request is chosen."""
TOP = 5


def run_explain(
    bundle: Path,
    logs: Path,
    *,
    request_id: int | None = None,
    top: int = TOP,
    public_key: PublicKey | None = None,
) -> dict[str, Any]:
    """Explain one logged request, and return the document of `edgerec explain` (docs/explain.md).

    The models run in a separate process, because damaged models can crash native code.

    Args:
        bundle: the bundle.
        logs: the logs.
        request_id: the request. None: of the latest clicked requests of the first `USERS` users, the one in which
            behaviours raised a clicked item by most positions.
        top: number of best candidates that table and page show, beside the clicked ones.
        public_key: the key that must have signed the bundle.

    Raises:
        InputError: there is no such request, or the model or the user has no behaviours.
        EdgeRecError: an input cannot be read.
    """
    return guarded(partial(explain, logs=logs, request_id=request_id, top=top, public_key=public_key), bundle)


def explain(
    bundle: AnyPath,
    logs: AnyPath,
    *,
    request_id: int | None = None,
    top: int = TOP,
    public_key: PublicKey | None = None,
) -> dict[str, Any]:
    """Explain one logged request in this process. The arguments and the document are those of `run_explain`.

    Damaged models can crash native code, and so this process. `run_explain` runs them in another one.
    """
    bundle, logs = to_path(bundle, "explain: `bundle`"), to_path(logs, "explain: `logs`")
    started = time.perf_counter()
    _, model = load_bundle(bundle, public_key=public_key)
    if not kinds_read(model):
        raise InputError(
            f"explain: the model of {bundle} reads no behaviours, so no behaviour can explain its order: give a bundle "
            "of a model that reads them, such as crban"
        )
    opened = open_logs(logs, spec=model.spec)
    if opened.head.repeated_items:
        raise InputError(f"explain: the lists of {logs} contain an item several times, and a feed shows it once")
    items = LoggedItems.open(opened, open_version(bundle, public_key=public_key))
    how = "given"
    if request_id is None:
        request_id, how = _chosen(opened, model, items)
    found = find_request(opened, request_id)
    loaded = time.perf_counter()
    line, request, situation = _situation(opened, model, items, found)
    if not any(map(len, situation.past.values())):
        raise InputError(
            f"explain: user {found.user_id} has no behaviour before request {request_id}, so none can explain its "
            "order: give a later request"
        )
    effects = effects_of(situation)
    attention = read_attention(model, situation.arguments())
    groups = groups_of(situation, items)
    document = build_document(situation, effects, groups, attention, request, items, top=top)
    ended = time.perf_counter()
    return {
        "bundle": str(bundle),
        "logs": str(logs),
        "version_id": model.version_id,
        "request": {
            "request_id": request.request_id,
            "user_id": line.user_id,
            "store_id": line.store_id,
            "time": request.time,
            "trigger": request.trigger,
            "page_id": request.page_id,
            "candidates": len(request.item_ids),
            "known": {kind.name: len(past) for kind, past in situation.past.items()},
            "chosen": how,
        },
        "logged_scores": _compare(found, model, effects.logits),
        **document,
        "seconds": {"load": loaded - started, "explain": ended - loaded},
    }


def _situation(
    logs: LogsFolder, model: DeviceModel, items: LoggedItems, found: FoundRequest
) -> tuple[Timeline, LoggedRequest, Situation]:
    """Return the timeline of the request's store, the request, and what its device knew."""
    for line in timelines(logs, model.spec, [found.user_id]):
        for index, step in enumerate(line.steps):
            if isinstance(step, LoggedRequest) and step.request_id == found.request_id:
                return line, step, situation_of(model, items, line, index)
    raise InputError(f"explain: request {found.request_id} is not in the timeline of user {found.user_id}")


def situation_of(model: DeviceModel, items: LoggedItems, line: Timeline, index: int) -> Situation:
    """Return what the device knew at the step `index` of a timeline, which is a request.

    Raises:
        InputError: the request has more candidates than the model can rank.
    """
    request = line.steps[index]
    if not isinstance(request, LoggedRequest):
        raise InputError(f"explain: step {index} of the timeline of user {line.user_id} is no request")
    if len(request.item_ids) > model.ranker.limit:
        raise InputError(
            f"explain: the model ranks at most {model.ranker.limit} candidates; request {request.request_id} has "
            f"{len(request.item_ids)}: give another request"
        )
    known: dict[str, list[LoggedBehaviour]] = {kind.name: [] for kind in BEHAVIOUR_KINDS}
    for step in line.steps[:index]:
        if isinstance(step, LoggedBehaviour):
            known[step.kind.name].append(step)
    past = {kind: read_past(model, items, kind, known[kind.name]) for kind in kinds_read(model)}
    candidates = ItemPreparer(model).prepare(items.batch(request.item_ids, request.served))
    return Situation(model, candidates, past, request.context, request.time)


def _chosen(logs: LogsFolder, model: DeviceModel, items: LoggedItems) -> tuple[int, str]:
    """Return the request in which behaviours raised a clicked item most, and how it was chosen.

    Equal ones: the larger change of the score, then the smaller request ID.
    """
    wanted = latest_clicked(logs, USERS)
    best: tuple[int, float, int] | None = None
    for line in timelines(logs, model.spec, list(wanted)):
        for index, step in enumerate(line.steps):
            if not isinstance(step, LoggedRequest) or step.request_id != wanted[line.user_id]:
                continue
            if len(step.item_ids) > model.ranker.limit:
                continue
            positions, logits = _raised(situation_of(model, items, line, index), step.clicked)
            best = max(best or (positions, logits, -step.request_id), (positions, logits, -step.request_id))
    if best is None:
        raise InputError(
            f"explain: the latest requests of {logs.path} have more candidates than the model can rank "
            f"({model.ranker.limit}): give a request with --request"
        )
    return -best[2], (
        f"of the latest clicked requests of {len(wanted)} users, the one in which behaviours raised a clicked item by "
        f"most positions ({best[0]})"
    )


def _raised(situation: Situation, clicked: Sequence[int | None]) -> tuple[int, float]:
    """Return by how many positions behaviours raised a clicked item at most, and by how much they raised its score.

    Without a click, every candidate counts.
    """
    scores, without = situation.score(), situation.score_without(situation.past)
    ranks = [np.argsort(np.argsort(-one, kind="stable")) for one in (scores, without)]
    rows = [row for row, label in enumerate(clicked) if label == 1] or range(len(clicked))
    return max((int(ranks[1][row] - ranks[0][row]), float(scores[row] - without[row])) for row in rows)


def _compare(found: FoundRequest, model: DeviceModel, logits: Any) -> dict[str, Any] | None:
    """Compare with the scores that the device logged, if the same version made them."""
    if found.scores is None or found.model_version != model.version_id or len(found.scores) != len(logits):
        return None
    return {"max_abs": float(np.abs(np.array(found.scores, np.float64) - logits).max())}
