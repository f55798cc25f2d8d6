"""All methods by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial

from edgerec.core.console import stage
from edgerec.core.errors import InputError
from edgerec.core.text import did_you_mean
from edgerec.model.personalization.learned import Learned
from edgerec.model.personalization.maml import maml, meta_sgd
from edgerec.model.personalization.paml import paml
from edgerec.model.personalization.prior import prior_method
from edgerec.model.personalization.problem import Floats
from edgerec.model.personalization.shrink import with_shrink
from edgerec.model.personalization.simple import (
    finetune,
    prior_corrected,
    refit,
    refit_start,
    shared,
    user_bias,
)
from edgerec.model.personalization.world import MetaWorld

LEAST_USERS = 20
"""With fewer users, meta-training learns nothing."""


@dataclass(frozen=True, eq=False)
class Learning:
    """What methods share, computed when the first one asks for it.

    Attributes:
        world: the users of meta-training.
        rank: number of directions of the kernel of `prior`; None: all.
    """

    world: MetaWorld
    rank: int | None = None

    @cached_property
    def refit(self) -> tuple[Floats, float]:
        """The patch that fits all users best, and its pull."""
        return refit_start(self.world)

    @cached_property
    def finetune(self) -> Learned:
        """Fine-tuning with tuned settings."""
        return with_shrink(self.world, finetune(self.world))

    @cached_property
    def finetune_refit(self) -> Learned:
        """Fine-tuning from the refit."""
        return with_shrink(self.world, finetune(self.world, self.refit[0], method="finetune_refit"))

    @cached_property
    def user_bias(self) -> Learned:
        """The shrunk bias."""
        return user_bias(self.world)

    @cached_property
    def paml(self) -> Learned:
        """PAML with memory."""
        return self.from_refit(paml)

    @cached_property
    def prior(self) -> Learned:
        """The Gaussian prior."""
        return prior_method(self.world, self.refit[0], rank=self.rank)

    def from_refit(self, method: Callable[[MetaWorld, Learned, Floats], Learned]) -> Learned:
        """Run a method that learns from the refit on, with the rate and the pull of `finetune_refit`."""
        return with_shrink(self.world, method(self.world, self.finetune_refit, self.refit[0]))


METHODS: dict[str, Callable[[Learning], Learned]] = {
    "shared": lambda known: shared(known.world),
    "refit": lambda known: refit(known.world, *known.refit),
    "user_bias": lambda known: known.user_bias,
    "finetune": lambda known: known.finetune,
    "prior_corrected": lambda known: with_shrink(known.world, prior_corrected(known.world, known.user_bias.head)),
    "finetune_refit": lambda known: known.finetune_refit,
    "maml_first_order": lambda known: known.from_refit(partial(maml, first_order=True)),
    "maml": lambda known: known.from_refit(maml),
    "meta_sgd": lambda known: known.from_refit(meta_sgd),
    "paml_no_memory": lambda known: known.from_refit(partial(paml, memory=False)),
    "paml": lambda known: known.paml,
    "paml_shuffled": lambda known: replace(known.paml, rate_of_other=True),
    "prior_diagonal": lambda known: prior_method(known.world, known.refit[0], diagonal=True),
    "prior": lambda known: known.prior,
    "other_user": lambda known: replace(known.prior, events_of_other=True),
}
"""The methods. `shared` and `refit` are what the others are compared with."""

EXPORTED = ("finetune", "finetune_refit", "maml", "maml_first_order", "meta_sgd", "paml", "paml_no_memory", "prior")
"""The methods of `edgerec meta-train`: those whose head a device can train with."""


def check_exported(name: str) -> None:
    """Check that a device can train with the head of a method.

    Raises:
        InputError: it is no such method.
    """
    if name not in EXPORTED:
        raise InputError(
            f"meta-train: --method should be one of {', '.join(EXPORTED)}; received {name!r}"
            f"{did_you_mean(name, EXPORTED)}"
        )


def check_methods(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names in the order of `METHODS`, with `shared` and `refit`.

    Raises:
        InputError: a method is unknown.
    """
    wanted = {*names, "shared", "refit"}
    for name in sorted(wanted):
        if name not in METHODS:
            raise InputError(
                f"personalize: method {name!r} should be one of {', '.join(METHODS)}{did_you_mean(name, METHODS)}"
            )
    return tuple(name for name in METHODS if name in wanted)


def learn_methods(world: MetaWorld, names: Iterable[str], *, rank: int | None = None) -> dict[str, Learned]:
    """Run the meta-training of each method.

    Raises:
        InputError: there are too few users.
    """
    if len(world.trainees) < LEAST_USERS or not world.tuned:
        raise InputError(
            f"meta-training: at least {LEAST_USERS} users with two pages or more are needed; received "
            f"{len(world.trainees)}: take more users, or a longer period"
        )
    known = Learning(world, rank)
    found = {}
    for name in names:
        with stage(f"learn {name}"):
            found[name] = METHODS[name](known)
    return found
