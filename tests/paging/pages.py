"""A page with columns of every kind."""

from __future__ import annotations

import numpy as np

from edgerec.paging.items import UNKNOWN_KEY, EmbeddingColumn, ItemBatch
from edgerec.paging.page import Page


def make_items() -> ItemBatch:
    """Make three items. Two of them share an embedding row."""
    return ItemBatch(
        version_id="20250101-abc",
        item_id=np.array([7, -(2**63) + 1, 2**63 - 1]),
        columns={
            "price": [1.5, None, -0.25],
            "level": [3, None, 2**62],
            "gender": ["any", None, "weiß"],
            "premium": [True, None, False],
            "nothing": [None, None, None],
            "score": [0.5, 0.25, 1e-300],
        },
        embeddings={
            "shop": EmbeddingColumn(
                keys=np.array([11, UNKNOWN_KEY]),
                rows=np.array([[1, 2, 3], [-0.5, 0, 0.5]], np.float32),
                index=np.array([0, 1, 0], np.int32),
            ),
            "brand": EmbeddingColumn(
                keys=np.array([5, 6, 9]), rows=np.eye(3, 2, dtype=np.float16), index=np.array([2, 1, 0], np.int32)
            ),
        },
    )


def make_page() -> Page:
    """Make a page of these items."""
    context = {"device": "phone", "battery": 0.5, "slots": 4, "night": False, "nothing": None}
    return Page(2**63 - 1, 1_700_000_000_000, make_items(), ("score",), context, complete=True)


def assert_same_items(received: ItemBatch, sent: ItemBatch) -> None:
    """Check that two batches have the same values of the same types."""
    assert received.version_id == sent.version_id
    np.testing.assert_array_equal(received.item_id, sent.item_id)
    assert {name: list(values) for name, values in received.columns.items()} == dict(sent.columns)
    for name, values in sent.columns.items():
        assert [type(value) for value in received.columns[name]] == [type(value) for value in values]
    assert received.embeddings.keys() == sent.embeddings.keys()
    for name, column in sent.embeddings.items():
        found = received.embeddings[name]
        for one, other in ((found.keys, column.keys), (found.rows, column.rows), (found.index, column.index)):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
