"""Who lives in the simulator: a catalogue of items and a population of users, drawn once from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.simulation.config import SimulationConfig

GENDERS = ("female", "male", "any")
BC_TYPES = ("b", "c")
PRICE_LEVELS = 7
AGE_LEVELS = 8

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Catalogue:
    """The items; arrays (items,), and `quality` alone is hidden from the logs (`price` shows as its level).

    Attributes:
        item_id: identities, in no relation to any attribute.
        category: from 0, Zipf by rank.
        brand: from 0; brand ``b`` belongs to category ``b // brands_per_category``.
        gender: index into `GENDERS`.
        price_level: 1 to 7, septiles of the price relative to the item's category.
        age_level: 1 to 8.
        bc_type: index into `BC_TYPES`.
        price: in units of currency.
        quality: about standard normal; half its variance is the brand's.
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

    def __len__(self) -> int:
        return len(self.item_id)

    def table(self) -> pl.DataFrame:
        """`items.parquet`: what an app knows of an item (p1 to p6); identities of categories and brands from 1."""
        return pl.DataFrame(
            {
                "item_id": self.item_id,
                "category": self.category + 1,
                "brand": self.brand + 1,
                "gender": np.array(GENDERS)[self.gender],
                "price_level": self.price_level,
                "age_level": self.age_level,
                "bc_type": np.array(BC_TYPES)[self.bc_type],
            }
        ).sort("item_id")


@dataclass(frozen=True)
class Population:
    """The users; arrays (users,) unless said otherwise. All but `user_id` is hidden from the logs.

    Attributes:
        user_id: identities from 1.
        gender: 0 or 1, index into `GENDERS`.
        age_level: 1 to 8.
        price_level: what the user likes to pay, about 1 to 7.
        taste: (users, categories), long-term taste in logits.
        activity: expected sessions over the simulated time without quick returns, at least 1, with a long tail.
    """

    user_id: Ints
    gender: Ints
    age_level: Ints
    price_level: Floats
    taste: Floats
    activity: Floats

    def __len__(self) -> int:
        return len(self.user_id)


@dataclass(frozen=True)
class World:
    """A catalogue and the users before it."""

    catalogue: Catalogue
    population: Population


def make_world(config: SimulationConfig, rng: np.random.Generator) -> World:
    """Draw items, then users, from `rng`."""
    return World(make_catalogue(config, rng), make_population(config, rng))


def make_catalogue(config: SimulationConfig, rng: np.random.Generator) -> Catalogue:
    """Draw the items: categories by Zipf, and what follows from category and brand."""
    count, per_category = config.items, config.brands_per_category
    category = rng.choice(config.categories, count, p=zipf(config.categories, config.zipf))
    brand = category * per_category + rng.choice(per_category, count, p=zipf(per_category, config.zipf))
    brands = config.categories * per_category
    brand_quality, brand_price = rng.standard_normal((2, brands))
    quality = np.sqrt(0.5) * (brand_quality[brand] + rng.standard_normal(count))
    relative = 0.6 * brand_price[brand] + 0.4 * rng.standard_normal(count)
    usual = rng.normal(np.log(50.0), 1.0, config.categories)
    # Half of a category's items are for anyone; the rest lean to one gender, more or less.
    lean = rng.beta(0.5, 0.5, config.categories)[category]
    gender = np.where(rng.random(count) < 0.5, 2, (rng.random(count) < lean).astype(np.int64))
    age = rng.uniform(1, AGE_LEVELS, config.categories)[category] + 1.2 * rng.standard_normal(count)
    return Catalogue(
        item_id=(rng.permutation(count) + 1).astype(np.int64),
        category=category.astype(np.int64),
        brand=brand.astype(np.int64),
        gender=gender.astype(np.int64),
        price_level=levels(relative, PRICE_LEVELS),
        age_level=np.clip(np.rint(age), 1, AGE_LEVELS).astype(np.int64),
        bc_type=(rng.random(count) < 0.4).astype(np.int64),
        price=np.exp(usual[category] + relative),
        quality=quality,
    )


def make_population(config: SimulationConfig, rng: np.random.Generator) -> Population:
    """Draw the users, each attribute on its own."""
    count = config.users
    spread = config.activity_spread
    # At least one session each; what comes on top is log-normal with the mean that the configuration asks for.
    tail = np.exp(spread * rng.standard_normal(count) - spread**2 / 2)
    return Population(
        user_id=np.arange(1, count + 1, dtype=np.int64),
        gender=rng.integers(0, 2, count),
        age_level=rng.integers(1, AGE_LEVELS + 1, count),
        price_level=rng.normal((1 + PRICE_LEVELS) / 2, 1.5, count),
        taste=config.behaviour.taste * rng.standard_normal((count, config.categories)),
        activity=1 + (config.sessions_per_user - 1) * tail,
    )


def zipf(count: int, exponent: float) -> Floats:
    """Probabilities (count,) proportional to ``rank ** -exponent``."""
    weights: Floats = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    weights /= weights.sum()
    return weights


def sigmoid(logits: Floats) -> Floats:
    """``1 / (1 + exp(-x))`` of each of `logits`, without overflow at either end."""
    return np.exp(-np.logaddexp(0.0, -logits))


def levels(values: Floats, count: int) -> Ints:
    """Quantile of each of `values` (n,) in `count` groups of equal size, from 1."""
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return (ranks * count // len(values) + 1).astype(np.int64)


def long_term_utility(world: World, user: int, config: SimulationConfig) -> Floats:
    """What `user` thinks of every item (items,) in logits, before any session: taste, quality, gender, age, price."""
    items, people, weights = world.catalogue, world.population, config.behaviour
    other = (items.gender != 2) & (items.gender != people.gender[user])
    years = np.abs(items.age_level - people.age_level[user])
    price = (items.price_level - people.price_level[user]) ** 2
    utility: Floats = (
        people.taste[user, items.category]
        + weights.quality * items.quality
        - weights.gender_mismatch * other
        - weights.age_distance * years
        - weights.price_distance * price
    )
    return utility
