"""Users whose tastes are known: each user likes or dislikes two columns that the shared model does not read."""

from __future__ import annotations

import numpy as np

from edgerec.model.personalization.activations import Activations

HIDDEN, CANDIDATE = 4, 4
TASTES = (5, 6)
"""The columns that users judge differently. The shared model does not read them."""


def make_world(*, users: int = 60, pages: int = 14, items: int = 8, taste: float = 1.5, seed: int = 0) -> Activations:
    """Return activations of users whose weight of two columns is drawn from a normal distribution.

    Args:
        users: number of users.
        pages: number of pages of each user.
        items: number of exposures of each page.
        taste: standard deviation of the weights of `TASTES`.
        seed: the seed.
    """
    rng = np.random.default_rng(seed)
    count = users * pages * items
    values = rng.normal(size=(count, HIDDEN + CANDIDATE))
    user = np.repeat(np.arange(users), pages * items)
    page = np.repeat(np.arange(users * pages), items)
    logit = values[:, 0] - 0.5 * values[:, 1] - 0.5
    tastes = rng.normal(0, taste, (users, len(TASTES)))
    true = logit + (values[:, TASTES] * tastes[user]).sum(axis=1)
    label = rng.random(count) < 1 / (1 + np.exp(-true))
    return Activations(
        user=user,
        page_time=page * 1000,
        page=page,
        request=page,
        latest=np.ones(count, np.bool_),
        label=label.astype(np.uint8),
        logit=logit,
        values=values.astype(np.float32),
        hidden=HIDDEN,
    )
