"""Change a versions folder: publish a bundle, change its share of users, retire it (docs/cloud.md, "Versions")."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from edgerec.bundle.layout import CLOUD, DEVICE, GOLDEN, NAME
from edgerec.bundle.manifest import BundleManifest
from edgerec.bundle.manifest_file import read_bundle_manifest
from edgerec.bundle.signing import PublicKey
from edgerec.bundle.whole import check_whole, copy_bundle, signatures
from edgerec.cloud.version_list import PLAIN_NAME, Change, VersionEntry, VersionList, changing, read_versions
from edgerec.core.atomic import check_outside, publish_folder, sync
from edgerec.core.errors import FormatError, InputError, OutputError
from edgerec.core.hashing import FileStamp, sha256_file
from edgerec.core.leftovers import clear_leftovers, temporary_folder
from edgerec.features.spec import parse_spec

_HIDDEN = re.compile(r"\.(.+)\.edgerec-\w+-[a-z0-9_]{8}", re.ASCII)
"""Names of what a killed command left (`edgerec.core.leftovers`)."""


def publish(
    bundle: Path,
    folder: Path,
    *,
    share: float | None = None,
    public_key: PublicKey | None = None,
    replace: bool = False,
    catalogue: Path | None = None,
) -> VersionEntry:
    """Check a bundle, copy it into a versions folder, and add it to the list as the newest version.

    Running servers see the list only with the complete copy. A version that is retired becomes live again. Published
    once more, a version must have the same models and tables, because devices store encodings of its models.

    Args:
        bundle: a whole bundle.
        folder: the versions folder. It is made if it does not exist.
        share: share of the users that the version is offered to. None: the share that it has in the list, also as a
            retired version; 1 if it is new.
        public_key: the bundle must have a signature of this key. None: no signature is checked.
        replace: also if the version is live: its new bundle takes the place of the old one.
        catalogue: a folder of logs whose items should have all columns that the version reads.

    Raises:
        InputError: `share` is not from 0 to 1, or the version ID cannot be part of a URL.
        FormatError, IntegrityError, SignatureError, ResourceError: as for `check_whole`, or `folder` is not a versions
            folder.
        LogsError: the catalogue lacks a column.
        OutputError: the version is live, it has other models or tables than before, or the folder cannot be written.
    """
    if share is not None:
        _check_share(share)
    manifest = check_whole(bundle, public_key=public_key)
    version_id = manifest.version_id
    if not re.fullmatch(PLAIN_NAME, version_id, re.ASCII):
        raise InputError(
            f"versions: the version ID should have 1 to 200 letters, digits, '_', '.' and '-' and begin with no sign; "
            f"received {version_id!r:.80}: export the bundle again from another run"
        )
    if catalogue is not None:
        _check_fits(manifest, catalogue)
    check_outside(folder, [bundle])
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"versions: {folder} is a file: give a folder, or a path that does not exist yet")
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        read_versions(folder)
        with changing(folder):  # This writes the first list, so that the folder is known as a versions folder.
            _clear_leftovers(folder)
    target = folder / f"{version_id}-{sha256_file(bundle / NAME)[:8]}"
    _check_free(read_versions(folder), folder, manifest, target.name, replace=replace)
    with _copied(bundle, manifest, target, public_key) as place, changing(folder) as change:
        before = VersionList(versions=tuple(change.entries))
        _check_free(before, folder, manifest, target.name, replace=replace)
        with _writing(folder):
            place()
        old = before.find(version_id)
        if share is None:
            share = 1.0 if old is None else old.share
        entry = VersionEntry(
            version_id=version_id, folder=target.name, state="live", share=float(share), published_at=_now()
        )
        change.entries[:] = [*(each for each in before.versions if each is not old), entry]
        if old is not None and old.folder != entry.folder:
            change.gone.append(folder / old.folder)
    return entry


def set_share(version_id: str, share: float, folder: Path) -> VersionEntry:
    """Change the share of users that a live version is offered to.

    Raises:
        InputError: `share` is not from 0 to 1, or the list has no such version, or it is retired.
        FormatError: `folder` is not a versions folder.
        OutputError: the list cannot be written.
    """
    _check_share(share)
    with _changed(version_id, folder) as (change, index):
        entry = change.entries[index]
        if not entry.live:
            raise InputError(f"versions: version {version_id} is retired: publish it again")
        change.entries[index] = entry = entry.model_copy(update={"share": float(share)})
    return entry


def retire(version_id: str, folder: Path, *, delete: bool = False) -> VersionEntry:
    """Stop serving a version. With `delete`, remove its files and its entry, too; a retired version may be deleted.

    Raises:
        InputError: the list has no such version, or it is retired already and `delete` is false.
        FormatError: `folder` is not a versions folder.
        OutputError: the list cannot be written.
    """
    with _changed(version_id, folder) as (change, index):
        entry = change.entries[index]
        if not entry.live and not delete:
            raise InputError(
                f"versions: version {version_id} is retired already, since {entry.retired_at}: --delete removes its "
                "files"
            )
        if entry.live:
            entry = entry.model_copy(update={"state": "retired", "retired_at": _now()})
        change.entries[index] = entry
        if delete:
            del change.entries[index]
            change.gone.append(folder / entry.folder)
    return entry


def _check_share(share: float) -> None:
    if not (math.isfinite(share) and 0 <= share <= 1):
        raise InputError(f"versions: the share should be a number from 0 to 1; received {share}")


def _check_fits(manifest: BundleManifest, catalogue: Path) -> None:
    # A command that only changes the list should not import polars.
    from edgerec.cloud.catalogue import Catalogue
    from edgerec.cloud.served_values import DefaultServedValues
    from edgerec.data.log_checks import check_items
    from edgerec.data.logs import open_logs
    from edgerec.data.parts import read_parts

    spec = parse_spec(json.dumps(manifest.spec), where="manifest.json")
    items = check_items(read_parts(open_logs(catalogue).catalogue), spec)
    DefaultServedValues([spec], Catalogue(items))  # This checks the columns that as-of columns count by.


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def _changed(version_id: str, folder: Path) -> Iterator[tuple[Change, int]]:
    """As `changing`, with the index of a version's entry. A folder that is no versions folder is not touched."""
    read_versions(folder)
    with changing(folder) as change:
        ids = [entry.version_id for entry in change.entries]
        if version_id not in ids:
            raise InputError(
                f"versions: {folder} has no version {version_id!r:.80}; its versions: {', '.join(ids) or 'none'}"
            )
        yield change, ids.index(version_id)


