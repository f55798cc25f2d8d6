"""The parameters of a mixed world. docs/simulator.md gives the reason for each default."""

from __future__ import annotations

from dataclasses import dataclass

from edgerec.core.errors import ConfigurationError
from edgerec.simulation.parameters import check_parameters, integer, number

KINDS = ("product", "video", "live", "ad")
"""The kinds of cards. Their order is the order of all arrays over kinds."""
PRODUCT, VIDEO, LIVE, AD = range(4)


@dataclass(frozen=True)
class CardConfig:
    """The cards of one kind. Levels and deviations are in logits of the click probability.

    Raises:
        ConfigurationError: a parameter is not a finite number in its range.
    """

    items: float = number(1.0, 0, 1)
    """Share of the items of the catalogue. The shares of all kinds are scaled to sum to 1."""
    recall: float = number(1.0, 0, 1)
    """Share of the candidates of a page. The shares of all kinds are scaled to sum to 1."""
    worth: float = number(1.0, 0, 1000)
    """The value of a click."""
    level: float = number(0.0, -10, 10)
    """How much more a card of this kind is clicked than another one of the same utility."""
    affinity: float = number(0.0, 0, 10)
    """Standard deviation over users of how much they like this kind."""

    def __post_init__(self) -> None:
        check_parameters(self, "mix.<kind>.")


@dataclass(frozen=True)
class MixedConfig:
    """How cards of several kinds are served, and how they change each other's clicks. Effects are in logits.

    Raises:
        ConfigurationError: a parameter is not a finite number in its range.
    """

    product: CardConfig = CardConfig(items=0.5, recall=0.5, worth=1.0, level=0.0, affinity=0.0)
    video: CardConfig = CardConfig(items=0.2, recall=0.18, worth=0.4, level=0.5, affinity=0.5)
    live: CardConfig = CardConfig(items=0.1, recall=0.12, worth=0.8, level=0.0, affinity=0.5)
    ad: CardConfig = CardConfig(items=0.2, recall=0.2, worth=3.0, level=0.0, affinity=1.2)
    advertisers: int = integer(40, 1, 1_000_000)
    """Number of advertisers. Their numbers of ads follow Zipf's law."""
    draws: float = number(4.0, 1, 1000)
    """Number of draws of recall for each candidate. Initial ranking keeps the best ones."""
    ad_annoyance: float = number(1.2, 0, 10)
    """Effect of annoyance on an ad. Annoyance is a, a decaying number of ads; its effect grows like a power of a."""
    ad_spill: float = number(0.5, 0, 10)
    """Effect of annoyance on a card that is no ad."""
    ad_power: float = number(1.5, 0.1, 5)
    """Exponent of annoyance."""
    ad_memory: float = number(0.7, 0, 1)
    """Share of annoyance that is left after one more card."""
    ad_leave: float = number(0.25, 0, 100)
    """The probability of leaving is multiplied by 1 plus this times the annoyance."""
    ad_hours: float = number(0.5, 0.001, 10_000)
    """Time constant of the exponential decay of annoyance between sessions."""
    ad_sensitivity_spread: float = number(0.5, 0, 3)
    """Standard deviation of the logarithm of how sensitive users are to ads."""
    video_tiredness: float = number(0.5, 0, 10)
    """Effect of tiredness on a video, for each video above `video_rest` that the user remembers."""
    video_rest: float = number(2.0, 0, 100)
    """Number of remembered videos from which on videos tire."""
    video_memory: float = number(0.9, 0, 1)
    """Share of the remembered videos that is left after one more card."""
    video_hours: float = number(1.0, 0.001, 10_000)
    """Time constant of the exponential decay of the remembered videos between sessions."""
    video_sensitivity_spread: float = number(0.4, 0, 3)
    """Standard deviation of the logarithm of how quickly videos tire users."""
    same_kind: float = number(-0.4, -10, 10)
    """Effect on a card that follows one of its category and kind."""
    other_kind: float = number(0.6, -10, 10)
    """Effect on a card that follows one of its category and of another kind."""
    attention: float = number(0.7, 0, 10)
    """By how much attention has faded at the end of a long page."""
    attention_places: float = number(12.0, 0.1, 1000)
    """Number of places after which attention has faded by 63 %. It is full again on each page of the cloud."""

    def __post_init__(self) -> None:
        check_parameters(self, "mix.")
        for name in KINDS:
            if not isinstance(getattr(self, name), CardConfig):
                raise ConfigurationError(
                    f"simulation: mix.{name} should be a CardConfig; received {getattr(self, name)!r}"
                )
        for what in ("items", "recall"):
            if not sum(getattr(card, what) for card in self.cards) > 0:
                raise ConfigurationError(f"simulation: mix: the shares `{what}` of all kinds sum to 0: raise one")

    @property
    def cards(self) -> tuple[CardConfig, ...]:
        """The parameters of each kind, in the order of `KINDS`."""
        return (self.product, self.video, self.live, self.ad)

    def shares(self, what: str) -> list[float]:
        """Return the shares `items` or `recall` of all kinds, scaled to sum to 1."""
        values = [getattr(card, what) for card in self.cards]
        return [value / sum(values) for value in values]
