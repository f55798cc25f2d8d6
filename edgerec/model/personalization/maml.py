"""MAML and Meta-SGD: the start of a patch, or the start and the rate of each of its numbers, are learnt.

The loss of meta-training is the log loss of a user's query events after the steps on the known events. Rate and pull
before meta-training are those of tuned fine-tuning, so that only what is learnt differs.

Source: Finn, Abbeel and Levine, *Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks*, ICML 2017;
Li et al., *Meta-SGD: Learning to Learn Quickly for Few-Shot Learning*, 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from edgerec.model.personalization.adam import Adam
from edgerec.model.personalization.inner import Inner, path, query_loss, through
from edgerec.model.personalization.learned import Learned
from edgerec.model.personalization.problem import Floats
from edgerec.model.personalization.simple import STEPS, gradient_head
from edgerec.model.personalization.world import MetaWorld, Trainee

EPOCHS, BATCH = 8, 25
MOST_USERS, MOST_JUDGES = 2000, 500
"""Users of meta-training, and users that choose the best epoch. More users take longer and change little."""
START_RATE, RATES_RATE = 0.003, 0.05
WIDEST = np.log(4.0)
"""A learnt rate stays within a factor of 4 of the tuned one."""

Values = dict[str, Floats]


def maml(world: MetaWorld, tuned: Learned, start: Floats, *, first_order: bool = False) -> Learned:
    """Return gradient steps from a learnt start. Meta-training begins at `start` (`refit_start`)."""
    found = _learn(world, tuned, start, rates=False, first_order=first_order)
    return _learned(world, tuned, found, method="maml_first_order" if first_order else "maml")


def meta_sgd(world: MetaWorld, tuned: Learned, start: Floats) -> Learned:
    """Return gradient steps from a learnt start, with a learnt rate of each number of the patch."""
    return _learned(world, tuned, _learn(world, tuned, start, rates=True), method="meta_sgd")


def rate_and_pull(tuned: Learned) -> tuple[float, float]:
    """Return the rate and the pull of tuned fine-tuning."""
    settings = tuned.settings or {}
    return settings["rate"], settings["pull"]


def _learn(world: MetaWorld, tuned: Learned, start: Floats, *, rates: bool, first_order: bool = False) -> Values:
    rate, pull = rate_and_pull(tuned)

    def inner(values: Values) -> Inner:
        return Inner(values["start"], rate * np.exp(values["log_rates"]), pull, STEPS)

    def gradient(each: Trainee, values: Values) -> Values:
        own = inner(values)
        thetas = path(each.problem, own)
        _, outer = query_loss(each.query_problem, thetas[-1])
        found = through(each.problem, own, thetas, outer, first_order=first_order)
        return {"start": found.start, "log_rates": found.rates * own.rates}

    def loss(each: Trainee, values: Values) -> float:
        return query_loss(each.query_problem, path(each.problem, inner(values))[-1])[0]

    first = {"start": start, "log_rates": np.zeros_like(start)}
    learning = {"start": START_RATE, **({"log_rates": RATES_RATE} if rates else {})}
    return meta_learn(world, first, learning, gradient=gradient, loss=loss)


def meta_learn(
    world: MetaWorld,
    values: Values,
    learning: dict[str, float],
    *,
    gradient: Callable[[Trainee, Values], Values],
    loss: Callable[[Trainee, Values], float],
    after: Callable[[Sequence[Trainee], Values], Values] | None = None,
) -> Values:
    """Return the values of the epoch that is best on the users which decide settings.

    Args:
        world: the users of meta-training.
        values: the values before the first step.
        learning: learning rate of each value that is learnt.
        gradient: the gradient of one user's summed query loss by the values.
        loss: one user's summed query loss.
        after: what an epoch changes besides, such as a memory.
    """
    users, judges = world.fitted[:MOST_USERS], world.tuned[:MOST_JUDGES]
    adam, rng = Adam(learning), np.random.default_rng(world.seed)
    best, lowest = values, sum(loss(each, values) for each in judges)
    for _ in range(EPOCHS):
        order = rng.permutation(len(users))
        for begin in range(0, len(users), BATCH):
            batch = [users[index] for index in order[begin : begin + BATCH]]
            events = sum(len(each.query) for each in batch)
            found = [gradient(each, values) for each in batch]
            mean = {name: np.sum([one[name] for one in found], axis=0) / events for name in learning}
            values = adam.step(values, mean)
            if "log_rates" in learning:
                values["log_rates"] = np.clip(values["log_rates"], -WIDEST, WIDEST)
        if after is not None:
            values = after(users, values)
        reached = sum(loss(each, values) for each in judges)
        if reached < lowest:
            best, lowest = values, reached
    return best


def _learned(world: MetaWorld, tuned: Learned, values: Values, *, method: str) -> Learned:
    rate, pull = rate_and_pull(tuned)
    head = gradient_head(world, rate, pull, method=method, start=values["start"])
    rates = (rate * np.exp(values["log_rates"])).astype(np.float32)
    settings = {"rate": rate, "pull": pull, "largest_rate": float(rates.max())}
    return Learned(replace(head, rates=rates), settings=settings)
