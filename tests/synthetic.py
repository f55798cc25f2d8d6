"""Small logs with every kind of feature, drawn at random: for tests that need a form, not a meaning."""

from __future__ import annotations

import numpy as np
import polars as pl

from edgerec.data.logs import Logs, LogsHead
from edgerec.features.spec import FeatureSpec

SPEC = FeatureSpec.model_validate(
    {
        "format": 1,
        "name": "synthetic",
        "ie_action": [
            {"name": "duration", "source": "duration_s", "kind": "bucketize", "boundaries": [1, 5]},
            {"name": "reason", "source": "reason", "kind": "one_hot", "values": ["bad", "seen"]},
        ],
        "ipv_action": [
            {"name": "duration", "source": "duration_s", "kind": "raw", "transform": "log1p"},
            {"name": "bought", "source": "bought", "kind": "binarize"},
        ],
        "item": [
            {"name": "shop", "source": "shop", "origin": "catalogue", "kind": "embedding", "dimension": 4,
             "vocabulary": 30, "min_count": 2},
            {"name": "level", "source": "level", "origin": "catalogue", "kind": "one_hot", "values": [1, 2, 3]},
            {"name": "score", "source": "score", "origin": "served", "kind": "raw"},
        ],
    }
)  # fmt: skip

HOUR = 3_600_000


def make_logs(*, users: int = 12, items: int = 40, requests: int = 10, seed: int = 0, longest: int = 8) -> Logs:
    """Logs in which a higher score is clicked more often, `requests` an hour apart for each user."""
    rng = np.random.default_rng(seed)
    catalogue = pl.DataFrame(
        {
            "item_id": np.arange(100, 100 + items),
            "shop": rng.integers(1, 20, items),
            "level": [None if rng.random() < 0.1 else int(rng.integers(1, 4)) for _ in range(items)],
        },
        schema_overrides={"level": pl.Int64},
    )
    events, asked = [], []
    for user in range(users):
        for number in range(requests):
            time = HOUR * (number + 1) + user
            offered = rng.choice(catalogue["item_id"].to_numpy(), rng.integers(3, longest + 1), replace=False)
            score = rng.normal(size=len(offered))
            clicked = [
                int(draw < 1 / (1 + np.exp(1 - 2 * value)))
                for draw, value in zip(rng.random(len(offered)), score, strict=True)
            ]
            shown = len(offered) - int(rng.integers(0, 2))
            asked.append(
                {
                    "request_id": user * 1000 + number, "user_id": user, "time": time, "trigger": "page",
                    "model_version": None, "item_id": offered.tolist(),
                    "clicked": clicked[:shown] + [None] * (len(offered) - shown), "score": score.tolist(),
                }
            )  # fmt: skip
            for place in range(shown):
                common = {"user_id": user, "item_id": int(offered[place]), "score": float(score[place])}
                reason = [None, "bad", "seen"][int(rng.integers(0, 3))]
                event = {"kind": "exposure", "time": time + 1000 * (place + 1), "reason": reason}
                events.append({**common, **event, "duration_s": float(rng.exponential(3)), "bought": None})
                if clicked[place]:
                    event = {"kind": "page_view", "time": time + 60_000 * (place + 1), "reason": None}
                    bought = int(rng.random() < 0.3)
                    events.append({**common, **event, "duration_s": float(rng.exponential(20)), "bought": bought})
    schema = {"reason": pl.String, "bought": pl.Int64}
    return Logs(
        head=LogsHead(name="synthetic"),
        spec=SPEC,
        items=catalogue,
        events=pl.DataFrame(events, schema_overrides=schema),
        requests=pl.DataFrame(asked, schema_overrides={"model_version": pl.String, "clicked": pl.List(pl.Int8)}),
    )
