"""What a device keeps for the user's patch: labelled events of pages that have ended, and the patch itself.

Nothing of it is ever sent. docs/personalization.md ("On the device") says when it is written and deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import EdgeRecError, StoreError
from edgerec.device_runtime.store.database import Database
from edgerec.device_runtime.store.rows import PatchState
from edgerec.device_runtime.store.statements import read_statements
from edgerec.device_runtime.store.values import FLOAT, HALF, LABEL, array, blob, whole
from edgerec.personalization.events import Events
from edgerec.personalization.patch import Patch

MOST_EVENTS = 2000
"""Older events are dropped. A patch of 84 numbers learns from about 90 events of a user (docs/personalization.md)."""


@dataclass(frozen=True, eq=False)
class ScoredRequest:
    """One request of a page that ends.

    Attributes:
        version_id: the model that scored it.
        time: its time.
        item_ids: the candidates.
        labels: the label of each candidate; None for one that the user has not seen since then.
        logits: the logit of each candidate, of the shared model.
        phi: (c, rank) float16, what a patch reads of each candidate.
    """

    version_id: str
    time: int
    item_ids: Sequence[int]
    labels: Sequence[int | None]
    logits: Sequence[float]
    phi: NDArray[np.float16]


class PersonalTables:
    """The events and the patches of one user. Threads may share it.

    Attributes:
        resets: how often `forget` was called. A training that began before does not count any more.
    """

    def __init__(self, database: Database, *, user_id: int) -> None:
        self._database, self._user_id = database, user_id
        self._sql = read_statements("personal")
        self._newest = int(database.rows(self._sql["newest"])[0][0] or 0)
        self.resets = 0

    @property
    def newest(self) -> int:
        """The sequence number of the latest page with events; 0 before the first one."""
        return self._newest

    def add_page(self, requests: Sequence[ScoredRequest]) -> None:
        """Add the events of one page, as a part of the caller's transaction.

        Each candidate counts once, with the latest request that has a label for it. Only requests of the version that
        scored the last one count.

        Args:
            requests: the requests of the page in their order.
        """
        if not requests:
            return
        last = requests[-1]
        found = {
            item_id: (request, place)
            for request in requests
            if request.version_id == last.version_id
            for place, (item_id, label) in enumerate(zip(request.item_ids, request.labels, strict=True))
            if label is not None
        }
        if not found:
            return
        phi = np.stack([request.phi[place] for request, place in found.values()])
        logits = np.array([request.logits[place] for request, place in found.values()], FLOAT)
        labels = np.array([request.labels[place] for request, place in found.values()], LABEL)
        self._newest += 1
        row = (self._newest, last.version_id, last.time, blob("phi", phi, HALF), logits.tobytes(), labels.tobytes())
        self._database.execute(self._sql["add_events"], row)
        self._database.execute(self._sql["drop_surplus"], (MOST_EVENTS,))

    def events(self, version_id: str) -> Events | None:
        """Return the events that this version has scored, oldest page first; None if there are none.

        `Events.requests` has the sequence number of the page of each event.

        Raises:
            StoreError: a row is damaged.
        """
        with self._database.lock:
            rows = self._database.rows(self._sql["events"], (version_id,))
        if not rows:
            return None
        try:
            parts = [
                (array(phi, HALF).reshape(len(labels), -1), array(logits, FLOAT), array(labels, LABEL))
                for _, phi, logits, labels in rows
            ]
            phi, logits, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
            pages = np.repeat(np.array([row[0] for row in rows], np.int64), [len(part[2]) for part in parts])
            return Events(phi.astype(np.float32), logits, labels.astype(np.float32), pages)
        except (ValueError, TypeError, EdgeRecError) as error:
            raise self._damaged(f"an event of version {version_id}", error) from None

    def state(self, version_id: str) -> PatchState | None:
        """Return what the latest training of this version has left; None before the first one.

        The patch is not checked; `Patch.check` does it.

        Raises:
            StoreError: the row is damaged.
        """
        with self._database.lock:
            row = self._database.row(self._sql["patch"], (version_id,))
        if row is None:
            return None
        user_id, theta, events, trained, time, through, rollbacks, outcome = row
        patch = None
        if theta is not None:
            try:
                patch = Patch(user_id, version_id, array(theta, FLOAT), events, trained)
            except (ValueError, TypeError) as error:
                raise self._damaged(f"the patch of version {version_id}", error) from None
        return PatchState(version_id, patch, time, through, outcome, rollbacks)

    def write(self, state: PatchState) -> None:
        """Replace what is kept of a version by the result of a training, in one transaction.

        Raises:
            StoreError: the patch belongs to another user or version, or the disk is full.
        """
        patch = state.patch
        if patch is not None and (patch.user_id, patch.version_id) != (self._user_id, state.version_id):
            raise StoreError(
                f"a patch should belong to user {self._user_id} and version {state.version_id}. Received: one of user "
                f"{patch.user_id} and version {patch.version_id}"
            )
        theta = None if patch is None else blob("theta", patch.theta, FLOAT)
        made = (0, None) if patch is None else (whole("events", patch.events), whole("time", patch.time))
        latest = (state.time, state.through, state.rollbacks, state.outcome)
        self._database.write(self._sql["write_patch"], (state.version_id, self._user_id, theta, *made, *latest))

    def keep_only(self, version_id: str, head_id: str) -> None:
        """Delete all events and patches, also those of open pages, unless they are of this model. One transaction.

        Call it when a model begins to rank. It cannot read what another one has left.

        Args:
            version_id: the version of the model.
            head_id: `PersonalHead.head_id`, because a run can have several heads; "" for a model without a head.
        """
        with self._database.transaction():
            if self._database.row(self._sql["model"]) != (version_id, head_id):
                self._forget()
                self._database.execute(self._sql["write_model"], (version_id, head_id))

    def forget(self) -> None:
        """Delete all events and patches, also those of open pages, in one transaction. The rows become zeros."""
        with self._database.lock:
            self.resets += 1
            with self._database.transaction(durable=True):
                self._forget()
            self._newest = 0
            self._database.checkpoint()

    def prune(self, before: int) -> None:
        """Delete events of pages before this time in milliseconds since 1970, and patches whose training was before."""
        with self._database.transaction():
            self._database.execute(self._sql["drop_old_events"], (before,))
            self._database.execute(self._sql["drop_old_patches"], (before,))

    def versions(self) -> list[str]:
        """Return the versions that have a training or events."""
        with self._database.lock:
            trained = {version for (version,) in self._database.rows(self._sql["versions"])}
        return sorted(trained | set(self.counts()))

    def counts(self) -> Mapping[str, tuple[int, int]]:
        """Return the number of pages and of events, by version."""
        with self._database.lock:
            rows = self._database.rows(self._sql["counts"])
        return {version: (pages, events) for version, pages, events in rows}

    def _forget(self) -> None:
        for name in ("forget_events", "forget_patches", "forget_phi"):
            self._database.execute(self._sql[name])

    def _damaged(self, what: str, error: Exception) -> StoreError:
        return StoreError(
            f"behaviour store {self._database.path}: {what} is damaged ({error}): the shared model ranks; reset the "
            "patch (`Client.reset_patch`, `edgerec personalize reset`), so that a new one is trained"
        )
