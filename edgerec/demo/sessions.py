"""The sessions of the demo: one user for each page, with both buckets. Their number is bounded."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgerec.demo.bucket import ENDED, BucketFeed, UnknownSessionError, actions_of
from edgerec.demo.cards import Cards
from edgerec.demo.cloud import DemoCloud
from edgerec.demo.events import EventsBody
from edgerec.demo.models import DemoModels
from edgerec.features.spec import FeatureSpec

MOST_SESSIONS = 8
"""When there is one more, the session that was used the longest time ago ends."""
BUCKETS = {"A": "cloud order", "B": "EdgeRec on the device"}
_USERS = 2**31


class Session:
    """One user in both buckets.

    Attributes:
        id: a random text, which only the page of this user knows.
        feeds: the feed of each bucket.
    """

    def __init__(self, folder: Path, *, cloud: DemoCloud, models: DemoModels, spec: FeatureSpec, cards: Cards) -> None:
        self.id = secrets.token_urlsafe(16)
        self._folder = folder / self.id
        self._folder.mkdir()
        user = secrets.randbelow(_USERS) + 1
        self.feeds: dict[str, BucketFeed] = {}
        with contextlib.ExitStack() as stack:  # Closes what is open already if the second bucket fails.
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            for number, name in enumerate(BUCKETS):
                user_id, transport = cloud.connect(user, number)
                self.feeds[name] = BucketFeed(
                    self._folder / f"{name}.db",
                    user_id=user_id,
                    transport=transport,
                    models=models if name == "B" else None,
                    spec=spec,
                    cards=cards,
                )
                stack.callback(self.feeds[name].close)
            self._opened = stack.pop_all()

    def close(self) -> None:
        """Stop both clients, and forget what the user did."""
        self._opened.close()


class Sessions:
    """All sessions of the server. Threads may share an instance.

    Args:
        folder: an existing folder for the behaviour stores.
        cloud: the cloud.
        models: the models of bucket B.
        cards: the catalogue as people read it.
    """

    def __init__(self, folder: Path, cloud: DemoCloud, models: DemoModels, cards: Cards) -> None:
        self._folder, self._cloud, self._models, self._cards = folder, cloud, models, cards
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, session_id: str | None) -> dict[str, Any]:
        """Return the document of a session, with all cards. A session that does not exist begins anew."""
        try:
            session = self.get(session_id or "")
        except UnknownSessionError:
            session = self._begin()
        feeds = {name: feed.state(anew=True) for name, feed in session.feeds.items()}
        return {"session": session.id, "actions": actions_of(self._models.shared.spec), "buckets": feeds}

    def reset(self, session_id: str | None) -> dict[str, Any]:
        """End a session, and return the document of a new one with a new user."""
        with self._lock:
            session = self._sessions.pop(session_id or "", None)
        if session is not None:
            session.close()
        return self.open(None)

    def report(self, body: EventsBody) -> dict[str, Any]:
        """Report events of a page. See `BucketFeed.report`."""
        return self.get(body.session).feeds[body.bucket].report(body.events)

    def get(self, session_id: str) -> Session:
        """Return a session.

        Raises:
            UnknownSessionError: there is none.
        """
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                raise UnknownSessionError(ENDED)
            self._sessions.move_to_end(session_id)
            return session

    def close(self) -> None:
        """End all sessions."""
        with self._lock:
            sessions = list(self._sessions.values())
            self._sessions.clear()
        for session in sessions:
            session.close()

    def _begin(self) -> Session:
        spec = self._models.shared.spec
        session = Session(self._folder, cloud=self._cloud, models=self._models, spec=spec, cards=self._cards)
        with self._lock:
            self._sessions[session.id] = session
            surplus = [self._sessions.popitem(last=False)[1] for _ in range(len(self._sessions) - MOST_SESSIONS)]
        for each in surplus:
            each.close()
        return session


@contextlib.contextmanager
def opened_sessions(cloud: DemoCloud, models: DemoModels, cards: Cards) -> Iterator[Sessions]:
    """Yield sessions whose stores are in a temporary folder. At the end, all of them are closed and deleted."""
    with TemporaryDirectory(prefix="edgerec-demo-") as folder:
        sessions = Sessions(Path(folder), cloud, models, cards)
        try:
            yield sessions
        finally:
            sessions.close()
