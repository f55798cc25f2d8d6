"""Small logs of a mixed feed in which a click depends on the kind of the card before, and on nothing else."""

from __future__ import annotations

import numpy as np
import polars as pl

from edgerec.data.logs import Logs, LogsHead
from edgerec.features.spec import FeatureSpec
from tests.synthetic import HOUR, SPEC

KINDS = ("product", "video", "ad")
AFTER_AD, AFTER_OTHER, AT_TOP = 0.75, 0.05, 0.4
"""The click rates after an ad, after another card, and at the top of the list."""

MIXED_SPEC = FeatureSpec.model_validate(
    {
        **SPEC.model_dump(mode="json"),
        "name": "mixed",
        "item": [
            {"name": "shop", "source": "shop", "origin": "catalogue", "kind": "embedding", "dimension": 4,
             "vocabulary": 30, "min_count": 2},
            {"name": "level", "source": "level", "origin": "catalogue", "kind": "one_hot", "values": [1, 2, 3]},
            {"name": "kind_of_card", "source": "card_kind", "origin": "catalogue", "kind": "one_hot",
             "values": list(KINDS)},
        ],
    }
)  # fmt: skip
"""The kind of a card is in the second column of the codes, so that a wrong column is found."""


def mixed_logs(*, users: int = 30, pages: int = 12, cards: int = 8, seed: int = 0) -> Logs:
    """Make logs with a page every hour. Half of the pages have a second request after three cards."""
    rng = np.random.default_rng(seed)
    items = pl.DataFrame(
        {
            "item_id": np.arange(100, 160),
            "shop": rng.integers(1, 20, 60),
            "level": rng.integers(1, 4, 60),
            "card_kind": rng.choice(KINDS, 60),
        }
    )
    kind_of = dict(items.select("item_id", "card_kind").iter_rows())
    events, requests = [], []
    for user in range(users):
        for page in range(pages):
            start = HOUR * (page + 1) + user
            shown = rng.choice(items["item_id"].to_numpy(), cards, replace=False).tolist()
            before = [None, *(kind_of[item] for item in shown[:-1])]
            rates = [AT_TOP if kind is None else AFTER_AD if kind == "ad" else AFTER_OTHER for kind in before]
            clicks = (rng.random(cards) < rates).astype(int).tolist()
            times = [start + 1000 * (place + 1) for place in range(cards)]
            for item, time, click in zip(shown, times, clicks, strict=True):
                event = {"user_id": user, "item_id": item, "duration_s": float(rng.exponential(3)), "reason": None}
                events.append({**event, "kind": "exposure", "time": time, "bought": None})
                if click:
                    events.append({**event, "kind": "page_view", "time": time + 200, "bought": int(rng.random() < 0.3)})
            for place in (0, 3) if page % 2 else (0,):
                requests.append(
                    {
                        "request_id": (user * 100 + page) * 10 + place, "user_id": user,
                        "time": times[place - 1] + 500 if place else start,
                        "trigger": "more" if place else "page",
                        "model_version": None, "item_id": shown[place:], "clicked": clicks[place:],
                        "page_id": user * 100 + page,
                    }
                )  # fmt: skip
    return Logs(
        head=LogsHead(name="mixed"),
        spec=MIXED_SPEC,
        items=items,
        events=pl.DataFrame(events, schema_overrides={"reason": pl.String, "bought": pl.Int64}),
        requests=pl.DataFrame(requests, schema_overrides={"model_version": pl.String, "clicked": pl.List(pl.Int8)}),
    )
