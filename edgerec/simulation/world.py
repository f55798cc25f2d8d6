"""The fixed part of a simulated world: a catalogue of items, and users with their traits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.simulation.config import BehaviourConfig, SimulationConfig

GENDERS = ("female", "male", "any")
BC_TYPES = ("b", "c")
PRICE_LEVELS = 7
AGE_LEVELS = 8

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Catalogue:
    """The items, sorted by category and then by popularity; arrays (items,) unless stated otherwise.

    `quality`, `fashion` and `quality_error` are not in the logs.

    Attributes:
        item_id: random IDs that do not depend on the other attributes.
        category: from 0, ascending; category sizes follow Zipf's law.
        brand: from 0; brand ``b`` belongs to category ``b // brands_per_category``.
        gender: index into `GENDERS`.
        price_level: 1 to 7. All items are divided into seven equal groups by their price relative to their category.
        age_level: 1 to 8.
        bc_type: index into `BC_TYPES`.
        price: in units of currency.
        quality: about standard normal; half of the variance comes from the brand.
        fashion: (items, 2), angular frequency (radians per day) and phase (radians) of the sine wave that changes the
            item's appeal over several days.
        quality_error: the constant error of the cloud's estimate of the item's appeal, in logits.
        cumulative: (items + 1,) float64, ascending from 0 to 1: item ``i`` is drawn with probability
            ``cumulative[i + 1] - cumulative[i]``. Categories, and items within a category, follow Zipf's law.
        starts: (categories + 1,), index of the first item of each category.
    """

    item_id: Ints
    category: Ints
    brand: Ints
    gender: Ints
    price_level: Ints
    age_level: Ints
    bc_type: Ints
    price: Floats
    quality: Floats
    fashion: Floats
    quality_error: Floats
    cumulative: NDArray[np.float64]
    starts: Ints

    def __len__(self) -> int:
        return len(self.item_id)

    @property
    def popularity(self) -> NDArray[np.float64]:
        """The share of each category in all draws, shape (categories,). A category without items has the share 0."""
        return np.diff(self.cumulative[self.starts])

    def appeal(self, items: Ints, day: Floats, weights: BehaviourConfig) -> Floats:
        """Return the weighted sum of the quality and fashion of items on a day, in logits. Shapes broadcast."""
        fashion = np.sin(self.fashion[items, 0] * day + self.fashion[items, 1])
        appeal: Floats = weights.quality * (self.quality[items] + weights.trend * fashion)
        return appeal

    def draw(self, category: Ints, uniform: NDArray[np.float64]) -> Ints:
        """Draw one item for each `category`. Popular items are more likely.

        Args:
            category: (...), the categories.
            uniform: (...), random numbers in [0, 1).

        Returns:
            Row indices of the catalogue (...).
        """
        low, high = self.cumulative[self.starts[category]], self.cumulative[self.starts[category + 1]]
        items = np.searchsorted(self.cumulative, low + uniform * (high - low), side="right") - 1
        return np.clip(items, self.starts[category], self.starts[category + 1] - 1)

    def table(self) -> pl.DataFrame:
        """Return the table of items with features p1 to p6 and the price. Categories and brands are numbered from 1."""
        return pl.DataFrame(
            {
                "item_id": self.item_id,
                "category": (self.category + 1).astype(np.int32),
                "brand": (self.brand + 1).astype(np.int32),
                "gender": np.array(GENDERS)[self.gender],
                "price_level": self.price_level.astype(np.int8),
                "age_level": self.age_level.astype(np.int8),
                "bc_type": np.array(BC_TYPES)[self.bc_type],
                "price": self.price,
            }
        ).sort("item_id")


@dataclass(frozen=True)
class Users:
    """The traits of users; arrays (users,) unless stated otherwise. Only `user_id` is in the logs.

    Attributes:
        user_id: IDs from 1.
        gender: 0 or 1, index into `GENDERS`.
        age_level: 1 to 8.
        price_level: preferred price level, about 1 to 7.
        price_sensitivity: weight of the distance to the preferred price level, log-normal with median 1.
        taste: (users, categories), long-term taste in logits.
        taste_error: (users, categories), the constant error of the cloud's estimate of `taste`, in logits.
        activity: expected number of planned sessions, at least 1, with a long tail.
    """

    user_id: Ints
    gender: Ints
    age_level: Ints
    price_level: Floats
    price_sensitivity: Floats
    taste: Floats
    taste_error: Floats
    activity: Floats

    def __len__(self) -> int:
        return len(self.user_id)


def make_catalogue(config: SimulationConfig, rng: np.random.Generator) -> Catalogue:
    """Draw the items: first category and brand by Zipf's law, then the attributes, which depend on both."""
    count, per_category = config.items, config.brands_per_category
    category = rng.choice(config.categories, count, p=zipf(config.categories, config.zipf))
    brand = category * per_category + rng.choice(per_category, count, p=zipf(per_category, config.zipf))
    brands = config.categories * per_category
    brand_quality, brand_price = rng.standard_normal((2, brands), dtype=np.float32)
    quality = np.sqrt(np.float32(0.5)) * (brand_quality[brand] + rng.standard_normal(count, dtype=np.float32))
    relative = 0.6 * brand_price[brand] + 0.4 * rng.standard_normal(count)
    log_price = rng.normal(np.log(50.0), 1.0, config.categories)
    # Half of a category's items are for any gender. The category decides how many of the others are for men.
    male_share = rng.beta(0.5, 0.5, config.categories)[category]
    gender = np.where(rng.random(count) < 0.5, 2, (rng.random(count) < male_share).astype(np.int64))
    age = rng.uniform(1, AGE_LEVELS, config.categories)[category] + 1.2 * rng.standard_normal(count)
    # Items of higher quality are more popular on average: the order is by quality plus noise of the same size.
    order = np.lexsort((-(quality + rng.standard_normal(count)), category))
    category, starts = category[order], np.searchsorted(category[order], np.arange(config.categories + 1))
    rank = np.arange(count) - starts[category] + 1
    cumulative = np.concatenate([[0.0], np.cumsum(_draw_shares(category, rank, config))])
    fashion = np.stack([2 * np.pi / rng.uniform(5, 15, count), rng.uniform(0, 2 * np.pi, count)], axis=1)
    return Catalogue(
        item_id=(rng.permutation(count) + 1).astype(np.int64),
        category=category.astype(np.int64),
        brand=brand[order].astype(np.int64),
        gender=gender[order].astype(np.int64),
        price_level=levels(relative[order], PRICE_LEVELS),
        age_level=np.clip(np.rint(age[order]), 1, AGE_LEVELS).astype(np.int64),
        bc_type=(rng.random(count) < 0.4).astype(np.int64),
        price=np.exp(log_price[category] + relative[order]).round(2).astype(np.float32),
        quality=quality[order],
        fashion=fashion.astype(np.float32),
        quality_error=(config.cloud.item_error * rng.standard_normal(count)).astype(np.float32),
        cumulative=cumulative / cumulative[-1],
        starts=starts,
    )


