"""Plans of a feed that knows the truth: the best kinds of the next places for many users at once, by beam search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.mixed.config import AD, KINDS, VIDEO
from edgerec.simulation.mixed.mixture import Mixture
from edgerec.simulation.world import Floats, Ints, sigmoid

PAGE, FIRST, GAP, ADVERTISER_GAP = 20, 3, 4, 8
"""The rules of examples/mixed_feed.toml: places of a page, the first place of an ad (from 0), and gaps of ads."""
VIDEOS = (2, 8)
"""The smallest and the largest number of videos on a page."""
_FORBIDDEN = -1e9


@dataclass(frozen=True)
class Policy:
    """How places are filled.

    Attributes:
        price: what showing an ad costs.
        target: the largest share of ads, as a cap of each page with carry-over; None: no cap.
        depth: number of places that are planned at once, up to the end of the page.
        width: number of plans that are kept at each place.
    """

    price: float = 0.0
    target: float | None = None
    depth: int = PAGE
    width: int = 8


@dataclass
class Lists:
    """What users have seen of their lists; arrays over users.

    Attributes:
        place: the next place, from 0.
        last_ad: the place of the last ad.
        advertisers: (users, ADVERTISER_GAP - 1), those of the last cards, the newest one last.
        ads: number of ads on the list.
        videos: number of videos on this page.
    """

    place: Ints
    last_ad: Ints
    advertisers: Ints
    ads: Ints
    videos: Ints

    @classmethod
    def empty(cls, users: int) -> Lists:
        """Return empty lists."""
        zero = np.zeros(users, np.int64)
        return cls(zero.copy(), zero - PAGE, np.zeros((users, ADVERTISER_GAP - 1), np.int64), zero.copy(), zero.copy())

    def begin(self, who: Ints) -> None:
        """Empty the lists of some users."""
        self.place[who] = self.ads[who] = self.videos[who] = self.advertisers[who] = 0
        self.last_ad[who] = -PAGE

    def show(self, who: Ints, kind: Ints, advertiser: Ints) -> None:
        """Add one card to each list."""
        self.videos[who] = np.where(self.place[who] % PAGE == 0, 0, self.videos[who]) + (kind == VIDEO)
        self.last_ad[who] = np.where(kind == AD, self.place[who], self.last_ad[who])
        self.advertisers[who] = np.concatenate([self.advertisers[who, 1:], advertiser[:, None]], axis=1)
        self.ads[who] += kind == AD
        self.place[who] += 1


def plan(
    mixture: Mixture, lists: Lists, policy: Policy, who: Ints, items: Ints, own: Floats, free: NDArray[np.bool_],
    position: int, hazard: Floats,
) -> Ints:  # fmt: skip
    """Return the columns (n, depth) of the cards at the next places; -1 where a plan ends.

    Args:
        mixture: the world.
        lists: what users have seen.
        policy: how places are filled.
        who: (n,), the users.
        items: (n, k), their candidates.
        own: (n, k), click logits without neighbours and attention.
        free: (n, k), whether a candidate may be shown.
        position: the next place on the page of the cloud.
        hazard: (n,), the probability of leaving after a card, without annoyance.
    """
    config, traits, cards = mixture.config, mixture.states._traits, mixture.cards
    count, rows, kinds = len(who), np.arange(len(who))[:, None], len(KINDS)
    place = lists.place[who]
    depth = min(policy.depth, items.shape[1], int((PAGE - place % PAGE).max()))
    of = cards.kind[items]
    sources = np.stack([np.where((of == kind) & free, own, -np.inf) for kind in range(kinds)], axis=1)
    columns = np.argsort(-sources, axis=2, kind="stable")[:, :, : depth + 1]
    some = np.isfinite(np.take_along_axis(sources, columns, 2)).sum(axis=2)
    left = np.full(count, PAGE) if policy.target is None else _left(policy.target, place, lists.ads[who])

    def fixed(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.repeat(values[:, None], 1, axis=1)

    used = np.zeros((count, 1, kinds), np.int64)
    annoyance, videos = fixed(mixture.states.annoyance[who]), fixed(mixture.states.videos[who])
    last_kind, last_category = fixed(mixture.states._last_kind[who]), fixed(mixture.states._last_category[who])
    last_ad, on_page = fixed(lists.last_ad[who]), fixed(np.where(place % PAGE == 0, 0, lists.videos[who]))
    advertisers = lists.advertisers[who][:, None, :]
    value, alive = np.zeros((count, 1)), np.ones((count, 1))
    chosen = np.zeros((count, 1, 0), np.int64)
    ads, tired = traits.ad_sensitivity[who][:, None], traits.video_sensitivity[who][:, None]
    for step in range(depth):
        now = (place + step)[:, None]
        options, nexts = [], []
        hurt = ads * annoyance**config.ad_power
        fade = config.attention * np.expm1(-(position + step) / config.attention_places)
        for kind in range(kinds):
            there = used[..., kind] < some[:, None, kind]
            column = columns[rows, kind, np.minimum(used[..., kind], columns.shape[2] - 1)]
            item = items[rows, column]
            category = cards.catalogue.category[item]
            same = np.where(last_kind == kind, config.same_kind, config.other_kind) * (last_category == category)
            logit = own[rows, column] + same + fade - (config.ad_annoyance if kind == AD else config.ad_spill) * hurt
            if kind == VIDEO:
                rest = config.video_rest
                logit = logit - config.video_tiredness * tired * (
                    np.logaddexp(0, videos - rest) - np.logaddexp(0, -rest)
                )
            gain = sigmoid(logit) * cards.worth[kind] - (policy.price if kind == AD else 0.0)
            allowed = there.copy()
            rest_of_page = PAGE - now % PAGE
            if kind == AD:
                allowed &= (now >= FIRST) & (now - last_ad >= GAP) & (used[..., AD] < left[:, None])
                allowed &= ~(advertisers == cards.advertiser[item][..., None]).any(axis=2)
            elif kind == VIDEO:
                allowed &= on_page < VIDEOS[1]
            if kind != VIDEO:
                allowed &= rest_of_page > np.maximum(0, VIDEOS[0] - on_page)
            # A rule is broken only if there is nothing else, and an ad is the last thing to show.
            penalty = np.where(there, np.where(allowed, 0.0, _FORBIDDEN / (1 if kind == AD else 10)), -np.inf)
            options.append(value + alive * gain + penalty)
            after = config.ad_memory * annoyance + (kind == AD)
            leaves = np.minimum(1, hazard[:, None] * (1 + config.ad_leave * ads * after**config.ad_power))
            nexts.append((column, item, category, after, alive * (1 - leaves)))
        scores = np.stack(options, axis=2)
        beams = scores.shape[1]
        flat = scores.reshape(count, -1)
        best = np.argsort(-flat, axis=1, kind="stable")[:, : policy.width]
        beam, kind_of = best // kinds, best % kinds
        column, item, category, after, survives = (
            np.stack(values, axis=2).reshape(count, beams * kinds)[rows, best] for values in zip(*nexts, strict=True)
        )
        ended = ~np.isfinite(flat[rows, best])
        value, alive, annoyance = flat[rows, best], survives, after
        used = used[rows, beam] + (kind_of[..., None] == np.arange(kinds))
        videos = config.video_memory * videos[rows, beam] + (kind_of == VIDEO)
        on_page = on_page[rows, beam] + (kind_of == VIDEO)
        last_kind, last_category = kind_of, category
        last_ad = np.where(kind_of == AD, now, last_ad[rows, beam])
        advertisers = np.concatenate([advertisers[rows, beam][..., 1:], cards.advertiser[item][..., None]], axis=2)
        chosen = np.concatenate([chosen[rows, beam], np.where(ended, -1, column)[..., None]], axis=2)
        on_page = np.where((now + 1) % PAGE == 0, 0, on_page)
    return chosen[:, 0]


def _left(target: float, place: Ints, ads: Ints) -> Ints:
    """Return how many ads the cap of this page still allows."""
    cap = np.floor(target * PAGE * (place // PAGE + 1) + 1e-9)
    return np.maximum(0, cap - ads).astype(np.int64)
