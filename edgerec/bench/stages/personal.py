"""The stages `rerank_personal`, `response_personal` and `train_patch`: what a patch of one user costs on the device."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from edgerec.bench.document import PatchCost
from edgerec.bench.peers.peer import Calls
from edgerec.bench.stages.device_client import USER, DeviceClient, device_client
from edgerec.bench.stages.response import respond
from edgerec.bench.stages.stage import RUNTIME, Loaded, Stage
from edgerec.bundle.golden import encode_case
from edgerec.bundle.layout import DEVICE, PERSONAL_HEAD
from edgerec.core.errors import InputError, SessionError
from edgerec.device_runtime.personal.ranking import PersonalRanking
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from edgerec.personalization.events import Events
from edgerec.personalization.head import PersonalHead
from edgerec.personalization.learning import TRAINED, Learnt, learn
from edgerec.personalization.patch import Patch
from edgerec.personalization.training import train

RERANK, RESPONSE, TRAIN = STAGES = ("rerank_personal", "response_personal", "train_patch")
SHARED, PATCH = "shared", "patch"
"""The same without a patch, and the patch alone."""
TRAINING, GRADIENT = "training", "gradient_50"
"""One training without the gate, and one of `GRADIENT_STEPS` gradient steps, whatever the head does."""
GRADIENT_STEPS = 50
EVENTS = 500
SWEEP = (100, 500, 2000)
"""Numbers of events. A device keeps about 2,000."""
CLICKED = 10
"""One of so many items is clicked."""
CALLS, TRAININGS = 20, 10
_CERTAIN = {"gain": 10.0, "gain_events": 1e6}
"""A gate with this prior knowledge lets every patch pass."""


@dataclass(frozen=True)
class PersonalBench:
    """The stages of a bundle whose head has trained a patch. `personal_bench` creates it."""

    loaded: Loaded
    head: PersonalHead
    events: Events
    stages: Sequence[Stage]

    def sweep(self) -> list[Stage]:
        """Return a stage of `train_patch` for each number of events in `SWEEP`."""
        counted = [(count, _repeated(self.events, count)) for count in SWEEP]
        return [replace(_training(self.head, events), parameters={"events": count}) for count, events in counted]

    def cost(self) -> PatchCost:
        """Return the bytes and the numbers that say what was measured."""
        manifest, training = self.loaded.manifest, self.head.training
        candidates = self.loaded.model.limits.candidates
        return PatchCost(
            method=training.method,
            optimiser=training.optimiser,
            steps=training.steps,
            rank=self.head.rank,
            events=len(self.events),
            candidates=candidates,
            patch_bytes=self.head.start.nbytes,
            head_bytes=manifest.files[f"{DEVICE}/{PERSONAL_HEAD}"].size,
            request_bytes=candidates * self.head.rank * np.dtype(np.float16).itemsize,
            training_bytes=_peak(partial(_learn, self.head, self.events)),
        )


@contextmanager
def personal_bench(loaded: Loaded) -> Iterator[PersonalBench]:
    """Yield the stages. A client has recorded the events of a user, from which a patch was trained.

    Raises:
        InputError: the bundle has no head of patches.
        SessionError: no patch can be trained.
    """
    head = loaded.model.personal
    if head is None:
        raise InputError(
            f"bench: {loaded.bundle} has no patches to measure: export it with `--personal HEAD` "
            "(docs/personalization.md)"
        )
    # Invented clicks could make a training explode. A gradient step with rates of zero takes as long, and cannot.
    head = replace(head, rates=np.zeros_like(head.rates))
    with device_client(loaded, personal=True) as device:
        events = _recorded(device, loaded.manifest.version_id)
    learnt = _learn(head, events)
    if learnt.theta is None or learnt.outcome != TRAINED:
        raise SessionError(f"bench: a patch should be trained; received: {learnt.outcome}")
    patch = Patch(USER, head.training.version_id, learnt.theta, learnt.events, 1)
    with (
        device_client(loaded, personal=True, patch=patch) as own,
        device_client(loaded) as shared,
    ):
        ranking = PersonalRanking(own.client.store, enabled=True)
        ranking.use(loaded.model)
        calls = {RUNTIME: respond(own, RESPONSE), SHARED: respond(shared, RESPONSE)}
        stages = [
            _rerank(loaded, ranking),
            Stage(RESPONSE, calls, CALLS, reference=RUNTIME),
            _training(head, events),
        ]
        yield PersonalBench(loaded, head, events, stages)


def _recorded(device: DeviceClient, version_id: str) -> Events:
    """Return the events of pages whose items the user has all seen. A part of them is clicked."""
    client, number = device.client, itertools.count()
    exposures, page_views = device.pages.values(EXPOSURE), device.pages.values(PAGE_VIEW)
    tables = client.store.personal
    client.reset_patch()  # Half of the items that filled the windows were clicked, which is no usual rate.
    while tables.counts().get(version_id, (0, 0))[1] < EVENTS:
        client.refresh()
        client.run_pending()
        for item_id in client.order():
            client.exposed(item_id, next(exposures))
            if next(number) % CLICKED == 0:
                client.clicked(item_id)
                client.left_page(item_id, next(page_views))
        client.run_pending()
    events = tables.events(version_id)
    if events is None:
        raise SessionError("bench: the client has recorded no events")
    return events.take(slice(0, EVENTS))


def _rerank(loaded: Loaded, ranking: PersonalRanking) -> Stage:
    model, case = loaded.model, loaded.case
    encodings = encode_case(model, case)
    score = partial(model.ranker.score_cards, case.candidates, **encodings, ids=case.candidate_ids)
    scored = score()
    if ranking.rank(scored).personal is not True:
        raise SessionError("bench: the patch should be used at a re-rank; the shared model was")
    calls: Calls = {RUNTIME: lambda: ranking.rank(score()), SHARED: score, PATCH: lambda: ranking.rank(scored)}
    return Stage(RERANK, calls, CALLS, reference=RUNTIME, apart=(PATCH,))


def _training(head: PersonalHead, events: Events) -> Stage:
    settings = head.training.model_copy(update={"optimiser": "gradient", "steps": GRADIENT_STEPS})
    gradient = replace(head, training=settings)
    calls: Calls = {
        RUNTIME: partial(_learn, head, events),
        TRAINING: partial(train, head, events),
        GRADIENT: partial(train, gradient, events),
    }
    return Stage(TRAIN, calls, TRAININGS, reference=None)


def _learn(head: PersonalHead, events: Events) -> Learnt:
    """Do what a device does after a page: judge the patch in use, train one, judge it, and train it with all events.

    The gate lets every patch pass, because a training that it stops takes half the time.
    """
    certain = replace(head, training=head.training.model_copy(update=_CERTAIN))
    before = Learnt(head.start, 1, TRAINED, 0)
    return learn(certain, events, before, new=slice(len(events) * 4 // 5, None), budget_s=None)


def _repeated(events: Events, count: int) -> Events:
    """Return this number of events: the first ones, or all of them again and again."""
    rounds, rows = np.divmod(np.arange(count), len(events))
    requests = events.requests[rows] + rounds * (int(events.requests.max(initial=0)) + 1)
    return Events(events.phi[rows], events.logits[rows], events.labels[rows], requests)


def _peak(call: Callable[[], Any]) -> int:
    """Return the largest number of bytes that `call` needs at once. NumPy reports its memory to `tracemalloc`."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
