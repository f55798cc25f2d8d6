"""A client whose process is killed loses nothing that `exposed` had returned from, and goes on with the same states."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgerec.bundle.load import load_device_model
from edgerec.cloud.server_process import server_process
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import EXPOSURE

APP = """
import sys
from pathlib import Path
from edgerec import BehaviourStore, Client, ClientConfig, HttpTransport, load_device_model
from edgerec.features.behaviours import EXPOSURE

bundle, path, url, end, *items = sys.argv[1:]
model = load_device_model(Path(bundle))
with BehaviourStore(path, user_id=1, limits=model.limits) as store, HttpTransport(url) as cloud:
    def clock():
        return 1_700_000_000_000 + 1000 * store.next_ordinal(EXPOSURE)
    client = Client(store, cloud, model, config=ClientConfig(triggers=()), clock=clock)
    client.run_pending()
    for number in range(store.next_ordinal(EXPOSURE), int(end)):
        item_id, values = int(items[number % len(items)]), {"duration_s": number % 7 + 0.5}
        client.exposed(item_id, values, served={"score": 0.25})
        print("recorded", number, flush=True)
        client.run_pending()
    client.close(send=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("behaviours", "kills"), [(2000, 20)])
def test_a_killed_client_goes_on_as_if_it_had_not_been_killed(
    bundle_path: Path, samples_path: Path, tmp_path: Path, behaviours: int, kills: int
) -> None:
    logs = samples_path.with_name("logs")
    items = [str(item) for item in np.load(samples_path / "items" / "item_id.npy")[:9]]
    model = load_device_model(bundle_path)
    rng = random.Random(1)
    with server_process(bundle_path, catalogue=logs, logs=None) as url:

        def run(path: Path, *, kill_after: int | None) -> int:
            """Run the application, and kill it after it has recorded some behaviours. Return the last one recorded."""
            arguments = [str(bundle_path), str(path), url, str(behaviours), *items]
            with subprocess.Popen([sys.executable, "-c", APP, *arguments], stdout=subprocess.PIPE, text=True) as app:
                assert app.stdout is not None
                last = count = -1
                for line in app.stdout:
                    if line.startswith("recorded"):
                        last, count = int(line.split()[1]), count + 1
                        if count == kill_after:
                            app.send_signal(signal.SIGKILL)
                return last if kill_after is not None or app.wait() == 0 else -1

        for _ in range(kills):
            last = run(tmp_path / "killed.db", kill_after=rng.randrange(2 * behaviours // (3 * kills)))
            with BehaviourStore(tmp_path / "killed.db", user_id=1, limits=model.limits) as store:
                assert store.next_ordinal(EXPOSURE) > last
        assert run(tmp_path / "killed.db", kill_after=None) == behaviours - 1
        assert run(tmp_path / "whole.db", kill_after=None) == behaviours - 1
    with (
        BehaviourStore(tmp_path / "killed.db", user_id=1, limits=model.limits) as killed,
        BehaviourStore(tmp_path / "whole.db", user_id=1, limits=model.limits) as whole,
    ):
        version, limit = model.version_id, model.limits.of(EXPOSURE)
        states = [store.states(EXPOSURE, version) for store in (killed, whole)]
        assert states[0] is not None
        assert states[1] is not None
        np.testing.assert_array_equal(states[0].own, states[1].own)
        np.testing.assert_array_equal(states[0].previous, states[1].previous)
        windows = [store.window(EXPOSURE, version, limit) for store in (killed, whole)]
        for name in ("ordinals", "times", "own_keys", "own_values", "previous_keys", "previous_values"):
            np.testing.assert_array_equal(*(getattr(window, name) for window in windows))
        rows = [
            [(ordinal, one.time, one.item_id, one.action) for ordinal, one in store.latest(EXPOSURE, behaviours)]
            for store in (killed, whole)
        ]
        assert rows[0] == rows[1]
        assert [row[0] for row in rows[0]] == list(range(behaviours))
