"""Faults of a mixed feed through the real client: the order that stands, and what a kill loses."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import EXPOSURE
from edgerec.mixing.config import MixConfig
from edgerec.mixing.mixer import Mixer
from edgerec.mixing.prices import KindState
from tests.device_runtime.mixed_feed import MixedApp, opened


def broken(*_: object, **__: object) -> None:
    raise RuntimeError("the solver is broken\nmore")


def test_on_any_fault_the_order_of_the_model_stands_and_the_log_says_why(
    app: MixedApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = opened(app)
    monkeypatch.setattr(Mixer, "mix", broken)
    client.request("broken")
    client.run_pending()
    monkeypatch.undo()
    score = type(client._reranking._serving).score_cards  # type: ignore[union-attr]

    def with_nan(*arguments: Any, **more: Any) -> Any:
        found = score(*arguments, **more)
        found.logits[0] = np.nan
        return found

    monkeypatch.setattr(type(client._reranking._serving), "score_cards", with_nan)  # type: ignore[union-attr]
    client._mixing.predictions = {}
    order = client.order()
    client._reranking._store.record_request = lambda request: order.append(request.outcome)  # type: ignore[method-assign]
    client.request("nan")
    client.run_pending()
    assert order[-1].startswith("reordered, not mixed: scores should be finite; NaN or infinite: 1 of ")
    assert client.predictions() == {}
    monkeypatch.undo()
    del client._reranking._store.record_request
    rows = app.requests(client)
    assert rows[-1]["outcome"] == "reordered, not mixed: the solver is broken"
    assert rows[-1]["positions"] == np.argsort(-np.array(rows[-1]["scores"]), kind="stable").tolist()


def test_a_plan_over_its_budget_is_not_shown(app: MixedApp) -> None:
    client = opened(app, mix=MixConfig(budget_ms=0.0))
    client.request("again")
    client.run_pending()
    first, second = app.requests(client)
    assert first["outcome"].startswith("reordered, not mixed: it took ")
    assert second["outcome"].startswith("reordered, not mixed: it would take about ")


def test_a_page_without_kinds_is_not_mixed(app: MixedApp) -> None:
    app.columns = ()
    app.__post_init__()
    client = opened(app)
    app.see(client, client.order()[0])
    assert app.store.mixing() == {}
    [row] = app.requests(client)
    assert row["outcome"] == "reordered, not mixed: the page has no column 'card_kind', which the rules read"


def test_the_exposure_and_the_price_are_one_transaction(app: MixedApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the state cannot be written, the exposure is not recorded either, and can be reported again."""
    client = opened(app)
    item = client.order()[0]
    put = app.store._mixing.put

    def full(states: dict[str, KindState]) -> None:
        put(states)
        raise OSError("disk full")

    app.store._mixing.put = full  # type: ignore[method-assign]
    with pytest.raises(OSError, match="disk full"):
        app.see(client, item)
    assert (app.store.next_ordinal(EXPOSURE), app.store.mixing()) == (0, {})
    app.store._mixing.put = put  # type: ignore[method-assign]
    app.see(client, item)
    assert app.store.next_ordinal(EXPOSURE) == 1
    assert {one.shown.cards for one in app.store.mixing().values()} == {1}


KILLED = """
import sys
from pathlib import Path
from edgerec import BehaviourStore, load_device_model
from tests.device_runtime.local_cloud import read_tables
from tests.device_runtime.mixed_feed import MixedApp, mixed_model

bundle, path = Path(sys.argv[1]), sys.argv[2]
model = mixed_model(load_device_model(bundle))
with BehaviourStore(path, user_id=3, limits=model.limits) as store:
    app = MixedApp(model, store, read_tables(bundle))
    client = app.start()
    for start in range(1000, 1400, 10):
        app.offer(range(start, start + 10))
        client.refresh()
        client.run_pending()
        for item in client.order():
            app.see(client, item)
            print("seen", item, flush=True)
"""


def test_a_killed_process_loses_no_count(bundle_path: Path, tmp_path: Path) -> None:
    """What `exposed` had returned from is counted, and no exposure is there without its count."""
    path = tmp_path / "user.db"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(bundle_path), str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        printed = 0
        for line in process.stdout:
            printed += line.startswith("seen")
            if printed == 38:
                process.send_signal(signal.SIGKILL)
                break
    with BehaviourStore(path, user_id=3) as store:
        recorded = store.next_ordinal(EXPOSURE)
        assert recorded >= 38
        states = store.mixing()
        assert {one.shown.cards for one in states.values()} == {recorded}
        assert sum(one.shown.own for one in states.values()) == recorded
