"""The folder of model versions on a device.

::

    models/
      state.json               the current version, the one that is being prepared, the highest serial number
      versions/<version_id>/   a complete version: `device/` of a bundle. It was checked before it got this name
      downloads/<version_id>/  a version that is being downloaded

A kill at any point leaves a complete current version, because folders are renamed when they are complete, and an old
version is removed only after `state.json` names the new one.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from edgerec.bundle.layout import DEVICE, NAME
from edgerec.bundle.load import create_model, read_device_half
from edgerec.bundle.manifest import DeviceManifest
from edgerec.bundle.signing import PublicKey, signature_path
from edgerec.core.atomic import sync
from edgerec.core.errors import EdgeRecError, FormatError, InputError, OutputError, SignatureError, first_line
from edgerec.core.leftovers import clear_leftovers, lock
from edgerec.core.paths import AnyPath, to_path
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.model_update.state import STATE, State, StateFile
from edgerec.paging.model_offer import is_version

VERSIONS, DOWNLOADS = "versions", "downloads"
_LOG = logging.getLogger(__name__)


class ModelFolder:
    """The versions that a device has. One process may open the folder.

    Args:
        path: the folder. It is made if it does not exist.
        public_key: every version must have a signature of this key, and an older version than the device has had is
            refused. If None, no signature is checked.
        threads: number of threads that a step or a re-rank uses.

    Attributes:
        state: what the device remembers.

    Raises:
        InputError: another process has opened the folder.
        OutputError: the folder cannot be made.
    """

    def __init__(self, path: AnyPath, *, public_key: PublicKey | None = None, threads: int = 1) -> None:
        self._path = to_path(path, "ModelFolder: `path`")
        self._public_key, self._threads = public_key, threads
        try:
            for name in (VERSIONS, DOWNLOADS):
                (self._path / name).mkdir(parents=True, exist_ok=True)
            sync(self._path)
            self._lock = lock(self._path)
        except BlockingIOError:
            raise InputError(
                f"model versions: {self._path} is open already, in another process or in this one: close it there first"
            ) from None
        except OSError as error:
            raise OutputError(f"model versions: {self._path} cannot be made or read ({error.strerror})") from None
        clear_leftovers((self._path / STATE).resolve())
        self._file = StateFile(self._path)
        self.state = self._read_state()

    def close(self) -> None:
        """Let another process open the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> ModelFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def install(self, bundle: AnyPath) -> bool:
        """Make the device half of `bundle` the current version if the device has none. Return whether it did.

        A device whose versions are all damaged on the disk has none. An application that is shipped with a version
        calls this at every start.

        Raises:
            FormatError, IntegrityError, SignatureError: `bundle` cannot be used.
            OutputError: the folder cannot be written.
        """
        if any(map(self._is_complete, self._usable())):
            return False
        bundle = to_path(bundle, "ModelFolder.install: `bundle`")
        half = read_device_half(bundle, public_key=self._public_key)
        version_id = half.manifest.version_id
        if not is_version(version_id):
            raise FormatError(f"model versions: version {version_id!r:.80} has characters that no folder should have")
        names = [NAME, signature_path(Path(NAME)).name, *half.manifest.files]
        download = self.download_folder(version_id)
        try:
            shutil.rmtree(download, ignore_errors=True)
            for name in names:
                if (half.folder / name).is_file():
                    (download / DEVICE / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(half.folder / name, download / DEVICE / name)
        except OSError as error:
            raise OutputError(f"model versions: {download} cannot be written ({error.strerror})") from None
        self.publish(version_id)
        self.commit(version_id, half.manifest.serial)
        return True

    def load(self, store: BehaviourStore) -> DeviceModel | None:
        """Load the version with which the device starts, and give the store its limits.

        If the process was killed during a switch, the store says whether it had happened: it has the encodings of the
        new version or those of the old one. A current version that cannot be loaded is left out for another complete
        one.

        Args:
            store: the user's behaviours. No client may use it.

        Returns:
            The device models; None if the device has no version. A client then passes pages through.
        """
        following = self.state.next
        if following is not None:
            if following in store.encoded_versions() and self._is_complete(following):
                self.commit(following, self._serial(following))
            else:
                self.remember(next=None)
        current = self.state.current
        for version_id in self._usable():
            try:
                model = self.open(version_id)
            except EdgeRecError as error:
                _LOG.warning("model version %s cannot be used: %s", version_id, first_line(error))
                continue
            if version_id != current:
                self.remember(current=version_id)
            store.use_limits(model.limits)
            return model
        return None

    def open(self, version_id: str) -> DeviceModel:
        """Load an installed version.

        Raises:
            FormatError, IntegrityError, SignatureError, SessionError, ResourceError: it cannot be loaded.
        """
        return create_model(
            read_device_half(self.version_folder(version_id), public_key=self._public_key), threads=self._threads
        )

    def installed(self) -> list[str]:
        """Return the installed versions."""
        return sorted(entry.name for entry in (self._path / VERSIONS).iterdir() if entry.is_dir())

    def version_folder(self, version_id: str) -> Path:
        """Return the folder of an installed version."""
        return self._path / VERSIONS / version_id

    def download_folder(self, version_id: str) -> Path:
        """Return the folder of a version that is being downloaded."""
        return self._path / DOWNLOADS / version_id

    def check(self, version_id: str) -> DeviceManifest:
        """Check a downloaded version: hashes, signature, version, serial number. Return its manifest.

        Raises:
            FormatError, IntegrityError: the version is damaged, or it is another one.
            SignatureError: it is not signed by the key's owner, or it is older than one that the device has had.
        """
        return self._checked(self.download_folder(version_id), version_id)

    def check_installed(self, version_id: str) -> DeviceManifest:
        """Check an installed version as `check` does."""
        return self._checked(self.version_folder(version_id), version_id)

    def _checked(self, folder: Path, version_id: str) -> DeviceManifest:
        manifest = read_device_half(folder, public_key=self._public_key).manifest
        if manifest.version_id != version_id:
            raise FormatError(f"update: the cloud offered version {version_id}, but sent version {manifest.version_id}")
        if self._public_key is not None and manifest.serial < self.state.highest_serial:
            raise SignatureError(
                f"update: version {version_id} has the serial number {manifest.serial}, but this device has had "
                f"{self.state.highest_serial}: export it again with `edgerec export --serial` if it should come back"
            )
        return manifest

    def publish(self, version_id: str) -> None:
        """Let a downloaded version that was checked become an installed one. It is complete there or absent.

        When this returns, the version survives a power cut.

        Raises:
            OutputError: the folder cannot be written.
        """
        target, download = self.version_folder(version_id), self.download_folder(version_id)
        try:
            for entry in (*download.rglob("*"), download):
                sync(entry)
            if target.exists():
                _remove(target, self._path / DOWNLOADS)
            download.rename(target)
            sync(target.parent)
        except OSError as error:
            raise OutputError(f"model versions: {target} cannot be written ({error.strerror})") from None

    def commit(self, version_id: str, serial: int) -> None:
        """Remember that the device uses this version now. Another one that is being prepared stays `next`.

        Raises:
            OutputError: the state cannot be written.
        """
        highest = max(self.state.highest_serial, serial)
        following = None if self.state.next == version_id else self.state.next
        self.remember(current=version_id, next=following, highest_serial=highest)

    def remember(self, **change: Any) -> None:
        """Change fields of the state.

        Raises:
            OutputError: the state cannot be written. Then it is as before.
        """
        state = self.state.model_copy(update=change)
        if state != self.state:
            try:
                self._file.write(state)
            except OSError as error:
                raise OutputError(f"model versions: {self._path} cannot be written ({error.strerror})") from None
            self.state = state

    def clean(self, keep: Collection[str | None] = ()) -> list[str]:
        """Remove versions that are neither current, nor prepared, nor in `keep`, and downloads that are not in `keep`.

        Return the versions that were removed.
        """
        needed = {self.state.current, self.state.next, *keep}
        unused = [version for version in self.installed() if version not in needed]
        for version_id in unused:
            _remove(self.version_folder(version_id), self._path / DOWNLOADS)
        for entry in (self._path / DOWNLOADS).iterdir():
            if entry.name not in keep:
                shutil.rmtree(entry, ignore_errors=True)
        return unused

    def _usable(self) -> Iterator[str]:
        """Yield the version with which the device starts, and then those that can replace it, the newest first."""
        current = self.state.current
        if current is None:
            return
        yield current
        others = {version: self._serial(version) for version in self.installed() if version != current}
        for version_id in sorted(others, key=lambda version: others[version], reverse=True):
            try:
                self.check_installed(version_id)
            except EdgeRecError as error:
                _LOG.warning("model version %s cannot be used: %s", version_id, first_line(error))
                continue
            yield version_id

    def _is_complete(self, version_id: str) -> bool:
        try:
            read_device_half(self.version_folder(version_id), public_key=self._public_key)
        except EdgeRecError:
            return False
        return True

    def _serial(self, version_id: str) -> int:
        try:
            return read_device_half(self.version_folder(version_id), public_key=self._public_key).manifest.serial
        except EdgeRecError:
            return 0

    def _read_state(self) -> State:
        try:
            return self._file.read()
        except EdgeRecError as error:
            # Versions are complete, whatever the state says. The newest one becomes current.
            _LOG.warning("%s: the newest installed version is used", first_line(error))
            serials = {version: self._serial(version) for version in self.installed()}
            newest = max(serials, key=lambda version: serials[version], default=None)
            return State(current=newest, highest_serial=max(serials.values(), default=0))


def _remove(folder: Path, aside: Path) -> None:
    """Remove a version. It is renamed first, so a kill leaves no incomplete version."""
    gone = aside / f".{folder.name}.removed"
    shutil.rmtree(gone, ignore_errors=True)
    try:
        folder.rename(gone)
    except OSError:
        return
    shutil.rmtree(gone, ignore_errors=True)
