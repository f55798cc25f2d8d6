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
    return [Stage(RESPONSE, {RUNTIME: respond(device, RESPONSE)}, CALLS, reference=None)]


def respond(device: DeviceClient, trigger: str) -> Call:
    """Return the call of one re-rank through the client, for this reason."""
    client = device.client

    def run() -> None:
        client.request(trigger)
        done = client.run_pending()
        if done.errors or done.requests != (trigger,):
            raise SessionError(f"bench: the page cannot be ranked: {(*done.errors, 'no request')[0]}")

    return Call(run)
