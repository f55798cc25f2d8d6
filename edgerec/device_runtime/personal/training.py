"""Trains the user's patch on the device when the application is idle, within a budget of time."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from edgerec.core.errors import EdgeRecError, first_line
from edgerec.device_runtime.clock import due_time
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.personal.ranking import PersonalRanking
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.rows import PatchState
from edgerec.personalization.events import Events
from edgerec.personalization.head import PersonalHead
from edgerec.personalization.learning import Learnt, learn
from edgerec.personalization.patch import Patch


@dataclass(frozen=True)
class _Job:
    """What a training reads.

    Attributes:
        head: the head of the model.
        events: the events of the user.
        patch: the patch in use.
        before: what the training before has left.
        through: the sequence number of the latest page whose events are here.
        resets: how often the patch had been reset.
    """

    head: PersonalHead
    events: Events
    patch: Patch | None
    before: PatchState | None
    through: int
    resets: int


class PatchTraining:
    """Decides when a patch is trained, and trains it.

    The lock is held while events are read and while the result is written, but not while it is computed. The result is
    one transaction. So a killed training leaves the patch that was there.

    Args:
        lock: the client's lock.
        store: where events and the patch are.
        ranking: uses the patch.
        config: the configuration of the client.
        now: the time at which the user has begun, in milliseconds since 1970.
    """

    def __init__(
        self,
        lock: threading.Condition,
        store: BehaviourStore,
        ranking: PersonalRanking,
        config: ClientConfig,
        now: int,
    ) -> None:
        self._lock, self._store, self._ranking, self._config = lock, store, ranking, config
        self._active = now
        self.use()

    def use(self) -> None:
        """Train for the present model of `ranking` from now on. The lock is held."""
        self._tried, self._through = 0, 0
        head = self._ranking.head
        state = None if head is None else self._state(head)
        if state is not None:
            self._tried, self._through = state.time, state.through

    def note(self, now: int) -> None:
        """Note that the user did something. The lock is held."""
        self._active = now

    def due(self, now: int, *, session_over: bool = False) -> int | None:
        """Return the time of the next training in milliseconds since 1970; None if nothing is to be learnt.

        Args:
            now: the present time. A time of the future was left by a wrong clock, so it delays nothing.
            session_over: whether the user has left, so that nothing else is going on.
        """
        if self._ranking.head is None or self._store.personal.newest <= self._through:
            return None
        idle, interval = self._config.personal_idle_ms, self._config.personal_interval_ms
        times = [due_time(self._tried + interval, now, interval)]
        if not session_over:
            times.append(due_time(self._active + idle, now, idle))
        return max(times)

    def run(self, now: int) -> tuple[int, list[str]]:
        """Train once. The lock is free. Return the number of trainings, and what failed.

        A reset or a change of the model in between makes the result void. Whatever fails, the patch in use stays.
        """
        try:
            with self._lock:
                job = self._begin(now)
            if job is None:
                return 0, []
            state = self._learn(job, now)
            with self._lock:
                if self._ranking.head is job.head and self._store.personal.resets == job.resets:
                    self._keep(state)
        except Exception as error:  # For example a singular matrix. The application gets no error of the training.
            return 0, [f"the patch of the user cannot be trained: {first_line(error)}"]
        return 1, []

    def _keep(self, state: PatchState) -> None:
        if state.patch is None:
            self._ranking.patch = None  # Also if the store cannot be written: a bad patch should not rank on.
        self._store.personal.write(state)
        self._ranking.read()

    def reset(self) -> None:
        """Forget the patch and all that it was trained from. The lock is held.

        Raises:
            StoreError: the store cannot be written.
        """
        try:
            self._store.personal.forget()
        finally:  # The rows may be gone although an error says that the file cannot be shortened.
            self._ranking.read()
            self.use()

    def _begin(self, now: int) -> _Job | None:
        head, tables = self._ranking.head, self._store.personal
        if head is None:
            return None
        self._through = tables.newest
        events = tables.events(head.training.version_id)
        if events is None:
            return None
        self._tried = now
        return _Job(head, events, self._ranking.patch, self._state(head), self._through, tables.resets)

    def _state(self, head: PersonalHead) -> PatchState | None:
        try:
            return self._store.personal.state(head.training.version_id)
        except EdgeRecError:  # `PersonalRanking.read` has said so. The next training replaces it.
            return None

    def _learn(self, job: _Job, now: int) -> PatchState:
        version_id, patch, before = job.head.training.version_id, job.patch, job.before
        through = 0 if before is None else before.through
        known = Learnt(
            None if patch is None else patch.theta,
            0 if patch is None else patch.events,
            "",
            0 if before is None else before.rollbacks,
        )
        first = int(np.searchsorted(job.events.requests, through, side="right"))
        result = learn(
            job.head,
            job.events,
            known,
            new=slice(first, None),
            budget_s=self._config.personal_budget_ms / 1000,
        )
        # A training that failed leaves the patch in use, with its own time and number of events.
        kept = patch is not None and result.theta is patch.theta
        made = (
            None if result.theta is None else Patch(self._store.user_id, version_id, result.theta, result.events, now)
        )
        return PatchState(version_id, patch if kept else made, now, job.through, result.outcome, result.rollbacks)
