"""A bundle's device half, checked and loaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgerec.core.errors import FormatError, IntegrityError
from edgerec.core.manifest import (
    CRBAN,
    DEVICE,
    HUBSM_IE,
    HUBSM_IPV,
    DeviceManifest,
    read_bundle_manifest,
    read_device_manifest,
)
from edgerec.device_runtime.crban import CrbanRanker, Encodings
from edgerec.device_runtime.hubsm import Array, HubsmStepper


@dataclass(frozen=True)
class DeviceModel:
    """The three device models of one version.

    Attributes:
        manifest: specification, limits, version.
        hubsm_ie: stepper of item exposures.
        hubsm_ipv: stepper of item page-views.
        crban: ranker.
    """

    manifest: DeviceManifest
    hubsm_ie: HubsmStepper
    hubsm_ipv: HubsmStepper
    crban: CrbanRanker


def load_device_model(bundle: Path) -> DeviceModel:
    """Load the device half of the folder `bundle`.

    Each file is read once, and the bytes whose hash was checked are the bytes that MNN gets.

    Raises:
        FormatError: no bundle, another format number, or a manifest that is not valid.
        IntegrityError: a model file is missing or was changed.
        SessionError: MNN cannot load a model, or it is no model of its kind.
    """
    folder = bundle / DEVICE
    if not folder.is_dir():
        # Says what is wrong with the folder: no bundle at all, or one without its device half.
        read_bundle_manifest(bundle)
    manifest = read_device_manifest(folder)
    model = DeviceModel(
        manifest=manifest,
        hubsm_ie=HubsmStepper(_model_bytes(folder, manifest, HUBSM_IE)),
        hubsm_ipv=HubsmStepper(_model_bytes(folder, manifest, HUBSM_IPV)),
        crban=CrbanRanker(_model_bytes(folder, manifest, CRBAN)),
    )
    _check_together(model, folder)
    return model


def _check_together(model: DeviceModel, folder: Path) -> None:
    """Refuse models that cannot feed one another, or that read other lengths than the manifest says."""
    ie, ipv, crban = model.hubsm_ie, model.hubsm_ipv, model.crban
    steps = (ie.key_width, ipv.key_width, ie.hidden, ipv.hidden, ie.item_width, ipv.item_width)
    rank = (crban.exposure_key_width, crban.page_view_key_width, crban.hidden, crban.hidden)
    limits = {"candidates": crban.limit, "exposures": crban.exposure_limit, "page_views": crban.page_view_limit}
    if steps != (*rank, crban.item_width, crban.item_width) or model.manifest.limits != limits:
        raise FormatError(
            f"device bundle: the models of {folder} do not fit together or not the limits {model.manifest.limits}: "
            "export the bundle again"
        )


def encode_behaviours(stepper: HubsmStepper, action: Array, item: Array) -> Encodings:
    """Step through behaviours from the initial state, oldest first.

    Args:
        stepper: of their kind.
        action: (t, d_a) float32.
        item: (t, d_x) float32.

    Returns:
        Keys and values of all t steps.
    """
    keys = np.empty((len(action), stepper.key_width), np.float32)
    values = np.empty((len(action), stepper.hidden), np.float32)
    state = stepper.initial_state()
    for at in range(len(action)):
        keys[at], values[at], state = stepper.step(action[at], item[at], state)
    return Encodings(keys, values)


def _model_bytes(folder: Path, manifest: DeviceManifest, name: str) -> bytes:
    model = manifest.models[name]
    path = folder / model.file
    if path.is_symlink() or not path.is_file():
        raise IntegrityError(f"bundle: {path} is missing: fetch or export the bundle again")
    stamp = manifest.files[model.file]
    if path.stat().st_size != stamp.size or hashlib.sha256(content := path.read_bytes()).hexdigest() != stamp.sha256:
        raise IntegrityError(f"bundle: {path} was changed after it was written: fetch or export the bundle again")
    return content