def _draw_shares(category: Ints, rank: Ints, config: SimulationConfig) -> NDArray[np.float64]:
    """Return the unnormalized draw probability of each item (items,), by Zipf's law for category and item."""
    weights = rank.astype(np.float64) ** -config.zipf
    sums = np.bincount(category, weights, minlength=config.categories)
    shares: NDArray[np.float64] = weights / sums[category] * zipf(config.categories, config.zipf)[category]
    return shares


def make_users(config: SimulationConfig, first: int, count: int, rng: np.random.Generator) -> Users:
    """Draw the traits of users `first` to ``first + count - 1`` (counted from 0). All traits are independent."""
    deviation, shape = config.activity_spread, (count, config.categories)
    # Each user has at least one session. The expected number of further sessions is log-normal.
    tail = np.exp(deviation * rng.standard_normal(count) - deviation**2 / 2)
    return Users(
        user_id=np.arange(first + 1, first + count + 1, dtype=np.int64),
        gender=rng.integers(0, 2, count),
        age_level=rng.integers(1, AGE_LEVELS + 1, count),
        price_level=rng.normal((1 + PRICE_LEVELS) / 2, 1.5, count).astype(np.float32),
        price_sensitivity=np.exp(config.behaviour.price_sensitivity_spread * rng.standard_normal(count)).astype(
            np.float32
        ),
        taste=np.float32(config.behaviour.taste) * rng.standard_normal(shape, dtype=np.float32),
        taste_error=np.float32(config.cloud.taste_error) * rng.standard_normal(shape, dtype=np.float32),
        activity=(1 + (config.sessions_per_user - 1) * tail).astype(np.float32),
    )


def utility(
    catalogue: Catalogue, users: Users, who: Ints, items: Ints, day: Floats, weights: BehaviourConfig
) -> Floats:
    """Return the utility of items for users on a day, without any influence of the session, in logits.

    The shapes of `who`, `items` and `day` must broadcast.
    """
    other = (catalogue.gender[items] != 2) & (catalogue.gender[items] != users.gender[who])
    years = np.abs(catalogue.age_level[items] - users.age_level[who])
    price = (catalogue.price_level[items] - users.price_level[who]) ** 2
    result: Floats = (
        users.taste[who, catalogue.category[items]]
        + catalogue.appeal(items, day, weights)
        - np.float32(weights.gender_mismatch) * other
        - np.float32(weights.age_distance) * years.astype(np.float32)
        - np.float32(weights.price_distance) * users.price_sensitivity[who] * price.astype(np.float32)
    ).astype(np.float32)
    return result


def zipf(count: int, exponent: float) -> NDArray[np.float64]:
    """Return probabilities (count,) proportional to ``rank ** -exponent``."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def sigmoid(logits: NDArray[np.floating]) -> Floats:
    """Return ``1 / (1 + exp(-x))`` for each logit x, without overflow for large values."""
    probabilities: Floats = (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)
    return probabilities


def levels(values: NDArray[np.float64], count: int) -> Ints:
    """Divide the sorted values into `count` groups of equal size, and return the group of each value, from 1."""
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return (ranks * count // len(values) + 1).astype(np.int64)
