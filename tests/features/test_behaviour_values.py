"""Values that follow from earlier behaviours equal those that imports of public data sets write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgerec.data.as_of.past_events import PastEvents
from edgerec.features.behaviour_values import EarlierBehaviours, derived_columns
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from edgerec.features.kinds import Feature
from edgerec.features.kinds.raw import Raw


@pytest.mark.parametrize("restart", [0, 1, 57, 199])
def test_they_equal_those_of_the_imports(restart: int) -> None:
    """The imports count with `PastEvents`. The device may be restarted after any behaviour."""
    rng = np.random.default_rng(restart)
    times = np.sort(rng.integers(0, 120, 200)) * 1000
    items = rng.integers(0, 9, 200)
    counts = PastEvents(items, times).at(items, times).count() + 1
    user = np.zeros(200, np.int64)
    since = PastEvents(user, times).at(user, times).since_last() / 1000
    earlier = EarlierBehaviours({}, [])
    for row, (item, time) in enumerate(zip(items.tolist(), times.tolist(), strict=True)):
        if row == restart:
            before = items[:row].tolist()
            latest = list(zip(times[:row].tolist(), before, strict=True))
            earlier = EarlierBehaviours({item: before.count(item) for item in before}, latest)
        assert earlier.count(item, time) + 1 == counts[row]
        assert earlier.seconds_since(time) == (None if time == times[0] else since[row])
        earlier.add(item, time)


def feature(source: str, as_of: dict[str, Any] | None = None) -> Feature:
    return Raw.model_validate({"name": "x", "source": source, "kind": "raw", "as_of": as_of})


def test_the_rules_of_a_specification() -> None:
    """A device computes what it can: two names of columns, and two forms of as-of rules."""
    columns = derived_columns(
        PAGE_VIEW,
        [
            feature("time_decay_s"),
            feature("page_view_count"),
            feature("exposure_count"),
            feature("idle_h", {"since_last": "exposure", "by": ["user_id"], "unit_s": 3600}),
            feature("seen_before", {"count": "exposure", "by": ["item_id", "user_id"]}),
            feature("this_week", {"count": "exposure", "by": ["item_id", "user_id"], "within_s": 604800}),
            feature("since_this", {"since_last": "exposure", "by": ["item_id", "user_id"]}),
            feature("duration_s"),
        ],
    )
    earlier = {
        EXPOSURE: EarlierBehaviours({7: 2, 8: 1}, [(0, 7), (1000, 7), (1000, 8)]),
        PAGE_VIEW: EarlierBehaviours({7: 4}, [(1000, 7)]),
    }
    found = {name: rule(earlier, 7, 3_601_000) for name, rule in columns.items()}
    assert found == {"time_decay_s": 3600.0, "page_view_count": 5, "idle_h": 1.0, "seen_before": 2}
    found = {name: rule(earlier, 7, 1000) for name, rule in columns.items()}
    assert found == {"time_decay_s": None, "page_view_count": 4, "idle_h": 1 / 3600, "seen_before": 1}
