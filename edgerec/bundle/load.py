"""Functions that load the device half of a bundle and open a whole bundle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edgerec.bundle.files import check_files, read_stamped, refuse_link
from edgerec.bundle.layout import CLOUD, DEVICE
from edgerec.bundle.manifest import DEVICE_MODELS, RANKING_MODEL, BundleManifest, DeviceManifest
from edgerec.bundle.manifest_file import read_bundle_manifest, read_cloud_manifest, read_device_manifest
from edgerec.bundle.model_checks import check_models
from edgerec.bundle.signing import PublicKey
from edgerec.core.errors import FormatError, SpecificationError
from edgerec.core.memory import enough_memory
from edgerec.core.paths import AnyPath, to_path
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.hubsm import HubsmStepper
from edgerec.device_runtime.ranker import DeviceRanker
from edgerec.features.behaviours import BEHAVIOUR_KINDS, Limits
from edgerec.features.spec import FeatureSpec, parse_spec
from edgerec.mixing.head import SurroundingsHead
from edgerec.personalization.head import PersonalHead


@dataclass(frozen=True)
class DeviceHalf:
    """The device half of a bundle: its folder, manifest and specification, and the bytes of each model by name.

    `head` are the bytes of the tables of surroundings, and `personal` those of the head of personal patches; None if
    there are none.
    """

    folder: Path
    manifest: DeviceManifest
    spec: FeatureSpec
    contents: dict[str, bytes]
    head: bytes | None = None
    personal: bytes | None = None


def load_device_model(bundle: AnyPath, *, public_key: PublicKey | None = None, threads: int = 1) -> DeviceModel:
    """Load the device half of the folder `bundle`.

    Each file is read once, and the bytes whose hash was checked are the bytes that MNN gets.

    Args:
        bundle: a folder with a `device` folder in it.
        public_key: the device half must have a signature of this key. If None, no signature is checked.
        threads: number of threads that a step or a re-rank uses.

    Raises:
        FormatError: the folder is not a bundle or has another format number, its manifest is not valid, or the models
            do not fit the manifest.
        IntegrityError: a model file is missing or was changed.
        SignatureError: `public_key` is given, and the manifest is not signed by the key's owner.
        SessionError: MNN cannot load a model, or a model lacks the inputs or outputs of its kind.
        ResourceError: there is not enough memory.
    """
    return create_model(read_device_half(to_path(bundle, "bundle"), public_key=public_key), threads=threads)


def load_checked(
    bundle: Path, manifest: BundleManifest, *, public_key: PublicKey | None, threads: int = 1
) -> DeviceModel:
    """Load the device half of `bundle` and check that it belongs to `manifest`.

    Raises:
        FormatError: the device half has another version or precision than `manifest`. Other errors are those of
            `load_device_model`.
    """
    half = read_device_half(bundle, public_key=public_key)
    device, model = half.manifest, create_model(half, threads=threads)
    if (device.version_id, device.precision, device.models) != (
        manifest.version_id,
        manifest.precision,
        manifest.models,
    ):
        raise FormatError(
            f"bundle: {bundle} should have the device half of version {manifest.version_id} ({manifest.precision}); "
            f"received that of version {device.version_id} ({device.precision}): export the bundle again"
        )
    return model


def load_bundle(
    bundle: AnyPath, *, public_key: PublicKey | None = None, threads: int = 1
) -> tuple[BundleManifest, DeviceModel]:
    """Check every file of the folder `bundle` and load its device half.

    Raises:
        FormatError: as for `load_device_model`, or the device half has another version or precision than the manifest.
        IntegrityError, SignatureError, SessionError, ResourceError: as for `load_device_model`.
    """
    bundle = to_path(bundle, "bundle")
    manifest = read_bundle_manifest(bundle, public_key=public_key)
    check_files(bundle, manifest.files)
    return manifest, load_checked(bundle, manifest, public_key=public_key, threads=threads)


def check_cloud(bundle: Path, manifest: BundleManifest, *, public_key: PublicKey | None) -> None:
    """Check that the cloud half of `bundle` belongs to `manifest`.

    Raises:
        FormatError: the cloud half has another version, other tables or no valid manifest.
        IntegrityError, SignatureError: as for `read_cloud_manifest`.
    """
    refuse_link(bundle / CLOUD)
    cloud = read_cloud_manifest(bundle / CLOUD, public_key=public_key)
    if (cloud.version_id, cloud.spec, cloud.tables) != (manifest.version_id, manifest.spec, manifest.tables):
        raise FormatError(
            f"bundle: {bundle / CLOUD} should have the tables of version {manifest.version_id} and its specification; "
            f"received those of version {cloud.version_id}: export the bundle again"
        )


def read_device_half(bundle: Path, *, public_key: PublicKey | None = None) -> DeviceHalf:
    """Read and check the files of the device half of `bundle`. The errors are those of `load_device_model`."""
    folder = bundle / DEVICE
    refuse_link(folder)
    if not folder.is_dir():
        # If the folder is not a bundle at all, this raises a more precise error.
        read_bundle_manifest(bundle)
    manifest = read_device_manifest(folder, public_key=public_key)
    spec = _parse_spec(manifest, folder)
    with enough_memory(folder):
        contents = {name: _model_bytes(folder, manifest, name) for name in DEVICE_MODELS if name in manifest.models}
        head, personal = (
            None if name is None else read_stamped(folder, name, manifest.files[name])
            for name in (manifest.surroundings, manifest.personal)
        )
    return DeviceHalf(folder, manifest, spec, contents, head, personal)


def create_model(half: DeviceHalf, *, threads: int = 1) -> DeviceModel:
    """Create the MNN sessions of a device half. The errors are those of `load_device_model`."""
    manifest = half.manifest
    with enough_memory(half.folder):
        steppers = {
            kind: HubsmStepper(half.contents[kind.step_model], threads=threads)
            for kind in BEHAVIOUR_KINDS
            if kind.step_model in half.contents
        }
        model = DeviceModel(
            version_id=manifest.version_id,
            spec=half.spec,
            limits=Limits(**manifest.limits),
            steppers=steppers,
            ranker=DeviceRanker(half.contents[RANKING_MODEL], threads=threads),
            mixing=manifest.mixing,
            head=None if half.head is None else SurroundingsHead.from_bytes(half.head),
            personal=None if half.personal is None else PersonalHead.from_bytes(half.personal),
        )
    check_models(model, manifest, half.folder)
    return model


def _parse_spec(manifest: DeviceManifest, folder: Path) -> FeatureSpec:
    try:
        return parse_spec(json.dumps(manifest.spec), where="manifest.json")
    except SpecificationError as error:
        raise FormatError(f"device bundle: {folder}: {error}: export the bundle again") from None


def _model_bytes(folder: Path, manifest: DeviceManifest, name: str) -> bytes:
    file = manifest.models[name].file
    return read_stamped(folder, file, manifest.files[file])
