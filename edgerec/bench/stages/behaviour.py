"""The stages `behaviour` and `behaviour_durable`: one exposure, from the application's call to its stored encoding."""

from __future__ import annotations

import itertools

from edgerec.bench.measure import Call
from edgerec.bench.stages.device_client import DeviceClient
from edgerec.bench.stages.stage import RUNTIME, Stage
from edgerec.core.errors import SessionError
from edgerec.features.behaviours import EXPOSURE

BEHAVIOUR, DURABLE = "behaviour", "behaviour_durable"
CALLS = 20


def behaviour_stages(device: DeviceClient) -> list[Stage]:
    """Return both stages. They use the client in turns.

    `behaviour` ends when the encoding and the new state are stored, and `behaviour_durable` when the raw row is. The
    behaviour is then encoded, which is not measured.
    """
    client, values = device.client, device.pages.values(EXPOSURE)
    # If the user had seen all items, the client would ask for a page.
    items = client.order()[: max(1, len(client.order()) // 2)]
    exposed = itertools.cycle(items)

    def record() -> None:
        client.exposed(next(exposed), next(values))

    def encode() -> None:
        done = client.run_pending()
        if done.errors:
            raise SessionError(f"bench: a behaviour cannot be encoded: {done.errors[0]}")

    def both() -> None:
        record()
        encode()

    return [
        Stage(BEHAVIOUR, {RUNTIME: Call(both)}, CALLS, reference=None),
        Stage(DURABLE, {RUNTIME: Call(record, after=encode)}, CALLS, reference=None),
    ]
