"""A bundle's device half, checked and loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgerec.core.errors import FormatError, SessionError, SpecificationError
from edgerec.core.manifest import (
    CLOUD,
    CRBAN,
    DEVICE,
    HUBSM_IE,
    HUBSM_IPV,
    BundleManifest,
    DeviceManifest,
    check_files,
    read_bundle_manifest,
    read_cloud_manifest,
    read_device_manifest,
    read_stamped,
    refuse_link,
)
from edgerec.core.memory import enough_memory
from edgerec.core.paths import as_path
from edgerec.core.signing import PublicKey
from edgerec.device_runtime.crban import CrbanRanker, Encodings
from edgerec.device_runtime.hubsm import Array, HubsmStepper
from edgerec.device_runtime.session import check_rows
from edgerec.features.spec import FeatureSpec, parse_spec


@dataclass(frozen=True)
class DeviceModel:
    """The device models of one version.

    Attributes:
        manifest: specification, limits, version.
        hubsm_ie: stepper of item exposures; none where the ranker does not read them.
        hubsm_ipv: stepper of item page-views; likewise.
        crban: ranker.
    """

    manifest: DeviceManifest
    hubsm_ie: HubsmStepper | None
    hubsm_ipv: HubsmStepper | None
    crban: CrbanRanker

    @property
    def steppers(self) -> dict[str, HubsmStepper]:
        """Those that there are, by name of device model."""
        found = {HUBSM_IE: self.hubsm_ie, HUBSM_IPV: self.hubsm_ipv}
        return {name: stepper for name, stepper in found.items() if stepper is not None}


def load_device_model(bundle: Path, *, public_key: PublicKey | None = None) -> DeviceModel:
    """Load the device half of the folder `bundle`.

    Each file is read once, and the bytes whose hash was checked are the bytes that MNN gets.

    Args:
        bundle: a folder with a `device` folder in it.
        public_key: with it, only a device half that its owner signed is loaded; None asks for no signature.

    Raises:
        FormatError: no bundle, another format number, a manifest that is not valid, or models that do not fit it.
        IntegrityError: a model file is missing or was changed.
        SignatureError: `public_key` is given, and the manifest is not signed by its owner.
        SessionError: MNN cannot load a model, or it is no model of its kind.
        ResourceError: there is not enough memory.
    """
    bundle = as_path(bundle, "bundle")
    folder = bundle / DEVICE
    refuse_link(folder)
    if not folder.is_dir():
        # Says what is wrong with the folder: no bundle at all, or one without its device half.
        read_bundle_manifest(bundle)
    manifest = read_device_manifest(folder, public_key=public_key)
    with enough_memory(folder):
        steppers = {
            name: HubsmStepper(_model_bytes(folder, manifest, name))
            for name in (HUBSM_IE, HUBSM_IPV)
            if name in manifest.models
        }
        model = DeviceModel(
            manifest=manifest,
            hubsm_ie=steppers.get(HUBSM_IE),
            hubsm_ipv=steppers.get(HUBSM_IPV),
            crban=CrbanRanker(_model_bytes(folder, manifest, CRBAN)),
        )
    _check_shapes(model, folder)
    _check_together(model, folder)
    _check_widths(model, folder)
    return model


def open_bundle(bundle: Path, *, public_key: PublicKey | None = None) -> tuple[BundleManifest, DeviceModel]:
    """Check every file of the folder `bundle` and load its device half.

    Raises:
        FormatError, IntegrityError, SignatureError, SessionError: as `load_device_model`; also a device half of another
            version.
    """
    bundle = as_path(bundle, "bundle")
    manifest = read_bundle_manifest(bundle, public_key=public_key)
    check_files(bundle, manifest.files)
    model = load_device_model(bundle, public_key=public_key)
    check_version(bundle, manifest, model)
    return manifest, model


def check_version(bundle: Path, manifest: BundleManifest, model: DeviceModel) -> None:
    """Refuse a bundle whose device half is another version's, or of another precision.

    Raises:
        FormatError: it is.
    """
    device = model.manifest
    if (device.version_id, device.precision, device.models) != (
        manifest.version_id,
        manifest.precision,
        manifest.models,
    ):
        raise FormatError(
            f"bundle: {bundle} holds the device half of version {device.version_id} ({device.precision}), "
            f"not of {manifest.version_id} ({manifest.precision}): export it again"
        )


def check_cloud(bundle: Path, manifest: BundleManifest, *, public_key: PublicKey | None) -> None:
    """Refuse a bundle whose cloud half is another version's, or of other tables.

    Raises:
        FormatError: it is, or it has no valid manifest.
        IntegrityError, SignatureError: as `read_cloud_manifest`.
    """
    refuse_link(bundle / CLOUD)
    cloud = read_cloud_manifest(bundle / CLOUD, public_key=public_key)
    if (cloud.version_id, cloud.spec, cloud.tables) != (manifest.version_id, manifest.spec, manifest.tables):
        raise FormatError(
            f"bundle: {bundle / CLOUD} holds tables of version {cloud.version_id}, not of {manifest.version_id}: "
            "export it again"
        )


def _check_shapes(model: DeviceModel, folder: Path) -> None:
    """Refuse models with other inputs or outputs than the manifest says."""
    sessions = {name: stepper.session for name, stepper in model.steppers.items()}
    sessions[CRBAN] = model.crban.session
    for name, session in sessions.items():
        stated = model.manifest.models[name]
        for side, expected, received in (
            ("inputs", stated.inputs, session.inputs),
            ("outputs", stated.outputs, session.outputs),
        ):
            if expected != dict(received):
                raise FormatError(
                    f"device bundle: {side} of {folder / stated.file} should be {expected}; received a model with "
                    f"{dict(received)}: export the bundle again"
                )


def _check_together(model: DeviceModel, folder: Path) -> None:
    """Refuse models that cannot feed one another, or that read other lengths than the manifest says."""
    crban = model.crban
    limits = dict(model.manifest.limits)
    fits = limits.pop("candidates") == crban.limit
    for stepper, limit, read, key_width in (
        (model.hubsm_ie, limits["exposures"], crban.exposure_limit, crban.exposure_key_width),
        (model.hubsm_ipv, limits["page_views"], crban.page_view_limit, crban.page_view_key_width),
    ):
        if stepper is None:
            fits &= read == 0
        else:
            widths = (stepper.key_width, stepper.hidden, stepper.item_width)
            fits &= widths == (key_width, crban.hidden, crban.item_width) and read == limit
    if not fits:
        raise FormatError(
            f"device bundle: the models of {folder} do not fit together or not the limits {model.manifest.limits}: "
            "export the bundle again"
        )


def _check_widths(model: DeviceModel, folder: Path) -> None:
    """Refuse models that read vectors of other widths than the specification's features make."""
    spec = _spec(model.manifest, folder)
    groups = [("item", spec.item, model.crban.item_width)]
    if model.hubsm_ie is not None:
        groups.append(("ie_action", spec.ie_action, model.hubsm_ie.action_width))
    if model.hubsm_ipv is not None:
        groups.append(("ipv_action", spec.ipv_action, model.hubsm_ipv.action_width))
    if model.crban.identities not in (0, 1 + len(spec.embeddings)):
        raise FormatError(
            f"device bundle: {folder}: items have {1 + len(spec.embeddings)} identities; received a ranker that "
            f"matches {model.crban.identities}: export the bundle again"
        )
    for name, features, received in groups:
        expected = sum(feature.width for feature in features)
        if expected != received:
            raise FormatError(
                f"device bundle: {folder}: the features of {name} are {expected} wide together; received a model that "
                f"reads {received}: export the bundle again"
            )


