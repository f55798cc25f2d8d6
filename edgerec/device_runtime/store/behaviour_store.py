"""The behaviour store of a device: behaviours, their encodings, and the log rows that are not sent yet.

Recording and encoding are two transactions. When `record` returns, the raw behaviour is safe against a killed process.
`write_encoding` writes a key and a value for each of the two recurrences, the newest states, and a mark. After a crash,
`pending` returns the behaviours after the mark. docs/device.md ("The behaviour store") describes tables and promises.

This file is long because it is the one interface of the store: each method takes the lock and calls the file that has
the statements of its table.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from edgerec.core.errors import DamagedStoreError, StoreError
from edgerec.device_runtime.store.adoption import RebuiltKind, replace_encodings
from edgerec.device_runtime.store.behaviours import BehaviourTable
from edgerec.device_runtime.store.damaged import move_aside
from edgerec.device_runtime.store.database import Database, Synchronous
from edgerec.device_runtime.store.encodings import EncodingTable
from edgerec.device_runtime.store.mixing import MixingTable
from edgerec.device_runtime.store.personal import PersonalTables
from edgerec.device_runtime.store.requests import RequestTables
from edgerec.device_runtime.store.retention import DAY_MS, STEP_ROWS, Retention
from edgerec.device_runtime.store.rows import Behaviour, Encoding, States, StoredItem, StoredRequest, StoredWindow
from edgerec.device_runtime.store.set_back import set_back
from edgerec.device_runtime.store.spool import Spool, create, identity
from edgerec.device_runtime.store.statements import read_migrations
from edgerec.device_runtime.store.values import whole
from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE, PAGE_VIEW, BehaviourKind, Limits
from edgerec.features.recurrences import recurrence_start, window_start
from edgerec.mixing.prices import KindState
from edgerec.paging.log_rows import LogBatch


class BehaviourStore:
    """The behaviour store of one user, in one SQLite file. Threads may share it; one process may open it.

    Opening a store ends the pages that an earlier process had open.

    Args:
        path: the file. It is created if it does not exist; its folder must exist.
        user_id: the user. A store belongs to the user for whom it was created.
        limits: the limits of the model: the lengths of the windows, which say where recurrences start.
        retention: how much `prune` keeps.
        synchronous: `normal`: a killed process loses nothing, and a power cut may lose the last commits. `full`: a
            power cut loses nothing, and every commit waits for the disk.
        if_damaged: `move`: a damaged file is renamed to `NAME.damaged-TIME`, and a new store starts. `raise`: it is an
            error.
        check: whether the whole file is checked for damage now. It takes about 10 ms for 1,000 behaviours.

    Attributes:
        store_id: the ID of this store, a random whole number below 2^63. It is drawn when the file is created.
        last_time: the latest time of a behaviour, a request or a click. No later one has a smaller time.
        damaged: the new path of a damaged file that was renamed; None if there was none.
        personal: the events and the patch of a personal model. Threads may share it.

    Raises:
        StoreError: the file is open in another process, belongs to another user, has a newer format, is damaged, or is
            no behaviour store; or an argument has a wrong type. Then nothing was changed.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        user_id: int,
        limits: Limits | None = None,
        retention: Retention | None = None,
        synchronous: Synchronous = "normal",
        if_damaged: Literal["raise", "move"] = "raise",
        check: bool = True,
    ) -> None:
        _check_arguments(path, limits, retention)
        if if_damaged not in ("raise", "move"):
            raise StoreError(f"`if_damaged` should be 'raise' or 'move'. Received: {if_damaged!r:.80}")
        self.user_id, self.limits, self.retention = (
            whole("user_id", user_id),
            limits or Limits(),
            retention or Retention(),
        )
        self.damaged: Path | None = None
        try:
            self._open(Path(path), synchronous, check=check)
        except DamagedStoreError as error:
            if if_damaged == "raise":
                raise
            self.damaged = move_aside(Path(path), str(error))
            self._open(Path(path), synchronous, check=check)
        self._recorded = 0
        self._next_limits: Limits | None = None

    def _open(self, path: Path, synchronous: Synchronous, *, check: bool) -> None:
        user_id = self.user_id
        self._database = Database(
            path,
            read_migrations(),
            create=lambda database: create(database, user_id),
            synchronous=synchronous,
            check=check,
        )
        try:
            self._encodings = {
                kind: EncodingTable(self._database, kind, self.limits.of(kind)) for kind in BEHAVIOUR_KINDS
            }
            self.personal = PersonalTables(self._database, user_id=user_id)
            self._read()
            self._requests.end_all_pages()
        except BaseException:
            self._database.close()
            raise

    def _read(self) -> None:
        """Read from the file what is kept in memory."""
        self.store_id, last_time = identity(self._database, self.user_id)
        self._behaviours = {kind: BehaviourTable(self._database, kind) for kind in BEHAVIOUR_KINDS}
        self._requests = RequestTables(self._database, self.personal, user_id=self.user_id, store_id=self.store_id)
        self._spool = Spool(self._database, user_id=self.user_id, store_id=self.store_id)
        self._mixing = MixingTable(self._database)
        self.last_time = max(last_time, self._requests.last_time(), self._last_behaviour())

    def __enter__(self) -> BehaviourStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. The write-ahead log is copied into it."""
        self._database.close()

    def record(
        self, behaviour: Behaviour, *, ordinal: int | None = None, mixing: Mapping[str, KindState] | None = None
    ) -> int:
        """Record a behaviour in one transaction. Return its ordinal.

        Its time is the given one, or `last_time` if that is later.

        Args:
            behaviour: the behaviour.
            ordinal: its ordinal. It may be above the next ordinal (a gap), for example if logs are replayed.
            mixing: the state of mixing after this behaviour, which the same transaction stores; None: it stays.

        Raises:
            StoreError: the ordinal is in use or below the next one, a value has a wrong type, or the disk is full.
        """
        with self._database.lock:
            time = max(whole("time", behaviour.time), self.last_time)
            also = None if mixing is None else partial(self._mixing.put, mixing)
            ordinal = self._behaviours[behaviour.kind].append(behaviour, time, ordinal, also=also)
            self.last_time = time
            self._recorded += 1
            return ordinal

    def next_ordinal(self, kind: BehaviourKind) -> int:
        """Return the ordinal of the next behaviour of a kind: the one after the latest behaviour in the file."""
        return self._behaviours[kind].next_ordinal

    def mixing(self) -> dict[str, KindState]:
        """Return the state of mixing: for each kind, the cards that the user has seen, and the drift of its price."""
        with self._database.lock:
            return self._mixing.read()

    def set_item(self, kind: BehaviourKind, ordinal: int, item: StoredItem) -> None:
        """Replace the item of a behaviour that has none, or one of another model version.

        Raises:
            StoreError: the store has no such behaviour.
        """
        with self._database.lock:
            self._behaviours[kind].set_item(ordinal, item)

    def record_click(self, page_id: int, item_id: int, time: int) -> None:
        """Record a click on an item of an open page. Only labels read it; a page-view is a behaviour of its own."""
        with self._database.lock:
            self.last_time = max(whole("time", time), self.last_time)
            self._requests.click(page_id, item_id, self.last_time)

    def request_time(self, now: int) -> int:
        """Return the time of a request that begins now. It knows all behaviours so far, and no later behaviour.

        It is above the time of every recorded behaviour, and no later behaviour gets a smaller time.
        """
        with self._database.lock:
            self.last_time = max(whole("now", now), self.last_time, self._last_behaviour() + 1)
            return self.last_time

    def record_request(self, request: StoredRequest) -> None:
        """Record a request and its answer. It is sent when its page has ended.

        If it knows all behaviours so far, its time becomes later than theirs, as in `request_time`.
        """
        with self._database.lock:
            time = whole("time", request.time)
            ends = (request.exposures_end, request.page_views_end)
            if ends == (self.next_ordinal(EXPOSURE), self.next_ordinal(PAGE_VIEW)):
                time = max(time, self._last_behaviour() + 1)
            self._requests.append(request, time)
            self.last_time = max(time, self.last_time)

    def set_back(self, now: int) -> bool:
        """Set times after `now` back, because the clock was wrong. Return whether that was done.

        While a batch is being sent, its rows may not change. Then nothing is done; call it again after `mark_sent`.
        Rows that were sent with such times give the store a new ID (`edgerec.device_runtime.store.set_back`).
        Whoever has read times from this store has to read them again.
        """
        with self._database.lock:
            if self.last_time <= whole("now", now) or self._spool.is_sending():
                return False
            set_back(self._database, now=now, latest=self.last_time, sent=self._spool.sent())
            self._read()
            return True

    def end_page(self, page_id: int) -> None:
        """End a page: its requests get their labels and can be sent.

        A candidate's label is 1 if it was clicked on this page at or after the request's time, 0 if it was only
        exposed there after the request, and None otherwise.
        """
        with self._database.lock:
            self._requests.end_page(whole("page_id", page_id))

    def pending(self, kind: BehaviourKind, version_id: str) -> list[tuple[int, Behaviour]]:
        """Return the behaviours that this model version still has to encode, with their ordinals, oldest first.

        They follow the latest encoded behaviour. If that one is before the recurrence start of the window, or another
        version encoded it, they begin at the recurrence start.
        """
        with self._database.lock:
            end, limit = self.next_ordinal(kind), self.limits.of(kind)
            start = recurrence_start(window_start(end, limit), limit)
            return self._behaviours[kind].since(max(start, self._encodings[kind].through(version_id) + 1))

    def write_encoding(
        self, kind: BehaviourKind, ordinal: int, version_id: str, encoding: Encoding, states: States
    ) -> None:
        """Write the encoding of a behaviour, the states after it, and the mark, in one transaction.

        The first encoding of another version deletes the encodings of the version before.

        Raises:
            StoreError: the ordinal is not above the latest encoded one, an array has a wrong type, or the disk is full.
        """
        with self._database.lock:
            self._encodings[kind].write(whole("ordinal", ordinal), version_id, encoding, states)

    def states(self, kind: BehaviourKind, version_id: str) -> States | None:
        """Return the states after the latest behaviour that this version encoded, or None if there is none."""
        with self._database.lock:
            return self._encodings[kind].states(version_id)

    def encoded_through(self, kind: BehaviourKind, version_id: str) -> int:
        """Return the ordinal of the latest behaviour that this version encoded, or -1 if there is none."""
        return self._encodings[kind].through(version_id)

    def window(self, kind: BehaviourKind, version_id: str, limit: int) -> StoredWindow:
        """Return what this version has encoded of the latest `limit` ordinals.

        Raises:
            StoreError: the store was opened with another limit.
        """
        if limit != self.limits.of(kind):
            raise StoreError(
                f"`limit` of {kind.plural} should be {self.limits.of(kind)}, the limit of this store. Received: "
                f"{limit}: open the store with the limits of the model"
            )
        with self._database.lock:
            return self._encodings[kind].window(version_id, window_start(self.next_ordinal(kind), limit))

    def encoded_versions(self) -> set[str]:
        """Return the model versions that made the stored encodings. There is one, or none if nothing is encoded.

        There can be two if a client was opened with a model that reads fewer kinds of behaviour than the one before.
        """
        with self._database.lock:
            found = (table.stored_version() for table in self._encodings.values())
            return {version for version in found if version is not None}

    def use_limits(self, limits: Limits) -> None:
        """Use the limits of another model, as if the store had been opened with them. No client may use the store."""
        with self._database.lock:
            self._encodings = {kind: EncodingTable(self._database, kind, limits.of(kind)) for kind in BEHAVIOUR_KINDS}
            self.limits = limits

    def keep_for(self, limits: Limits | None) -> None:
        """Let `prune` also keep what a model with these limits needs, which may replace the present one. None: no more.

        `adopt` ends this.
        """
        with self._database.lock:
            self._next_limits = limits

    def history(self, kind: BehaviourKind, first: int, most: int) -> list[tuple[int, Behaviour]]:
        """Return at most `most` behaviours of a kind from the ordinal `first` on, oldest first."""
        with self._database.lock:
            return self._behaviours[kind].some_since(first, most)

    def adopt(self, version_id: str, limits: Limits, rebuilt: Mapping[BehaviourKind, RebuiltKind]) -> None:
        """Replace all encodings by those that another model version made in memory, in one transaction.

        From now on, the store has the limits of this version.

        Raises:
            StoreError: the disk is full, or the file cannot be written. Then nothing was changed.
        """
        with self._database.lock:
            self._encodings = replace_encodings(self._database, self._behaviours, version_id, limits, rebuilt)
            self.limits, self._next_limits = limits, None

    def forget_encodings(self, kind: BehaviourKind) -> None:
        """Delete the encodings of a kind. Then the behaviours since the recurrence start are pending again."""
        with self._database.lock:
            self._encodings[kind].forget()

    def latest(self, kind: BehaviourKind, count: int) -> list[tuple[int, Behaviour]]:
        """Return the latest `count` behaviours of a kind with their ordinals, oldest first."""
        with self._database.lock:
            return self._behaviours[kind].latest(count)

    def item_counts(self, kind: BehaviourKind) -> dict[int, int]:
        """Return for each item how many behaviours of a kind this store has recorded.

        Every row has the number of its item so far. So the number stays right when older rows of an item are deleted.
        An item whose rows are all deleted is absent.
        """
        with self._database.lock:
            return self._behaviours[kind].counts()

    def unsent(self, most_rows: int) -> LogBatch | None:
        """Return the oldest unsent rows as a batch, or None if there are none.

        Until `mark_sent` is called, every call returns the same batch, also after the store was closed or its process
        was killed. Its rows are on the disk before this method returns, so no power cut takes back what was sent.

        Args:
            most_rows: the largest number of rows of a new batch.
        """
        if whole("most_rows", most_rows) < 1:
            raise StoreError(f"`most_rows` should be at least 1. Received: {most_rows}")
        with self._database.lock:
            return self._spool.unsent(most_rows, self.last_time)

    def mark_sent(self, number: int) -> None:
        """Mark the batch that `unsent` returned as sent. If it is marked already, nothing happens.

        Raises:
            StoreError: `unsent` did not return this batch.
        """
        with self._database.lock:
            self._spool.mark_sent(number, self.last_time)

    def refuse_batch(self, number: int) -> int:
        """Note that the cloud refuses the batch that `unsent` returned. Return the number of lost rows, 0 or 1.

        If the batch has several rows, its older half becomes the batch that is being sent, with the same number. A
        single row is dropped. A behaviour stays in the store then; only its delivery is given up.

        Raises:
            StoreError: `unsent` did not return this batch.
        """
        with self._database.lock:
            return self._spool.refuse(number, self.last_time)

    def prune(self, now: int, *, by_age: bool = True) -> int:
        """Apply the retention, in transactions of a few hundred rows. Return the number of deleted behaviours.

        Kept are the behaviours that windows and their recurrences need, those that labels of open pages need, and
        unsent rows. If there are more unsent rows than the retention allows, the oldest are dropped and counted.
        Then the write-ahead log is copied into the file. Call this method when the application is idle.

        Args:
            now: the present time in milliseconds since 1970.
            by_age: whether old rows go, too. With a clock that may be years ahead, they should not.
        """
        if not by_age:
            now = 0
        # The latest behaviour says how old the others are. A clock that is wrong for an hour must not drop unsent rows.
        self._spool.bound(self.retention, min(now, self.last_time), self.last_time)
        deleted = 0
        for kind in BEHAVIOUR_KINDS:
            more = True
            while more:
                with self._database.lock:
                    count = self._behaviours[kind].delete(self._keep_from(kind, now), STEP_ROWS)
                deleted, more = deleted + count, count == STEP_ROWS
        self.personal.prune(now - self.retention.days * DAY_MS)
        self._database.checkpoint()
        return deleted

    def measure(self) -> dict[str, Any]:
        """Return sizes: rows by table, bytes of the file, and bytes stored and written a behaviour.

        `stored_per_behaviour` divides the used pages of the file by the number of behaviours. `written_per_behaviour`
        divides what was written to the write-ahead log since the store was opened by the number of behaviours recorded
        since then; it is None if there are none.
        """
        with self._database.lock:
            rows = {kind.plural: self._behaviours[kind].count() for kind in BEHAVIOUR_KINDS}
            behaviours = sum(rows.values())
            rows["open_requests"], rows["requests"] = self._requests.counts()
            sizes = self._database.sizes()
            used = sizes["file_bytes"] - sizes["unused_bytes"]
            return {
                "rows": rows,
                **sizes,
                "stored_per_behaviour": used / behaviours if behaviours else None,
                "written_per_behaviour": sizes["written_bytes"] / self._recorded if self._recorded else None,
                "lost": self._spool.lost(),
            }

    def _last_behaviour(self) -> int:
        return max(table.last_time for table in self._behaviours.values())

    def _keep_from(self, kind: BehaviourKind, now: int) -> int:
        """Return the ordinal before which the behaviours of a kind can be deleted."""
        table = self._behaviours[kind]
        length = max(limits.of(kind) for limits in (self.limits, self._next_limits or self.limits))
        needed = [table.next_ordinal - 2 * length, self._spool.sent()[BEHAVIOUR_KINDS.index(kind)]]
        if kind == EXPOSURE and (labelled := self._requests.first_exposure()) is not None:
            needed.append(labelled)
        return min(self.retention.keep_from(table, now), *needed)


def _check_arguments(path: object, limits: object, retention: object) -> None:
    if not isinstance(path, (str, os.PathLike)) or not str(path) or "\0" in str(path):
        raise StoreError(f"`path` should be the path of a file. Received: {path!r:.80}")
    for name, value, kind in (("limits", limits, Limits), ("retention", retention, Retention)):
        if not isinstance(value, (kind, NoneType)):
            raise StoreError(f"`{name}` should be {kind.__name__}(...). Received: {value!r:.80}")
