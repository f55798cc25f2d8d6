"""Logs of simulated users in front of a feed whose next places are explored, with the true click probabilities."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edgerec.data.logs import write_logs
from edgerec.device_runtime.exploration import Exploration
from tests.synthetic import HOUR, make_logs, unstamp

PAGE, PLACES, AMONG = 10, 2, 3


class _Feed:
    """Writes the rows of one user. Each page has 10 items and three re-ranks. The user looks from the top down."""

    def __init__(self, user: int, items: np.ndarray, rng: np.random.Generator, exploration: Exploration) -> None:
        self.user, self.items, self.rng, self.exploration = user, items, rng, exploration
        self.events: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.truth: list[dict[str, Any]] = []
        self.taste = rng.normal(0, 0.5)

    def page(self, number: int) -> None:
        offered = self.rng.choice(self.items, PAGE, replace=False)
        quality = dict(zip(offered.tolist(), self.rng.normal(size=PAGE), strict=True))
        base = {item: value + self.rng.normal() for item, value in quality.items()}
        rates = {item: 1 / (1 + np.exp(1.2 - 1.2 * value - self.taste)) for item, value in quality.items()}
        page_id, time, rest = self.user * 100 + number, HOUR * (number + 1), offered.tolist()
        clicked: dict[int, int] = {}
        of_page: list[tuple[dict[str, Any], set[int]]] = []
        waiting: list[tuple[int, int]] = []
        for _ in range(3):
            time += 1000
            scores = [0.7 * quality[item] + self.rng.normal() for item in rest]
            best = np.argsort(-np.array(scores), kind="stable").tolist()
            explored = self.exploration.of(best)
            order = [rest[position] for position in explored.positions]
            request = {
                "request_id": page_id * 10 + len(of_page), "user_id": self.user, "time": time, "trigger": "page",
                "model_version": "v", "item_id": list(rest), "clicked": None, "score": [base[item] for item in rest],
                "page_id": page_id, "store_id": self.user + 500, "outcome": "reordered", "scores": scores,
                "positions": explored.positions, "propensities": explored.propensities, "explored_among": AMONG,
            }  # fmt: skip
            seen = {item for item, _ in waiting}
            for place in range(1, int(self.rng.integers(1, 4)) + 1):
                remaining = [position for position in best if rest[position] not in order[: place - 1]]
                known = [rest[position] for position in remaining[:AMONG]]
                if place <= PLACES:
                    self.truth.append(
                        {
                            "request_id": request["request_id"], "place": place, "item_id": known,
                            "probability": [rates[item] for item in known],
                        }
                    )  # fmt: skip
                waiting.append((order[place - 1], time + 10 * place))
                seen.add(order[place - 1])
                clicked[order[place - 1]] = int(self.rng.random() < rates[order[place - 1]])
            of_page.append((request, seen))
            # The exposure of the last item ends after the next request.
            last = waiting.pop()
            for item, ended in waiting:
                self.expose(item, ended, page_id, base[item])
            waiting = [(last[0], time + 1005)]
            rest = [item for item in order if item not in clicked]
        for item, ended in waiting:
            self.expose(item, ended, page_id, base[item])
        for index, (request, _) in enumerate(of_page):
            later = set().union(*(seen for _, seen in of_page[index:]))
            request["clicked"] = [clicked[item] if item in later else None for item in request["item_id"]]
        self.requests += [request for request, _ in of_page]

    def expose(self, item: int, time: int, page_id: int, score: float) -> None:
        self.events.append(
            {
                "user_id": self.user, "time": time, "kind": "exposure", "item_id": item, "duration_s": 1.0,
                "reason": None, "bought": None, "score": score, "store_id": self.user + 500,
                "ordinal": len(self.events), "page_id": page_id,
            }
        )  # fmt: skip


def write_explored_logs(path: Path, *, users: int = 60, pages: int = 4, epsilon: float = 0.4, seed: int = 1) -> Path:
    """Write logs with explored places to `path`, and the true click probabilities beside them. Return `path`."""
    plain = make_logs(users=1, requests=1)
    rng, exploration = np.random.default_rng(seed), Exploration(epsilon, PLACES, AMONG, random.Random(seed).random)
    feeds = [_Feed(user, plain.items["item_id"].to_numpy(), rng, exploration) for user in range(users)]
    for feed in feeds:
        for number in range(pages):
            feed.page(number)
    schema = {"reason": pl.String, "bought": pl.Int64}
    logs = replace(
        plain,
        events=pl.DataFrame([row for feed in feeds for row in feed.events], schema_overrides=schema),
        requests=pl.DataFrame(
            [row for feed in feeds for row in feed.requests],
            schema_overrides={"clicked": pl.List(pl.Int8), "positions": pl.List(pl.Int64)},
        ),
    )
    write_logs(logs, path)
    unstamp(path)  # tests change the tables
    folder = path / "truth" / "places"
    folder.mkdir(parents=True)
    truth = pl.DataFrame([row for feed in feeds for row in feed.truth])
    types = {"place": pl.Int32, "probability": pl.List(pl.Float32)}
    truth.cast(types).write_parquet(folder / "part-00000.parquet")  # type: ignore[arg-type]
    return path
