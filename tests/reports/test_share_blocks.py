"""The statistics page shows actions by their counted values. The names of feature kinds do not matter."""

from __future__ import annotations

from typing import Any

from edgerec.reports.statistics.share_blocks import _actions


def row(feature: str, kind: str, values: list[str], rest: tuple[str, ...]) -> dict[str, Any]:
    return {
        "feature": feature,
        "kind": kind,
        "values": [{"value": value, "count": 1, "share": 0.25} for value in values],
        **{name: {"count": 1, "share": 0.25} for name in rest},
    }


def test_feature_kinds_of_other_packages_are_shown_by_value_or_as_binary() -> None:
    rows = [
        row("bought", "binarize", ["above 0", "at most 0"], ("missing",)),
        row("reason", "one_hot", ["bad", "seen"], ("missing", "other")),
        row("mood", "of_another_package", ["good", "bad"], ("missing", "other")),
        row("liked", "binary_of_another_package", ["yes", "no"], ("missing",)),
    ]
    blocks = list(_actions([{"label": "logs", "actions": {"exposures": rows}}], "exposures"))
    assert [block.title for block in blocks] == ["Actions of exposures", "reason of exposures", "mood of exposures"]
    assert [cells[0] for cells in blocks[0].rows] == ["bought", "bought: empty", "liked", "liked: empty"]
    assert [cells[0] for cells in blocks[2].rows] == ["good", "bad", "(other)", "(empty)"]
