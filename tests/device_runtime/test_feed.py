"""The feed: whatever happens, the list is a permutation of what was offered, and what the user has seen stays."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.device_runtime.feed import Feed
from edgerec.device_runtime.offered_page import OfferedPage
from edgerec.device_runtime.prepared_items import PreparedItems
from edgerec.features.relations.facts import Facts

ITEMS = st.integers(0, 40)


def page(page_id: int, items: list[int]) -> OfferedPage:
    """Return a page. The vector and the column of an item are its ID, so that a test can see where they went."""
    vectors = np.array(items, np.float32).reshape(-1, 1)
    prepared = PreparedItems(
        "v1", vectors, np.zeros((len(items), 0), np.int64), Facts(vectors.astype(np.int64), vectors * 1.0)
    )
    return OfferedPage(page_id, items, [page_id] * len(items), {"score": items}, ("score",), {}, prepared)


@settings(max_examples=50)
@given(data=st.data(), size=st.integers(1, 12))
def test_seen_items_never_move_and_the_order_is_a_permutation(data: st.DataObject, size: int) -> None:
    feed, seen, offered = Feed(page=size, kept_pages=2), [], set()
    pages = st.lists(ITEMS, max_size=15)
    feed.begin(page(0, data.draw(pages)), complete=False)
    offered = {*feed.held()}
    for number in range(1, data.draw(st.integers(1, 12))):
        what = data.draw(st.sampled_from(["seen", "reorder", "extend", "show_all", "begin"]))
        order = feed.order()
        if what == "seen" and order:
            item = data.draw(st.sampled_from(order))
            feed.seen(item)
            seen = order[: max(order.index(item) + 1, len(seen))]
        elif what == "reorder":
            rows = feed.candidates(data.draw(st.integers(0, 20)))
            feed.reorder(data.draw(st.permutations(range(len(rows)))))
        elif what == "extend":
            items = data.draw(pages)
            feed.extend(page(number, items), complete=data.draw(st.booleans()))
            offered |= {*items}
        elif what == "show_all":
            feed.show_all()
        elif what == "begin":
            items = data.draw(pages)
            feed.begin(page(number, items), complete=data.draw(st.booleans()))
            seen, offered = [], {*items}
        order = feed.order()
        assert order[: len(seen)] == seen
        whole = seen + feed.held()
        assert sorted(whole) == sorted(offered)
        assert order == whole[: len(order)]
        latest = feed.latest
        rows = feed.candidates(100)
        assert latest.prepared.take(rows).vectors[:, 0].tolist() == feed.held()
        assert latest.served_lists(rows) == {"score": feed.held()}


def test_a_page_takes_over_what_was_not_seen() -> None:
    feed = Feed(page=2, kept_pages=2)
    assert feed.begin(page(1, [1, 2, 3, 4]), complete=False) == []
    feed.seen(2)
    assert feed.extend(page(2, [4, 5, 6]), complete=False) == []
    assert feed.held() == [3, 4, 5, 6]
    assert feed.order() == [1, 2, 3, 4]
    assert feed.latest.offered_at == [1, 1, 2, 2]
    found, row = feed.find(4)
    assert (found.page_id, row) == (2, 1)
    assert feed.find(2)[0].page_id == 1
    assert feed.find(4, page_id=1)[0].page_id == 1
    assert feed.find(9) is None
    (ended,) = feed.extend(page(3, [7]), complete=True)
    assert ended.page_id == 1
    assert feed.order() == [1, 2, 3, 4, 5, 6, 7]


def test_a_column_that_a_page_lacks_is_missing() -> None:
    feed = Feed(page=5, kept_pages=2)
    feed.begin(page(1, [1]), complete=False)
    other = OfferedPage(2, [2], [2], {"price": [9]}, ("price",), {}, None, "no vectors")
    feed.extend(other, complete=False)
    latest = feed.latest
    assert latest.served_lists([0, 1]) == {"score": [1, None], "price": [None, 9]}
    assert (latest.prepared, latest.fault) == (None, "no vectors")
    assert latest.values(1) == {"score": None, "price": 9, "item_id": 2}


def test_items_that_the_model_cannot_read_do_not_block_later_pages() -> None:
    feed = Feed(page=5, kept_pages=2)
    unreadable = OfferedPage(1, [1, 2], [1, 1], {"price": [9, 9]}, ("price",), {}, None, "no vectors")
    feed.begin(unreadable, complete=False)
    feed.seen(1)
    feed.extend(page(2, []), complete=False)
    assert feed.order() == [1, 2]
    feed.extend(page(3, [3, 4]), complete=False)
    assert feed.order() == [1, 3, 4]
    assert feed.latest.fault is None
    assert feed.latest.prepared is not None


def test_items_on_the_screen_belong_to_the_page_that_showed_them() -> None:
    feed = Feed(page=3, kept_pages=2)
    feed.begin(page(1, [1, 2, 3]), complete=False)
    feed.shown(2)
    feed.begin(page(2, [3, 2, 1]), complete=False)
    assert feed.find(2)[0].page_id == 1
    assert feed.find(1)[0].page_id == 2
    feed.exposed(2)
    assert feed.held() == [3, 2, 1]
    assert feed.find(2)[0].page_id == 2
    feed.shown(2)
    assert feed.held() == [1]
    feed.begin(page(3, [4]), complete=False)
    feed.begin(page(4, [5]), complete=False)
    assert feed.find(2) is None
