"""Build a device kit: an archive with a bundle, EdgeRec as a wheel, exact versions, a script and instructions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import edgerec
from edgerec.bundle.files import check_files, read_stamped
from edgerec.bundle.layout import NAME, part_folders
from edgerec.bundle.manifest import BundleManifest
from edgerec.bundle.manifest_file import read_bundle_manifest, read_cloud_manifest, read_device_manifest
from edgerec.bundle.signing import PublicKey, signature_path
from edgerec.core.atomic import json_bytes
from edgerec.core.paths import AnyPath, to_path
from edgerec.kit.archive import FOLDER, Member, check_kit, check_name, write_archive
from edgerec.kit.versions import PYTHONS, constraints
from edgerec.kit.wheel import build_wheel, wheel_name
from edgerec.kit.wheels import download_wheels

_HERE = Path(__file__).parent


def build_kit(
    bundle: AnyPath,
    out: AnyPath,
    *,
    wheels: Sequence[tuple[str, str]] = (),
    public_key: PublicKey | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write the kit of `bundle` to `out`. The same bundle and EdgeRec give the same bytes.

    The kit contains the whole bundle: a device checks all hashes, and raw cases need the embedding tables.

    Args:
        bundle: the bundle's folder.
        out: the archive to write. Its name ends with `.tar.gz` or `.tgz`.
        wheels: machine and Python version of each device without a network. The kit contains the wheels for them.
        public_key: each manifest must have a signature of this key. If None, no signature is checked.
        force: replace an existing kit.

    Returns:
        `kit`, `bytes`, `folder` (the folder that the archive contains), `version_id`, `edgerec` (the version),
        `bundle_files`, `bundle_bytes` and `wheels` (file names).

    Raises:
        FormatError: the folder is not a bundle, or it has another format number.
        IntegrityError: a file of the bundle is missing or was changed.
        SignatureError: `public_key` is given, and a manifest is not signed by the key's owner.
        InputError: EdgeRec is not installed with pip.
        OutputError: `out` has another ending, it exists, or it cannot be written.
        TransportError: the wheels cannot be downloaded.
    """
    bundle, out = to_path(bundle, "bundle"), to_path(out, "out")
    check_name(out)
    check_kit(out, force=force, inputs=[bundle])
    manifest = read_bundle_manifest(bundle, public_key=public_key)
    folders = part_folders(bundle)
    read_device_manifest(folders["device"], public_key=public_key)
    read_cloud_manifest(folders["cloud"], public_key=public_key)
    check_files(bundle, manifest.files)
    fetched = download_wheels(wheels)
    document = {
        "version_id": manifest.version_id,
        "edgerec": edgerec.__version__,
        "bundle_files": len(manifest.files),
        "bundle_bytes": sum(manifest.sizes().values()),
        "wheels": [Path(member.name).name for member in fetched],
    }
    write_archive(out, _members(bundle, manifest, fetched, document))
    return {"kit": str(out), "bytes": out.stat().st_size, "folder": FOLDER, **document}


def _members(
    bundle: Path, manifest: BundleManifest, fetched: Sequence[Member], document: dict[str, Any]
) -> Iterator[Member]:
    yield Member("kit.json", json_bytes({"schema": 1, "kind": "kit", "pythons": PYTHONS, **document}))
    yield Member("README.md", (_HERE / "README.md").read_bytes())
    yield Member("run.sh", (_HERE / "run.sh").read_bytes(), executable=True)
    yield Member("constraints.txt", constraints())
    yield Member(wheel_name(), build_wheel())
    yield from fetched
    for name, stamp in manifest.files.items():
        yield Member(f"bundle/{name}", read_stamped(bundle, name, stamp))
    yield Member(f"bundle/{NAME}", (bundle / NAME).read_bytes())
    for folder in part_folders(bundle).values():
        signature = signature_path(folder / NAME)
        if signature.is_file():
            yield Member(f"bundle/{signature.relative_to(bundle).as_posix()}", signature.read_bytes())
