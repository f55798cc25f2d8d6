"""PAML: the start is learnt, and each user has an own rate that depends on what the user's events look like.

The factor of the rate is ``softplus(network(h)) + memory(h)`` (`edgerec.personalization.user_rate`). The memory has
some users of meta-training. It returns a mean of their numbers, weighted by how similar they are to h. The gradient
trains the network and the numbers of the memory.

Source: Yu et al., *Personalized Adaptive Meta Learning for Cold-Start User Preference Prediction*, AAAI 2021.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgerec.core.logistic import sigmoid
from edgerec.model.personalization.inner import Inner, path, query_loss, through
from edgerec.model.personalization.learned import Learned
from edgerec.model.personalization.maml import START_RATE, Values, meta_learn, rate_and_pull
from edgerec.model.personalization.problem import Floats
from edgerec.model.personalization.simple import STEPS, gradient_head
from edgerec.model.personalization.world import MetaWorld, Trainee
from edgerec.personalization.user_rate import LARGEST, UserRate, describe, nearest, scaled_to

UNITS, MOST_USERS = 8, 512
NETWORK_RATE = 0.01
MEMORY_RATE = 0.05
_ONE = float(np.log(np.expm1(1.0)))
"""The number whose softplus is 1: before meta-training, the factor of each user is 1."""


@dataclass(frozen=True, eq=False)
class _Described:
    """What the factor of one user depends on: scaled h, the nearest users of the memory, and their weights."""

    scaled: Floats
    near: NDArray[np.intp]
    weights: Floats


def paml(world: MetaWorld, tuned: Learned, start: Floats, *, memory: bool = True) -> Learned:
    """Return gradient steps from a learnt start with a rate for each user.

    Args:
        world: the users of meta-training.
        tuned: tuned fine-tuning, whose rate and pull are used.
        start: where meta-training begins.
        memory: whether similar users of meta-training take part.
    """
    rate, pull = rate_and_pull(tuned)
    rng = np.random.default_rng(world.seed)
    described = np.array([describe(each.known) for each in world.trainees])
    mean, scale = described.mean(axis=0), described.std(axis=0) + 1e-6
    scaled = scaled_to(described, mean, scale)
    # Only users that train the memory stand in it. The users that decide settings are as new to it as a device.
    fits = {each.task.user for each in world.fitted}
    inside = np.array([each.task.user in fits for each in world.trainees])
    chosen = np.sort(rng.permutation(np.flatnonzero(inside))[:MOST_USERS]) if memory else np.arange(0)
    stored = scaled[chosen]
    own_place = {world.trainees[index].task.user: place for place, index in enumerate(chosen.tolist())}
    about = {
        each.task.user: _describe(stored, scaled[index], own_place.get(each.task.user))
        for index, each in enumerate(world.trainees)
    }
    rates = np.full(world.standard.rank + 1, rate)

    def inner(values: Values) -> Inner:
        return Inner(values["start"], rates, pull, STEPS)

    def loss(each: Trainee, values: Values) -> float:
        factor = _factor(values, about[each.task.user])[0]
        return query_loss(each.query_problem, path(each.problem, inner(values), factor=factor)[-1])[0]

    def gradient(each: Trainee, values: Values) -> Values:
        own, described_one = inner(values), about[each.task.user]
        factor, by_values = _factor(values, described_one)
        thetas = path(each.problem, own, factor=factor)
        _, outer = query_loss(each.query_problem, thetas[-1])
        found = through(each.problem, own, thetas, outer, factor=factor)
        return {"start": found.start, **{name: found.factor * value for name, value in by_values.items()}}

    first: Values = {
        "start": start,
        "kernel": rng.normal(0, 1 / np.sqrt(scaled.shape[1]), (scaled.shape[1], UNITS)),
        "bias": np.zeros(UNITS),
        "output": np.append(np.zeros(UNITS), _ONE),
        "factors": np.zeros(len(stored)),
    }
    learning = {"start": START_RATE, "kernel": NETWORK_RATE, "bias": NETWORK_RATE, "output": NETWORK_RATE}
    if memory:
        learning["factors"] = MEMORY_RATE
    values = meta_learn(world, first, learning, gradient=gradient, loss=loss)
    head = gradient_head(world, rate, pull, method="paml" if memory else "paml_no_memory", start=values["start"])
    names = {"mean": mean, "scale": scale, "users": stored}
    arrays = {**names, **{name: values[name] for name in ("kernel", "bias", "output", "factors")}}
    user_rate = UserRate(**{f"rate_{name}": value.astype(np.float32) for name, value in arrays.items()})
    return Learned(replace(head, user_rate=user_rate), settings={"rate": rate, "pull": pull})


def _describe(stored: Floats, scaled: Floats, own: int | None) -> _Described:
    """Return what the factor of a user depends on. `own` is the place of the user among the stored ones."""
    return _Described(scaled, *nearest(stored, scaled, own=own))


def _factor(values: Values, described: _Described) -> tuple[float, Values]:
    """Return the factor of a user's rates, and its gradient by the values."""
    hidden = np.tanh(described.scaled @ values["kernel"] + values["bias"])
    logit = hidden @ values["output"][:-1] + values["output"][-1]
    factor = float(np.logaddexp(0, logit) + described.weights @ values["factors"][described.near])
    slope = sigmoid(logit) if 0 <= factor <= LARGEST else 0.0
    back = slope * values["output"][:-1] * (1 - hidden**2)
    by_factors = np.zeros_like(values["factors"])
    by_factors[described.near] = described.weights
    return min(max(factor, 0.0), LARGEST), {
        "kernel": np.outer(described.scaled, back),
        "bias": back,
        "output": slope * np.append(hidden, 1.0),
        "factors": by_factors if 0 <= factor <= LARGEST else 0 * by_factors,
    }
