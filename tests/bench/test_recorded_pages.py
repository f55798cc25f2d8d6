from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from edgerec.bench.recorded_pages import load_recorded_pages, record_full_windows
from edgerec.bundle.load import load_device_model
from edgerec.core.errors import FormatError
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.paging.page import PageRequest
from tests.bundle.restamp import restamp


def test_a_client_fills_its_windows_and_ranks_full_lists(bundle_path: Path, tmp_path: Path) -> None:
    model = load_device_model(bundle_path)
    pages = pickle.loads(pickle.dumps(load_recorded_pages(bundle_path)))
    assert pages.version_id == model.version_id
    config = ClientConfig(page=100, fetch=100, prefetch=0)
    with BehaviourStore(tmp_path / "store.sqlite", user_id=1, limits=model.limits) as store:
        client = Client(store, pages, model, config=config)
        record_full_windows(client, pages, model.limits)
        for kind in BEHAVIOUR_KINDS:
            assert store.next_ordinal(kind) >= model.limits.of(kind)
            assert not store.pending(kind, model.version_id)
        client.refresh()
        client.request("test")
        done = client.run_pending()
        assert set(done.requests) == {"test", "page"}
        assert not done.errors
        assert len(set(client.order())) == 100
        client.close()


def test_a_page_has_no_items_that_the_device_holds(bundle_path: Path) -> None:
    pages = load_recorded_pages(bundle_path)
    page = pages.page(PageRequest(1, "store", pages.version_id, 5, held=(2, 4)))
    assert page.items.item_id.tolist() == [1, 3, 5, 6, 7]
    again = pages.items(pages.version_id, [5, 1])
    assert [values[2] for values in page.items.columns.values()] == [values[0] for values in again.columns.values()]


def test_a_bundle_without_raw_cases_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    for path in (bundle / "golden").glob("raw-*.npz"):
        path.unlink()
    restamp(bundle)
    with pytest.raises(FormatError, match="no golden case with raw values"):
        load_recorded_pages(bundle)
