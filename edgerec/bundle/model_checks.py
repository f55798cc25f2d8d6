"""Checks that the device models of a bundle fit their manifest, each other and the feature specification."""

from __future__ import annotations

from pathlib import Path

from edgerec.bundle.manifest import RANKING_MODEL, DeviceManifest
from edgerec.core.errors import FormatError
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.session import Session
from edgerec.features.card_kind import card_kind_feature


def check_models(model: DeviceModel, manifest: DeviceManifest, folder: Path) -> None:
    """Check the shapes of the models that were loaded from `folder`.

    Raises:
        FormatError: a model does not have the inputs and outputs in the manifest, the ranker cannot read what the step
            models return, the width of a model's input vector differs from that of its features, the tables of
            surroundings do not fit the ranker or the features, or the head of personal patches belongs to another
            version or does not fit the ranker.
    """
    _check_shapes(model, manifest, folder)
    _check_together(model, manifest, folder)
    _check_widths(model, folder)
    _check_head(model, folder)
    _check_personal(model, folder)


def sessions_of(model: DeviceModel) -> dict[str, Session]:
    """Return the MNN sessions of a device model, by the names of the models in bundles."""
    steps = {kind.step_model: stepper.session for kind, stepper in model.steppers.items()}
    return {**steps, RANKING_MODEL: model.ranker.session}


def _check_shapes(model: DeviceModel, manifest: DeviceManifest, folder: Path) -> None:
    """Check that each model has the inputs and outputs in the manifest."""
    for name, session in sessions_of(model).items():
        stated = manifest.models[name]
        for side, expected, received in (
            ("inputs", stated.inputs, session.inputs),
            ("outputs", stated.outputs, session.outputs),
        ):
            if expected != dict(received):
                raise FormatError(
                    f"device bundle: {side} of {folder / stated.file} should be {expected}; received a model with "
                    f"{dict(received)}: export the bundle again"
                )


def _check_together(model: DeviceModel, manifest: DeviceManifest, folder: Path) -> None:
    """Check that the ranker has the same widths as the step models and the same limits as the manifest."""
    ranker, limits = model.ranker, model.limits
    fits = limits.candidates == ranker.limit
    fits &= model.steppers.keys() == ranker.limits.keys()
    for kind, stepper in model.steppers.items() if fits else ():
        fits &= (stepper.key_width, stepper.hidden) == (ranker.key_widths[kind], ranker.hidden)
        fits &= ranker.limits[kind] == limits.of(kind)
    if not fits:
        raise FormatError(
            f"device bundle: the models of {folder} do not fit together, or they do not fit the limits "
            f"{manifest.limits}: export the bundle again"
        )


def _check_widths(model: DeviceModel, folder: Path) -> None:
    """Check that the width of each input vector equals the sum of the widths of its features."""
    spec = model.spec
    groups = []
    for kind, stepper in model.steppers.items():
        groups.append((kind.group, spec.actions(kind), stepper.action_width))
        groups.append(("item", spec.item, stepper.item_width))
    candidate = (*spec.item, *spec.relations, *spec.context)
    groups.append(("candidates", candidate, model.ranker.candidate_width))
    if model.ranker.identities not in (0, 1 + len(spec.embeddings)):
        raise FormatError(
            f"device bundle: {folder}: the ranker should compare {1 + len(spec.embeddings)} IDs of each item (its own "
            f"and one for each embedding); received a ranker that compares {model.ranker.identities}: export the "
            "bundle again"
        )
    for name, features, received in groups:
        expected = sum(feature.width for feature in features)
        if expected != received:
            raise FormatError(
                f"device bundle: {folder}: the features of {name} have {expected} numbers; received a model that reads "
                f"{received}: export the bundle again"
            )


def _check_head(model: DeviceModel, folder: Path) -> None:
    """Check that the tables of surroundings have the ranker's width and the kinds of cards of the features."""
    width, head = model.ranker.vector_width, model.head
    if (head is None) != (not width):
        raise FormatError(
            f"device bundle: {folder} should have tables of surroundings if, and only if, the ranker returns vectors "
            f"of cards; received {'no tables' if head is None else 'tables'}, and a ranker with "
            f"{width or 'no'} numbers for each vector: export the bundle again"
        )
    if head is None:
        return
    found = card_kind_feature(model.spec.item)
    kinds = None if found is None else found[1]
    if (head.hidden, head.kinds) != (width, kinds):
        raise FormatError(
            f"device bundle: {folder}: the tables of surroundings should have {width} numbers and the kinds "
            f"{kinds}; received {head.hidden} and {head.kinds}: export the bundle again"
        )


def _check_personal(model: DeviceModel, folder: Path) -> None:
    """Check that the head of personal patches belongs to this version and reads what the ranker returns."""
    if model.personal is None:
        return
    ranker = model.ranker
    if ranker.vector_width:
        raise FormatError(
            f"device bundle: {folder} should have no personal head, because the model has surroundings, which patches "
            "do not read; received one: export the bundle again"
        )
    try:
        model.personal.check_model(model.version_id, hidden=ranker.hidden_width, candidate=ranker.candidate_width)
    except FormatError as error:
        raise FormatError(f"device bundle: {folder}: {error}") from None