def _check_free(versions: VersionList, folder: Path, manifest: BundleManifest, name: str, *, replace: bool) -> None:
    """Check that a version may be published in the folder `name`."""
    entry = versions.find(manifest.version_id)
    if entry is None:
        return
    if entry.live and (entry.folder == name or not replace):
        same = "with the same files" if entry.folder == name else "with another manifest"
        advice = "give --replace"
        if entry.folder == name:
            advice = "change its share with `edgerec versions share`"
            same += "; there is nothing to replace" if replace else ""
        raise OutputError(f"versions: version {entry.version_id} is live already, {same}: {advice}, or retire it first")
    try:
        old = read_bundle_manifest(folder / entry.folder)
    except FormatError:
        return  # The old bundle is damaged or missing. The new one repairs it.
    if (_content(old), old.spec) != (_content(manifest), manifest.spec):
        raise OutputError(
            f"versions: version {entry.version_id} was published with other models or tables, and devices may have "
            "encodings of them: train again for a new version, or remove the old one with `edgerec versions retire "
            "--delete` when no device has it"
        )


def _content(manifest: BundleManifest) -> dict[str, FileStamp]:
    """Return size and hash of all models and tables of a bundle."""
    heads = (f"{DEVICE}/{NAME}", f"{CLOUD}/{NAME}")
    return {
        path: stamp for path, stamp in manifest.files.items() if path not in heads and not path.startswith(f"{GOLDEN}/")
    }


@contextlib.contextmanager
def _copied(
    bundle: Path, manifest: BundleManifest, target: Path, public_key: PublicKey | None
) -> Iterator[Callable[[], None]]:
    """Copy the bundle beside `target`, check the copy, and yield a function that puts it in place."""
    if _complete(bundle, manifest, target):
        yield lambda: _check_there(target)
        return
    with contextlib.ExitStack() as stack:
        with _writing(target.parent):
            partial = stack.enter_context(temporary_folder(target, "partial"))
            partial.chmod(0o755)
            copy_bundle(bundle, manifest, partial)
        # The bundle may have changed since it was checked.
        if check_whole(partial, public_key=public_key) != manifest:
            raise OutputError(f"versions: {bundle} was changed while it was copied: publish it again")

        def place() -> None:
            publish_folder(partial, target)
            sync(target.parent)

        yield place


def _complete(bundle: Path, manifest: BundleManifest, target: Path) -> bool:
    """Return whether the same bundle is there already, because it was retired or a killed command left it."""
    try:
        return target.exists() and check_whole(target) == manifest and signatures(target) == signatures(bundle)
    except FormatError:
        return False


def _check_there(target: Path) -> None:
    if not target.exists():
        raise OutputError(f"versions: {target} was removed meanwhile: publish it again")


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn a full disk into one line."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"versions: cannot write into {folder} ({error.strerror}); nothing was published: free some space, or "
            "check its permissions"
        ) from None


def _clear_leftovers(folder: Path) -> None:
    names = (_HIDDEN.fullmatch(entry.name) for entry in folder.iterdir())
    for name in {match[1] for match in names if match}:
        clear_leftovers(folder / name)
