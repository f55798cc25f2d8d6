"""Looks for a new model version, downloads and checks it, and lets the running client switch to it.

The client never waits for any of this, and it keeps its version whatever fails here.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict

from edgerec.core.errors import AnswerError, BusyError, EdgeRecError, FormatError, SessionError, first_line
from edgerec.core.hashing import sha256_bytes
from edgerec.device_runtime.backoff import Backoff
from edgerec.device_runtime.client import Client, now_ms
from edgerec.device_runtime.clock import due_time
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.model_update import events
from edgerec.model_update.config import UpdateConfig
from edgerec.model_update.download import Download, has_all
from edgerec.model_update.events import Events, UpdateEvent
from edgerec.model_update.folder import ModelFolder
from edgerec.model_update.proof import prove_model
from edgerec.model_update.state import Refused
from edgerec.paging.model_offer import ModelOffer
from edgerec.paging.transport import ModelTransport

_LOG = logging.getLogger(__name__)
_LONGEST_WAIT_S = 1.0
"""After this time, the clock is looked at again, because it may have been set."""


class ModelUpdater:
    """Keeps the model version of a client up to date.

    Args:
        client: the client.
        folder: the versions of the device.
        transport: the cloud. Use another `HttpTransport` than that of the client, or pages wait for pieces of files.
        allowed: returns whether something may be downloaded now, for example on Wi-Fi and while charging. It is asked
            before each piece.
        config: the configuration.
        clock: returns milliseconds since 1970.
        on_event: is called with each event, in the thread of the updater.
    """

    def __init__(
        self,
        client: Client,
        folder: ModelFolder,
        transport: ModelTransport,
        *,
        allowed: Callable[[], bool] = lambda: True,
        config: UpdateConfig | None = None,
        clock: Callable[[], int] = now_ms,
        on_event: Callable[[UpdateEvent], None] | None = None,
    ) -> None:
        self._client, self._folder, self._transport = client, folder, transport
        self._config = config = config or UpdateConfig()
        self._allowed, self._clock, self._events = allowed, clock, Events(on_event)
        self._backoff = Backoff(config.retry_first_ms, config.retry_most_ms)
        self._due = 0
        self._noted: set[tuple[str, str | None]] = set()
        self._offered: str | None = None
        self._preparing: str | None = None
        self._give_up: Callable[[str], None] | None = None
        self._ended: list[tuple[str, str | None]] = []
        self._wake = threading.Condition()
        self._running = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        client.when_unserved(self._unserved)

    @property
    def events(self) -> list[UpdateEvent]:
        """The latest events, oldest first."""
        return list(self._events.latest)

    @property
    def counts(self) -> Counter[str]:
        """The number of events of each kind."""
        return Counter(self._events.counts)

    def check_now(self) -> None:
        """Ask the cloud soon, whatever the interval says. After a failure, it is asked when the back-off allows."""
        with self._wake:
            self._due = 0
            self._backoff.hurry()
            self._wake.notify_all()

    def run_pending(self) -> None:
        """Do everything that is due, in the calling thread. Do not call it after `start`."""
        with self._running:
            self._end_all()
            if self._next_time(self._clock()) <= self._clock():
                self._check()

    def start(self) -> None:
        """Start a thread that does what is due. Nothing happens if it runs."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="edgerec-update", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop the thread. What is downloaded so far stays. Close the client first."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._end_all()

    def _loop(self) -> None:
        while True:
            with self._wake:
                while not self._stopping and not self._ended:
                    now = self._clock()
                    left = self._next_time(now) - now
                    if left <= 0:
                        break
                    self._wake.wait(min(left / 1000, _LONGEST_WAIT_S))
                if self._stopping:
                    return
            try:
                self.run_pending()
            except Exception:  # The thread goes on after a fault. Otherwise the device would never get a version again.
                _LOG.exception("the update failed")
                self._fail(None, "a fault of the updater")

    def _next_time(self, now: int) -> int:
        return max(due_time(self._due, now, self._config.check_ms), self._backoff.due(now))

    def _unserved(self, version_id: str) -> None:
        self.check_now()

    def _check(self) -> None:
        """Ask the cloud which version this user should run, and get it."""
        with self._wake:
            self._due = self._clock() + self._config.check_ms
        offer: ModelOffer | None = None
        try:
            store = self._client.store
            offer = self._transport.model(store.user_id, store.store_id, self._client.version_id)
            if self._follow(offer):
                self._backoff.succeeded()
        except EdgeRecError as error:
            asked = error.retry_after_s if isinstance(error, BusyError) else None
            self._fail(None if offer is None else offer.version_id, first_line(error), retry_after_s=asked)

    def _follow(self, offer: ModelOffer) -> bool:
        """Get the offered version and let the client prepare it. Return False if it has to wait."""
        self._offered = version_id = offer.version_id
        if version_id is None or version_id in (self._client.version_id, self._preparing):
            if version_id != self._preparing and self._give_up is not None:
                self._give_up("the cloud does not offer this version any more")
            self._clean()
            return True
        fingerprint = _fingerprint(offer)
        refused = self._folder.state.refused
        if refused is not None and refused.offer == fingerprint:
            if self._clock() < due_time(refused.until, self._clock(), self._config.refused_ms):
                return True
            self._folder.remember(refused=None)
        self._note(events.OFFERED, version_id, f"{offer.size} bytes")
        self._clean()
        if offer.size > self._config.max_bytes:
            self._refuse(offer, f"it has {offer.size} bytes, but at most {self._config.max_bytes} are allowed")
            return True
        if not offer.files:
            raise AnswerError(f"cloud: /v1/model offers version {version_id}, but names no files")
        if not has_all(self._folder.version_folder(version_id), offer) and not self._download(offer, version_id):
            return False
        model = self._opened(offer, version_id)
        if model is None:
            return True
        self._prepare(version_id, model)
        return True

    def _download(self, offer: ModelOffer, version_id: str) -> bool:
        """Download, check and install a version. Return False if it has to wait, or if it was refused."""
        download = Download(self._transport, offer, self._folder.download_folder(version_id), self._config.piece_bytes)
        download.check_space()
        more = True
        while more:
            if self._stopping:
                return False
            if not self._allowed():
                self._note(events.WAITING, version_id, "a download is not allowed now")
                with self._wake:
                    self._due = self._clock() + self._config.wait_ms
                return False
            more = download.step()
        try:
            self._folder.check(version_id)
        except FormatError as error:
            self._refuse(offer, first_line(error))
            self._offered = None
            self._clean()
            return False
        self._folder.publish(version_id)
        self._note(events.INSTALLED, version_id)
        return True

    def _opened(self, offer: ModelOffer, version_id: str) -> DeviceModel | None:
        """Load a version and run its models once. Return None if it was refused.

        A damaged model can end the process. So the number of trials is on the disk before it is loaded.
        """
        fingerprint, state = _fingerprint(offer), self._folder.state
        loads = state.loads if state.loading == fingerprint else 0
        if loads >= self._config.tries:
            self._refuse(offer, f"the process ended {loads} times while it loaded this version")
            return None
        self._folder.remember(loading=fingerprint, loads=loads + 1)
        try:
            self._folder.check_installed(version_id)
            model = self._folder.open(version_id)
            prove_model(model)
        except (FormatError, SessionError) as error:
            self._refuse(offer, first_line(error))
            return None
        finally:
            self._folder.remember(loading=None, loads=0)
        return model

    def _prepare(self, version_id: str, model: DeviceModel) -> None:
        self._end_all()  # The client may have switched to the version before, while this one was downloaded.
        # If the process is killed during the switch, the store knows whether it has happened (`ModelFolder.load`).
        self._folder.remember(next=version_id)
        self._preparing = version_id
        self._note(events.PREPARING, version_id)
        self._give_up = self._client.switch_to(model, lambda reason: self._switch_ended(version_id, reason))

    def _switch_ended(self, version_id: str, reason: str | None) -> None:
        """Note how a switch ended. A thread of the client calls this."""
        with self._wake:
            self._ended.append((version_id, reason))
            self._wake.notify_all()

    def _end_all(self) -> None:
        with self._wake:
            ended, self._ended = self._ended, []
        for version_id, reason in ended:
            self._end(version_id, reason)

    def _end(self, version_id: str, reason: str | None) -> None:
        try:
            if reason is None:
                self._folder.commit(version_id, self._folder.check_installed(version_id).serial)
                self._note(events.SWITCHED, version_id)
            elif self._preparing == version_id:
                self._folder.remember(next=None)
                self._note(events.ROLLED_BACK, version_id, reason)
                self._wait()
            if self._preparing == version_id:
                self._preparing = self._give_up = None
            self._clean()
        except EdgeRecError as error:
            # The store has the new encodings, so the next start finds the new version all the same.
            self._fail(version_id, first_line(error))

    def _clean(self) -> None:
        for version_id in self._folder.clean((self._offered, self._preparing)):
            self._note(events.REMOVED, version_id)

    def _refuse(self, offer: ModelOffer, reason: str) -> None:
        until = self._clock() + self._config.refused_ms
        refused = Refused(offer=_fingerprint(offer), until=until, reason=reason)
        self._folder.remember(refused=refused, loading=None, loads=0)
        self._note(events.REFUSED, offer.version_id, reason)

    def _fail(self, version_id: str | None, reason: str, *, retry_after_s: float | None = None) -> None:
        self._note(events.FAILED, version_id, reason)
        self._wait(None if retry_after_s is None else int(retry_after_s * 1000))

    def _wait(self, asked_ms: int | None = None) -> None:
        with self._wake:
            self._due = 0
            self._backoff.failed(self._clock(), asked_ms=asked_ms)

    def _note(self, what: str, version_id: str | None, detail: str = "") -> None:
        if what in (events.OFFERED, events.WAITING):
            if (what, version_id) in self._noted:
                return
            self._noted.add((what, version_id))
        elif what == events.SWITCHED:
            self._noted.clear()
        self._events.add(UpdateEvent(self._clock(), what, version_id, detail))


def _fingerprint(offer: ModelOffer) -> str:
    """Return a text that is equal for equal offers."""
    return sha256_bytes(json.dumps(asdict(offer), sort_keys=True).encode())
