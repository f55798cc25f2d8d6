"""`edgerec meta-train`: learn the head of a model version from the requests of many users."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from edgerec.core.errors import InputError
from edgerec.model.personalization.activations import Activations
from edgerec.model.personalization.gate_prior import with_gate
from edgerec.model.personalization.methods import check_exported, learn_methods
from edgerec.model.personalization.tasks import tasks_of
from edgerec.model.personalization.world import meta_world
from edgerec.personalization.head import PersonalHead


@dataclass(frozen=True, eq=False)
class MetaTrained:
    """The head, and figures for people."""

    head: PersonalHead
    document: dict[str, Any]


def meta_train(
    activations: Activations,
    method: str,
    *,
    version_id: str,
    candidate: bool = True,
    rank: int | None = None,
    seed: int = 1,
) -> MetaTrained:
    """Learn a head from all users of `activations`.

    Args:
        activations: the exposures.
        method: one of `methods.EXPORTED`.
        version_id: the version of the model that computed the activations.
        candidate: whether patches read the candidate vector, too.
        rank: number of directions of `prior`; None: all.
        seed: seed of what is random.

    Raises:
        InputError: the method is unknown, or there are too few users.
    """
    check_exported(method)
    tasks = tasks_of(activations)
    if not tasks:
        raise InputError("meta-train: no user has two pages with labelled exposures: take a longer period")
    world = meta_world(activations, tasks, candidate=candidate, version_id=version_id, seed=seed)
    learned = with_gate(world, learn_methods(world, [method], rank=rank)[method])
    head = learned.head
    head = replace(head, training=head.training.model_copy(update={"method": method}))
    document = {
        "version_id": version_id,
        "method": method,
        "users": len(world.trainees),
        "exposures": len(activations),
        "inputs": head.inputs,
        "rank": head.rank,
        "patch_bytes": head.start.nbytes,
        "settings": learned.settings or {},
        "gate_gain": head.training.gain,
        "gate_gain_events": head.training.gain_events,
    }
    return MetaTrained(head, document)