def _spec(manifest: DeviceManifest, folder: Path) -> FeatureSpec:
    try:
        return parse_spec(json.dumps(manifest.spec), where="of the manifest")
    except SpecificationError as error:
        raise FormatError(f"device bundle: {folder}: {error}: export the bundle again") from None


def encode_behaviours(stepper: HubsmStepper, action: Array, item: Array) -> Encodings:
    """Step through behaviours from the initial state, oldest first.

    Args:
        stepper: of their kind.
        action: (t, d_a) float32.
        item: (t, d_x) float32.

    Returns:
        Keys and values of all t steps.

    Raises:
        SessionError: no stepper, arrays of another shape or type, or of two lengths.
        NotFiniteError: what the model gave is not finite.
    """
    if not isinstance(stepper, HubsmStepper):
        raise SessionError(f"`stepper` should be a HubsmStepper. Received: {type(stepper).__name__}")
    check_rows("action", action, stepper.action_width)
    check_rows("item", item, stepper.item_width)
    if len(action) != len(item):
        raise SessionError(f"`item` should have as many rows as `action`. Received: {len(item)} and {len(action)}")
    keys = np.empty((len(action), stepper.key_width), np.float32)
    values = np.empty((len(action), stepper.hidden), np.float32)
    state = stepper.initial_state()
    for at in range(len(action)):
        keys[at], values[at], state = stepper.step(action[at], item[at], state)
    return Encodings(keys, values)


def _model_bytes(folder: Path, manifest: DeviceManifest, name: str) -> bytes:
    file = manifest.models[name].file
    return read_stamped(folder, file, manifest.files[file])
