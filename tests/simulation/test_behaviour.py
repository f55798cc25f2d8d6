from __future__ import annotations

import numpy as np
import pytest

from edgerec.simulation.behaviour import ACTIONS, Mind, interest_of
from edgerec.simulation.config import BehaviourConfig

ITEMS = np.arange(6)
CATEGORY = np.array([0, 0, 0, 1, 1, 1])


def mind(config: BehaviourConfig | None = None, seed: int = 0) -> Mind:
    config = config or BehaviourConfig(bias=-2, intent_drift=0, deletes=0, slips=0)
    rng = np.random.default_rng(seed)
    made = Mind(np.zeros(6), CATEGORY, np.zeros(6), taste=np.zeros(2), config=config, rng=rng)
    made.begin_session(None)
    return made


def test_the_click_probability_is_equation_1() -> None:
    user = mind(BehaviourConfig(bias=-1, intent=2, category_fatigue=0.5, item_fatigue=0.25, intent_drift=0, deletes=0))
    user.intent[:] = [0.25, 0.75]
    user.expose(0, 0.0)
    logits = -1 + 2 * np.sqrt([0.25] * 3 + [0.75] * 3)
    logits[:3] -= 0.5 * np.log(2)
    logits[0] -= 0.25
    np.testing.assert_allclose(user.click_probabilities(ITEMS), 1 / (1 + np.exp(-logits)), rtol=1e-12)


def test_a_page_view_draws_intent_to_its_category_and_a_slip_does_not() -> None:
    user = mind()
    user.intent[:] = [0.5, 0.5]
    assert user.expose(3, 1.0).clicked
    assert user.intent.tolist() == [0.5, 0.5]
    while user.view(3, 0.1).actions[list(ACTIONS).index("buy")]:
        user.intent[:] = [0.5, 0.5]
    assert user.intent[1] > 0.6
    assert user.intent.sum() == pytest.approx(1)
    clumsy = mind(BehaviourConfig(slips=1))
    before = clumsy.intent.copy()
    assert not any(clumsy.view(3, 0.9).actions)
    assert clumsy.intent.tolist() == before.tolist()


def test_exposures_without_a_click_tire_the_category_and_most_of_all_the_item() -> None:
    user = mind()
    before = user.click_probabilities(ITEMS)
    user.expose(0, 0.0)
    after = user.click_probabilities(ITEMS)
    assert after[0] < after[1] < before[1]
    assert after[3] == before[3]


def test_a_click_refreshes_its_category() -> None:
    user = mind(BehaviourConfig(item_fatigue=0, intent_drift=0, deletes=0))
    before = user.click_probabilities(ITEMS)
    user.expose(0, 0.0)
    user.expose(1, 1.0)
    np.testing.assert_allclose(user.click_probabilities(ITEMS), before)


def test_tiredness_fades_while_the_user_is_away() -> None:
    probabilities = []
    for away in (60.0, 86_400.0):
        user = mind(BehaviourConfig(intent=0, item_fatigue=0, intent_drift=0, deletes=0))
        for _ in range(10):
            user.expose(0, 0.0)
        user.begin_session(away)
        probabilities.append(user.click_probabilities(ITEMS)[0])
    assert probabilities[0] < probabilities[1]


def test_a_satisfied_user_stays_longer() -> None:
    content, bored = mind(BehaviourConfig(leave=0.2, patience=10)), mind(BehaviourConfig(leave=0.2, patience=10))
    for _ in range(20):
        content.expose(0, 1.0)
        bored.expose(0, 0.0)
    leaves = [sum(user.leaves() for _ in range(500)) for user in (content, bored)]
    assert leaves[0] < 0.1 * leaves[1]


def test_interest_rises_from_0_to_1_with_the_click_probability() -> None:
    values = [interest_of(probability) for probability in (0.0, 0.02, 1 / 13, 0.5, 1.0)]
    assert values == sorted(values)
    assert values[0] == 0
    assert values[2] == pytest.approx(0.5)
    assert values[-1] == pytest.approx(1)
