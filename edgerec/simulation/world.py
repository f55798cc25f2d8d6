"""What there is in the simulator before anybody acts: a catalogue of items, and users with their traits."""

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
    """The items in order of category and, within it, of popularity; arrays (items,) unless said otherwise.

    `quality`, `fashion` and `estimate` are hidden from the logs.

    Attributes:
        item_id: identities, in no relation to any attribute.
        category: from 0, ascending; Zipf by rank.
        brand: from 0; brand ``b`` belongs to category ``b // brands_per_category``.
        gender: index into `GENDERS`.
        price_level: 1 to 7, septiles of the price relative to the item's category.
        age_level: 1 to 8.
        bc_type: index into `BC_TYPES`.
        price: in units of currency.
        quality: about standard normal; half its variance is the brand's.
        fashion: (items, 2), cycles a day and phase, in radians, of what comes and goes.
        estimate: the cloud's lasting error about `quality`, in logits.
        reach: (items + 1,) float64, ascending from 0 to 1: item ``i`` is drawn with probability
            ``reach[i + 1] - reach[i]``, Zipf within its category and, by category, between them.
        begins: (categories + 1,), where each category's items begin.
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
    estimate: Floats
    reach: NDArray[np.float64]
    begins: Ints

    def __len__(self) -> int:
        return len(self.item_id)

    @property
    def popularity(self) -> NDArray[np.float64]:
        """(categories,) share of each category in all draws; 0 for one without items."""
        return np.diff(self.reach[self.begins])

    def appeal(self, items: Ints, day: Floats, weights: BehaviourConfig) -> Floats:
        """Quality and fashion of `items` (...) as of `day` (...), in logits."""
        fashion = np.sin(self.fashion[items, 0] * day + self.fashion[items, 1])
        appeal: Floats = weights.quality * (self.quality[items] + weights.trend * fashion)
        return appeal

    def draw(self, category: Ints, uniform: NDArray[np.float64]) -> Ints:
        """An item (...) of each `category` (...), popular ones more often, by inversion of `uniform` (...)."""
        low, high = self.reach[self.begins[category]], self.reach[self.begins[category + 1]]
        items = np.searchsorted(self.reach, low + uniform * (high - low), side="right") - 1
        return np.clip(items, self.begins[category], self.begins[category + 1] - 1)

    def table(self) -> pl.DataFrame:
        """`items.parquet`: what an app knows of an item (p1 to p6, price); categories and brands from 1."""
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
    """Users and their traits; arrays (users,) unless said otherwise. All but `user_id` is hidden from the logs.

    Attributes:
        user_id: identities from 1.
        gender: 0 or 1, index into `GENDERS`.
        age_level: 1 to 8.
        price_level: what the user likes to pay, about 1 to 7.
        price_sensitivity: how much it matters, log-normal around 1.
        taste: (users, categories), long-term taste in logits.
        estimate: (users, categories), the cloud's lasting error about `taste`, in logits.
        activity: expected sessions over the simulated time without quick returns, at least 1, with a long tail.
    """

    user_id: Ints
    gender: Ints
    age_level: Ints
    price_level: Floats
    price_sensitivity: Floats
    taste: Floats
    estimate: Floats
    activity: Floats

    def __len__(self) -> int:
        return len(self.user_id)


def make_catalogue(config: SimulationConfig, rng: np.random.Generator) -> Catalogue:
    """Draw the items: categories by Zipf, and what follows from category and brand."""
    count, per_category = config.items, config.brands_per_category
    category = rng.choice(config.categories, count, p=zipf(config.categories, config.zipf))
    brand = category * per_category + rng.choice(per_category, count, p=zipf(per_category, config.zipf))
    brands = config.categories * per_category
    brand_quality, brand_price = rng.standard_normal((2, brands), dtype=np.float32)
    quality = np.sqrt(np.float32(0.5)) * (brand_quality[brand] + rng.standard_normal(count, dtype=np.float32))
    relative = 0.6 * brand_price[brand] + 0.4 * rng.standard_normal(count)
    usual = rng.normal(np.log(50.0), 1.0, config.categories)
    # Half of a category's items are for anyone; the rest lean to one gender, more or less.
    lean = rng.beta(0.5, 0.5, config.categories)[category]
    gender = np.where(rng.random(count) < 0.5, 2, (rng.random(count) < lean).astype(np.int64))
    age = rng.uniform(1, AGE_LEVELS, config.categories)[category] + 1.2 * rng.standard_normal(count)
    # What is good becomes popular, with much luck.
    order = np.lexsort((-(quality + rng.standard_normal(count)), category))
    category, begins = category[order], np.searchsorted(category[order], np.arange(config.categories + 1))
    rank = np.arange(count) - begins[category] + 1
    reach = np.concatenate([[0.0], np.cumsum(_shares(category, rank, config))])
    fashion = np.stack([2 * np.pi / rng.uniform(5, 15, count), rng.uniform(0, 2 * np.pi, count)], axis=1)
    return Catalogue(
        item_id=(rng.permutation(count) + 1).astype(np.int64),
        category=category.astype(np.int64),
        brand=brand[order].astype(np.int64),
        gender=gender[order].astype(np.int64),
        price_level=levels(relative[order], PRICE_LEVELS),
        age_level=np.clip(np.rint(age[order]), 1, AGE_LEVELS).astype(np.int64),
        bc_type=(rng.random(count) < 0.4).astype(np.int64),
        price=np.exp(usual[category] + relative[order]).round(2).astype(np.float32),
        quality=quality[order],
        fashion=fashion.astype(np.float32),
        estimate=(config.cloud.item_error * rng.standard_normal(count)).astype(np.float32),
        reach=reach / reach[-1],
        begins=begins,
    )


def _shares(category: Ints, rank: Ints, config: SimulationConfig) -> NDArray[np.float64]:
    """How often each item (items,) is drawn, up to a factor: Zipf within its category, whose items share its own."""
    weights = rank.astype(np.float64) ** -config.zipf
    sums = np.bincount(category, weights, minlength=config.categories)
    shares: NDArray[np.float64] = weights / sums[category] * zipf(config.categories, config.zipf)[category]
    return shares


def make_users(config: SimulationConfig, first: int, count: int, rng: np.random.Generator) -> Users:
    """Draw the traits of users `first` to ``first + count - 1`` (from 0), each trait on its own."""
    spread, shape = config.activity_spread, (count, config.categories)
    # At least one session each; what comes on top is log-normal with the mean that the configuration asks for.
    tail = np.exp(spread * rng.standard_normal(count) - spread**2 / 2)
    return Users(
        user_id=np.arange(first + 1, first + count + 1, dtype=np.int64),
        gender=rng.integers(0, 2, count),
        age_level=rng.integers(1, AGE_LEVELS + 1, count),
        price_level=rng.normal((1 + PRICE_LEVELS) / 2, 1.5, count).astype(np.float32),
        price_sensitivity=np.exp(config.behaviour.price_sensitivity_spread * rng.standard_normal(count)).astype(
            np.float32
        ),
        taste=np.float32(config.behaviour.taste) * rng.standard_normal(shape, dtype=np.float32),
        estimate=np.float32(config.cloud.taste_error) * rng.standard_normal(shape, dtype=np.float32),
        activity=(1 + (config.sessions_per_user - 1) * tail).astype(np.float32),
    )


def utility(
    catalogue: Catalogue, users: Users, who: Ints, items: Ints, day: Floats, weights: BehaviourConfig
) -> Floats:
    """What users `who` think of `items` on `day` (shapes that broadcast), in logits, before any session."""
    other = (catalogue.gender[items] != 2) & (catalogue.gender[items] != users.gender[who])
    years = np.abs(catalogue.age_level[items] - users.age_level[who])
    price = (catalogue.price_level[items] - users.price_level[who]) ** 2
    found: Floats = (
        users.taste[who, catalogue.category[items]]
        + catalogue.appeal(items, day, weights)
        - np.float32(weights.gender_mismatch) * other
        - np.float32(weights.age_distance) * years.astype(np.float32)
        - np.float32(weights.price_distance) * users.price_sensitivity[who] * price.astype(np.float32)
    ).astype(np.float32)
    return found


def zipf(count: int, exponent: float) -> NDArray[np.float64]:
    """Probabilities (count,) proportional to ``rank ** -exponent``."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def sigmoid(logits: NDArray[np.floating]) -> Floats:
    """``1 / (1 + exp(-x))`` of each of `logits`, without overflow at either end."""
    probabilities: Floats = (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)
    return probabilities


def levels(values: NDArray[np.float64], count: int) -> Ints:
    """Quantile of each of `values` (n,) in `count` groups of equal size, from 1."""
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return (ranks * count // len(values) + 1).astype(np.int64)
