"""An application whose user clicks by a rule, with a model that has patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from edgerec import DeviceModel
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.personal.ranking import PersonalRanking, PersonalScores
from edgerec.device_runtime.ranker import Scored
from edgerec.device_runtime.store.rows import PatchState
from edgerec.personalization.head import PersonalHead, Training
from tests.device_runtime.test_client import App

IDLE, INTERVAL = 60_000, 600_000
RANK = 5
SURE = {"gain": 0.1, "gain_events": 1e6}
"""A gate that accepts every patch, because it trusts what meta-training has seen."""


def head_of(
    model: DeviceModel, *, seed: int = 0, pull: float = 0.5, start: float = 0.0, **training: Any
) -> PersonalHead:
    """Return a head with random directions of the hidden layer and the candidate vectors."""
    rng = np.random.default_rng(0)
    inputs = model.ranker.hidden_width + model.ranker.candidate_width
    settings = {"method": "prior", "optimiser": "newton", "steps": 20, **SURE, **training}
    return PersonalHead(
        Training(version_id=model.version_id, **settings),
        mean=rng.normal(scale=0.1, size=inputs).astype(np.float32),
        kernel=rng.normal(size=(inputs, RANK)).astype(np.float32),
        start=np.zeros(RANK + 1, np.float32),
        rates=np.full(RANK + 1, 0.1, np.float32),
        pull=np.full(RANK + 1, pull, np.float32),
    )


@dataclass
class PersonalApp(App):
    """`start` makes a client with patches. The user sees the first six items of each page."""

    ranked: list[tuple[Scored, PersonalScores]] = field(default_factory=list)
    offered: int = 0

    def start(self, **settings: Any) -> Client:
        settings = {"personal": True, "triggers": (), "kept_pages": 1, "personal_budget_ms": 60_000, **settings}
        return super().start(**settings)

    @property
    def head(self) -> PersonalHead:
        assert self.model.personal is not None
        return self.model.personal

    @property
    def state(self) -> PatchState:
        """What the latest training has left in the store."""
        state = self.store.personal.state(self.model.version_id)
        assert state is not None
        return state

    def spy(self, patch: pytest.MonkeyPatch) -> None:
        """Note in `ranked` what each re-rank reads and returns."""
        rank = PersonalRanking.rank

        def noted(ranking: PersonalRanking, scored: Scored) -> PersonalScores:
            own = rank(ranking, scored)
            self.ranked.append((scored, own))
            return own

        patch.setattr(PersonalRanking, "rank", noted)

    def next_page(self, client: Client) -> list[int]:
        """Return the order of a new page of ten items."""
        self.offered += 7
        self.offer(*(100 + (self.offered + each) % 60 for each in range(10)))
        client.refresh()
        client.run_pending()
        return client.order()

    def see(self, client: Client, item: int, *, click: bool) -> None:
        self.clock.now += 1000
        client.exposed(item, {"duration_s": 2.0})
        if click:
            client.clicked(item)
            client.left_page(item, {"duration_s": 3.0})

    def browse(self, client: Client, pages: int = 3, *, likes: Callable[[int], bool] | None = None) -> None:
        """Show pages, and end each. The user clicks what `likes` says; by default, items of an even number."""
        for _ in range(pages):
            for item in self.next_page(client):
                self.see(client, item, click=item % 2 == 0 if likes is None else likes(item))
        self.next_page(client)

    def rest(self, client: Client, ms: int = IDLE) -> int:
        """Let the user do nothing for a time. Return the number of trainings."""
        self.clock.now += ms
        done = client.run_pending()
        assert done.errors == ()
        return done.trained


def own_logits(head: PersonalHead, theta: np.ndarray, scored: Scored) -> np.ndarray:
    """Return the logits of a patch, as docs/personalization.md defines them."""
    assert scored.hidden is not None
    assert scored.candidates is not None
    activations = np.concatenate([scored.hidden, scored.candidates], axis=1)
    phi = np.clip((activations - head.mean) @ head.kernel, -head.training.clip, head.training.clip)
    return scored.logits + phi @ theta[:-1] + theta[-1]
