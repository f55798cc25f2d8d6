"""What a mixed world has in addition to a plain one: the cards, and the hidden state of some users."""

from __future__ import annotations

from edgerec.simulation.mixed.cards import Cards
from edgerec.simulation.mixed.config import MixedConfig
from edgerec.simulation.mixed.states import Effects, MixedStates
from edgerec.simulation.mixed.traits import MixedTraits
from edgerec.simulation.world import Floats, Ints


class Mixture:
    """The effects of cards on some users, for rows of the catalogue in place of kinds and categories.

    Attributes:
        config: the parameters.
        cards: the cards of the catalogue.
        states: the hidden state of the users.
    """

    def __init__(self, config: MixedConfig, cards: Cards, traits: MixedTraits) -> None:
        self.config, self.cards = config, cards
        self.states = MixedStates(config, traits)

    def own(self, who: Ints, items: Ints) -> Floats:
        """Return what the kind of each user's item adds to its logit, wherever it stands (n,)."""
        return self.states.own(who, self.cards.kind[items])

    def effects(self, who: Ints, items: Ints, place: int) -> Effects:
        """Return the effects (n, k) on `items` (n, k) that are shown from `place` on. See `MixedStates.effects`."""
        return self.states.effects(who, self.cards.kind[items], self.cards.catalogue.category[items], place)

    def show(self, who: Ints, items: Ints) -> None:
        """Update the states after each user saw one of `items` (n,)."""
        self.states.show(who, self.cards.kind[items], self.cards.catalogue.category[items])
