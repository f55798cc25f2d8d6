"""Values that follow from earlier behaviours equal those that imports of public data sets write."""

from __future__ import annotations

import numpy as np
import pytest

from edgerec.data.as_of.past_events import PastEvents
from edgerec.features.behaviour_values import EarlierBehaviours
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW


@pytest.mark.parametrize("restart", [0, 1, 57, 199])
def test_they_equal_those_of_the_imports(restart: int) -> None:
    """The imports count with `PastEvents`. The device may be restarted after any behaviour."""
    rng = np.random.default_rng(restart)
    times = np.sort(rng.integers(0, 120, 200)) * 1000
    items = rng.integers(0, 9, 200)
    counts = PastEvents(items, times).at(items, times).count() + 1
    user = np.zeros(200, np.int64)
    since = PastEvents(user, times).at(user, times).since_last() / 1000
    earlier = EarlierBehaviours(EXPOSURE, {}, [])
    for row, (item, time) in enumerate(zip(items.tolist(), times.tolist(), strict=True)):
        if row == restart:
            before = items[:row].tolist()
            latest = list(zip(times[:row].tolist(), before, strict=True))
            earlier = EarlierBehaviours(EXPOSURE, {item: before.count(item) for item in before}, latest)
        values = earlier.values(item, time)
        assert values["exposure_count"] == counts[row]
        first = time == times[0]
        assert values["time_decay_s"] == (None if first else since[row])
        earlier.add(item, time)


def test_page_views_have_a_count_of_their_own() -> None:
    earlier = EarlierBehaviours(PAGE_VIEW, {7: 4}, [(1000, 7)])
    assert earlier.values(7, 3500) == {"time_decay_s": 2.5, "page_view_count": 5}
    assert earlier.values(7, 1000) == {"time_decay_s": None, "page_view_count": 4}
