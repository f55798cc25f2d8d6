"""One simulated user."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from edgerec.features.spec import table1
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.user import SimulatedUser
from edgerec.simulation.config import BehaviourConfig, SimulationConfig
from edgerec.simulation.feed import DAY_MS

WORLD = LoopWorld(SimulationConfig(users=10, items=100, categories=5), 1)
NOW = WORLD.start_ms + DAY_MS


def begun(world: LoopWorld = WORLD, user_id: int = 11) -> SimulatedUser:
    user = SimulatedUser(world, user_id)
    user.begin_session(None)
    return user


def test_a_user_decides_the_same_about_an_item_whatever_else_was_shown() -> None:
    behaviour = BehaviourConfig(category_fatigue=0, price_contrast=0, intent_drift=0, intent_shift=0)
    world = replace(WORLD, config=replace(WORLD.config, behaviour=behaviour))
    one, other = begun(world), begun(world)
    alone = one.look(42, NOW)
    for item in range(10):
        other.look(item, NOW)

    assert other.look(42, NOW) == alone


def test_exposures_of_a_category_tire_the_user() -> None:
    # Without clicks and without contrast, fatigue is all that changes.
    behaviour = BehaviourConfig(bias=-12, price_contrast=0, intent_drift=0)
    user = begun(replace(WORLD, config=replace(WORLD.config, behaviour=behaviour)))
    category = WORLD.catalogue.category
    *shown, item = np.flatnonzero(category == category[50])[:9].tolist()
    other = int(np.flatnonzero(category != category[50])[0])
    before = user.probabilities([item, other], NOW)
    for each in shown:
        user.look(each, NOW)
    after = user.probabilities([item, other], NOW)

    assert after[0] < 0.5 * before[0]
    assert after[1] == before[1]


def test_looks_and_exposures_of_an_item_are_counted_over_sessions() -> None:
    user = begun()
    first = user.look(3, NOW)
    user.begin_session(3_600_000)
    second = user.look(3, NOW)

    assert second.values["exposure_count"] > first.values["exposure_count"]
    assert second.probability < 1


def test_values_have_the_columns_of_table_1() -> None:
    user, spec = begun(), table1()
    exposure = user.look(3, NOW)
    view = user.open_page(3, exposure)
    derived = {"time_decay_s"}

    assert {feature.source for feature in spec.actions(EXPOSURE)} - derived == set(exposure.values)
    assert {feature.source for feature in spec.actions(PAGE_VIEW)} - derived == set(view.values)


def test_sessions_lie_in_the_period_and_do_not_overlap() -> None:
    for user_id in range(11, 60):
        user = SimulatedUser(WORLD, user_id)
        begin: int | None = user.planned[0]
        end = 0
        while begin is not None:
            assert WORLD.start_ms <= begin < WORLD.end_ms
            assert begin > end
            user.begin_session(None)
            end = begin + 1_000_000
            begin = user.next_session(end)


def test_a_later_period_has_later_sessions_of_the_same_user() -> None:
    later = replace(WORLD, first_day=14)
    first, second = SimulatedUser(WORLD, 11).planned, SimulatedUser(later, 11).planned

    assert [time - 14 * DAY_MS for time in second] == list(first)
