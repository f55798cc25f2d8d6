"""What distinguishes the users of a mixed world from each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgerec.simulation.mixed.config import KINDS, MixedConfig
from edgerec.simulation.world import Floats


@dataclass(frozen=True)
class MixedTraits:
    """Hidden traits of users.

    Attributes:
        affinity: (users, kinds), how much more than others a user clicks cards of a kind, in logits.
        ad_sensitivity: (users,), weight of annoyance by ads, log-normal with median 1.
        video_sensitivity: (users,), weight of tiredness by videos, log-normal with median 1.
    """

    affinity: Floats
    ad_sensitivity: Floats
    video_sensitivity: Floats


def make_traits(config: MixedConfig, count: int, rng: np.random.Generator) -> MixedTraits:
    """Draw the traits of `count` users. All traits are independent."""
    deviations = np.array([card.affinity for card in config.cards], np.float32)
    affinity = deviations * rng.standard_normal((count, len(KINDS)), dtype=np.float32)
    ads, videos = rng.standard_normal((2, count))
    return MixedTraits(
        affinity=affinity,
        ad_sensitivity=np.exp(config.ad_sensitivity_spread * ads).astype(np.float32),
        video_sensitivity=np.exp(config.video_sensitivity_spread * videos).astype(np.float32),
    )
