"""The stage `response`: from a trigger until the new order is there and the request is recorded, with full lists."""

from __future__ import annotations

from edgerec.bench.measure import Call
from edgerec.bench.stages.device_client import DeviceClient
from edgerec.bench.stages.stage import RUNTIME, Stage
from edgerec.core.errors import SessionError

RESPONSE = "response"
CALLS = 10


def response_stages(device: DeviceClient) -> list[Stage]:
    """Return the stage. All candidates of the page may move, and both windows are full."""
    client = device.client

    def respond() -> None:
        client.request(RESPONSE)
        done = client.run_pending()
        if done.errors or done.requests != (RESPONSE,):
            raise SessionError(f"bench: the page cannot be ranked: {(*done.errors, 'no request')[0]}")

    return [Stage(RESPONSE, {RUNTIME: Call(respond)}, CALLS, reference=None)]
