"""A versions folder that a running server follows: it opens what is published and drops what is retired."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edgerec.bundle.layout import CLOUD
from edgerec.bundle.manifest_file import read_cloud_manifest
from edgerec.bundle.signing import PublicKey
from edgerec.cloud.device_files import read_device_files
from edgerec.cloud.embedding_source import EmbeddingSource, UnpublishedError
from edgerec.cloud.version_list import LIST, VersionEntry, read_versions
from edgerec.cloud.versions import RolledOut, ServedVersion, Versions, open_version
from edgerec.core.errors import EdgeRecError, FormatError, InputError, ResourceError, StoreError
from edgerec.core.text import printable
from edgerec.features.spec import FeatureSpec, parse_spec

POLL_S = 0.25
"""How often the list is looked at, in seconds."""
AGAIN_S = 60.0
"""When a version is tried again that could not be opened for want of memory or file handles, in seconds."""
STORE_AGAIN_S = 5.0
"""When a version is tried again whose embeddings could not be read in a store, in seconds. To ask costs little."""
_CLOSE_S = 5.0

Admit = Callable[[ServedVersion], None]
"""Checks that a version fits this server, and prepares what it needs. It raises an EdgeRecError if it does not fit."""
State = tuple[int, int, int] | None
"""Inode, time of change and size of the list; None: it does not exist."""
_UNREAD: State = (-1, -1, -1)
"""Differs from every state, so a list that could not be read is read again."""
Bundle = tuple[str, str, str]
"""Version ID, folder, and time of publication: what is opened once."""


@dataclass(frozen=True)
class _Refused:
    """Why a bundle is not served, and when it is tried again (on the monotonic clock); None: never.

    `said` is the line of the log. `error`, which callers of the server can read, names no file and no address.
    """

    said: str
    error: str
    again: float | None


class FollowedFolder:
    """Opens the live versions of a versions folder. One thread at a time may use an instance.

    Args:
        path: the versions folder.
        public_key: the bundles must have a signature of this key. None: no signature is checked.
        embeddings: where the embedding tables are; default: in the files of the bundles.
        open_bundle: opens the tables of a bundle. Default: `open_version`.
        again_s: when a bundle is tried again after a fault that may pass, in seconds.

    Raises:
        FormatError: `path` is not a versions folder.
    """

    def __init__(
        self,
        path: Path,
        *,
        public_key: PublicKey | None = None,
        embeddings: EmbeddingSource | None = None,
        open_bundle: Callable[[Path], ServedVersion] | None = None,
        again_s: float = AGAIN_S,
    ) -> None:
        read_versions(path)
        self.path, self._key, self._again_s = path, public_key, again_s
        self._open_bundle = open_bundle or partial(open_version, public_key=public_key, embeddings=embeddings)
        self._seen: State = None
        self._unread: str | None = None
        self._opened: dict[Bundle, ServedVersion] = {}
        self._refused: dict[Bundle, _Refused] = {}

    def changed(self) -> bool:
        """Return whether `update` has something to do."""
        now = time.monotonic()
        due = any(refused.again is not None and refused.again <= now for refused in self._refused.values())
        return due or self._state() != self._seen

    def update(self, versions: Versions, admit: Admit) -> bool:
        """Read the list, open new versions, and replace those that `versions` has rolled out, in one step.

        A version that cannot be opened or does not fit is refused with one line on stderr. The others are served. If
        the list cannot be read, everything stays as it is.

        Args:
            versions: what is served.
            admit: called with each new version before it is served.

        Returns:
            Whether other versions or shares are served now.
        """
        self._seen = self._state()
        try:
            entries = read_versions(self.path).versions
            if not entries and self._seen is None and self._opened:
                raise FormatError(f"versions: {self.path} has no {LIST} any more: restore it")
        except EdgeRecError as error:
            self._seen = _UNREAD
            if self._unread != str(error):
                self._unread = str(error)
                _say(f"{error}; what is served stays as it is")
            return False
        self._unread = None
        live = {(entry.version_id, entry.folder, entry.published_at): entry for entry in entries if entry.live}
        self._refused = {bundle: refused for bundle, refused in self._refused.items() if bundle in live}
        opened = {}
        for bundle, entry in live.items():
            found = self._opened.get(bundle) or self._new(bundle, entry, versions, admit)
            if found is not None:
                opened[bundle] = found
        before = (versions.ids, versions.shares)
        rolled_out = [RolledOut(version, live[bundle].share) for bundle, version in opened.items()]
        versions.roll_out(rolled_out, {bundle[0]: refused.error for bundle, refused in self._refused.items()})
        self._opened = opened
        return before != (versions.ids, versions.shares)

    def retired_specs(self) -> list[FeatureSpec]:
        """Return the specifications of retired versions whose files are still there.

        Logs that were written while they were live have their columns.
        """
        specs = []
        for entry in read_versions(self.path).versions:
            if not entry.live:
                try:
                    manifest = read_cloud_manifest(self.path / entry.folder / CLOUD, public_key=self._key)
                    specs.append(parse_spec(json.dumps(manifest.spec), where="manifest.json"))
                except EdgeRecError as error:
                    _say(f"retired version {entry.version_id} cannot be read: {error}")
        return specs

    def _new(self, bundle: Bundle, entry: VersionEntry, versions: Versions, admit: Admit) -> ServedVersion | None:
        """Open a version. If it is refused, note why and return None."""
        refused = self._refused.get(bundle)
        if refused is not None and (refused.again is None or refused.again > time.monotonic()):
            return None
        try:
            if entry.version_id in versions.always:
                raise InputError(f"version {entry.version_id} is also given as a BUNDLE: give it once")
            opened = self._open(entry)
            admit(opened)
        except Exception as error:  # a bug in opening one version must not keep the others from being served
            now = self._why(error)
            self._refused[bundle] = now
            if refused is None or refused.said != now.said:
                _say(f"versions: version {entry.version_id} is not served: {now.said}")
            return None
        self._refused.pop(bundle, None)
        return opened

    def _why(self, error: Exception) -> _Refused:
        """Return why a version is refused that raised `error`."""
        if isinstance(error, StoreError):
            said = f"{printable(str(error))}; it is tried again"
            unpublished = isinstance(error, UnpublishedError)
            text = "are not published, or not all of them" if unpublished else "cannot be read now"
            again = min(STORE_AGAIN_S, self._again_s)
            return _Refused(said, f"its embeddings {text}; it is tried again", time.monotonic() + again)
        if isinstance(error, (EdgeRecError, OSError)):
            text = printable(str(error).replace(f"{self.path}/", ""))
        else:
            text = f"this is a fault of the server ({type(error).__name__})"
            logging.getLogger(__name__).error(text, exc_info=error)
        may_pass = isinstance(error, (ResourceError, OSError))
        return _Refused(text, text, time.monotonic() + self._again_s if may_pass else None)

    def _open(self, entry: VersionEntry) -> ServedVersion:
        folder = self.path / entry.folder
        version = self._open_bundle(folder)
        files = read_device_files(folder, public_key=self._key)
        found = {version.version_id, files.version_id}
        if found != {entry.version_id}:
            raise FormatError(
                f"bundle: {folder} should have version {entry.version_id}; received {', '.join(map(str, found))}: "
                "publish it again"
            )
        return replace(version, device=files)

    def _state(self) -> State:
        """Return what changes when the list is replaced, or None if there is none."""
        try:
            found = (self.path / LIST).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


class FolderThread:
    """Keeps what is served up to date with a versions folder, in a thread of its own.

    Args:
        folder: the folder.
        versions: what is served.
        admit: as for `FollowedFolder.update`.
        poll_s: how often the list is looked at, in seconds.
    """

    def __init__(self, folder: FollowedFolder, versions: Versions, admit: Admit, *, poll_s: float = POLL_S) -> None:
        self._folder, self._versions, self._admit, self._poll_s = folder, versions, admit, poll_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="edgerec-versions", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread. If it is opening a large version, do not wait for that."""
        self._stop.set()
        self._thread.join(_CLOSE_S)

    def __enter__(self) -> FolderThread:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        while not self._stop.wait(self._poll_s):
            try:
                if self._folder.changed() and self._folder.update(self._versions, self._admit):
                    shares = (f"{name} (share {share:g})" for name, share in self._versions.shares.items())
                    _say(f"versions: the folder's live versions are now: {', '.join(shares) or 'none'}")
            except Exception:  # a bug must not end the thread
                logging.getLogger(__name__).exception("the versions folder could not be followed")


def _say(text: str) -> None:
    sys.stderr.write(f"edgerec: {printable(text)}\n")
    sys.stderr.flush()
