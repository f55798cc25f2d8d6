"""How the cards around a card change what users do: the hidden state of users in a mixed world (docs/simulator.md).

It is used for thousands of users at once (`edgerec simulate`) and for one user (the closed loop). It draws no random
numbers. Arguments are as in `edgerec.simulation.users`: ``who`` (n,) are the distinct row indices of the users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgerec.simulation.actions import Bools
from edgerec.simulation.mixed.config import AD, VIDEO, MixedConfig
from edgerec.simulation.mixed.traits import MixedTraits
from edgerec.simulation.world import Floats, Ints

_NO_CARD = -1


@dataclass(frozen=True)
class Effects:
    """What is added to the click logits of cards; arrays (n, k).

    Attributes:
        own: what depends on the user and the kind of the card alone.
        neighbours: what the cards before it change.
        attention: what the place on the page changes.
    """

    own: Floats
    neighbours: Floats
    attention: Floats

    @property
    def total(self) -> Floats:
        """The sum of all effects."""
        total: Floats = self.own + self.neighbours + self.attention
        return total


class MixedStates:
    """The hidden state of a group of users: annoyance, remembered videos, and the last card.

    Attributes:
        annoyance: (users,), decaying number of ads.
        videos: (users,), decaying number of videos.
    """

    def __init__(self, config: MixedConfig, traits: MixedTraits) -> None:
        users = len(traits.ad_sensitivity)
        self._config, self._traits = config, traits
        self._level = np.array([card.level for card in config.cards], np.float32)
        self.annoyance: Floats = np.zeros(users, np.float32)
        self.videos: Floats = np.zeros(users, np.float32)
        self._last_kind: Ints = np.full(users, _NO_CARD, np.int64)
        self._last_category: Ints = np.full(users, _NO_CARD, np.int64)

    def begin_sessions(self, who: Ints, away_s: Floats) -> None:
        """Start a session: the counts have decayed for `away_s` (n,) seconds, and there is no last card."""
        hours = away_s / np.float32(3600)
        self.annoyance[who] *= np.exp(-hours / np.float32(self._config.ad_hours))
        self.videos[who] *= np.exp(-hours / np.float32(self._config.video_hours))
        self._last_kind[who] = self._last_category[who] = _NO_CARD

    def own(self, who: Ints, kind: Ints) -> Floats:
        """Return what depends on the user and the kind of the card alone. The arguments must broadcast."""
        own: Floats = self._level[kind] + self._traits.affinity[who, kind]
        return own

    def effects(self, who: Ints, kind: Ints, category: Ints, place: int) -> Effects:
        """Return the effects on cards, if they are shown next and in the given order.

        Args:
            who: (n,). Here a user may occur several times, with different cards.
            kind: (n, k), kinds of the cards.
            category: (n, k), their categories.
            place: the place of the first card on the page, counted from 0.
        """
        config, traits = self._config, self._traits
        annoyance = decayed(self.annoyance[who], kind == AD, config.ad_memory)
        videos = decayed(self.videos[who], kind == VIDEO, config.video_memory)
        hurt = traits.ad_sensitivity[who, None] * annoyance ** np.float32(config.ad_power)
        weight = np.where(kind == AD, np.float32(config.ad_annoyance), np.float32(config.ad_spill))
        rested = np.float32(config.video_rest)
        tired = np.logaddexp(np.float32(0), videos - rested) - np.logaddexp(np.float32(0), -rested)
        tired *= np.float32(config.video_tiredness) * traits.video_sensitivity[who, None]
        before_kind = np.concatenate([self._last_kind[who, None], kind[:, :-1]], axis=1)
        before_category = np.concatenate([self._last_category[who, None], category[:, :-1]], axis=1)
        follows = np.where(before_kind == kind, np.float32(config.same_kind), np.float32(config.other_kind))
        neighbours = np.where(before_category == category, follows, np.float32(0)) - weight * hurt
        neighbours -= np.where(kind == VIDEO, tired, np.float32(0))
        places = np.arange(place, place + kind.shape[1])
        faded = np.float32(config.attention) * np.expm1(-places / config.attention_places).astype(np.float32)
        return Effects(
            own=self.own(who[:, None], kind),
            neighbours=neighbours.astype(np.float32),
            attention=np.broadcast_to(faded, kind.shape),
        )

    def show(self, who: Ints, kind: Ints, category: Ints) -> None:
        """Update the states after each user saw one card of a `kind` (n,) and `category` (n,)."""
        config = self._config
        self.annoyance[who] = np.float32(config.ad_memory) * self.annoyance[who] + (kind == AD)
        self.videos[who] = np.float32(config.video_memory) * self.videos[who] + (kind == VIDEO)
        self._last_kind[who], self._last_category[who] = kind, category

    def leaving(self, who: Ints) -> Floats:
        """Return by what annoyance multiplies the probability of leaving now (n,)."""
        annoyed = self._traits.ad_sensitivity[who] * self.annoyance[who] ** np.float32(self._config.ad_power)
        factor: Floats = 1 + np.float32(self._config.ad_leave) * annoyed
        return factor


def decayed(start: Floats, hits: Bools, memory: float) -> Floats:
    """Return a decaying count (n, k) before each card.

    Args:
        start: (n,), the count before the first card.
        hits: (n, k), whether a card counts.
        memory: the share that is left after one more card. A card that counts adds 1 after that.
    """
    # Users of the closed loop see one card after the other.
    if hits.shape[1] == 1:
        return start[:, None]
    position = np.arange(hits.shape[1])
    # The number of cards between the earlier card (row) and the later one (column).
    between = position - 1 - position[:, None]
    weights = np.where(between >= 0, memory ** np.maximum(between, 0), 0).astype(np.float32)
    # Sums of einsum, unlike those of BLAS, do not depend on the number of users or threads.
    counts = np.einsum("nk,kj->nj", hits.astype(np.float32), weights)
    result: Floats = counts + start[:, None] * (memory**position).astype(np.float32)
    return result
