"""The stage `response`: from a trigger until the new order is there and the request is recorded, with full lists."""

from __future__ import annotations

import itertools

from edgerec.bench.measure import Call
from edgerec.bench.stages.device_client import DeviceClient
from edgerec.bench.stages.stage import RUNTIME, Stage
from edgerec.core.errors import SessionError

RESPONSE = "response"
CALLS = 10
RANKED = 10
"""Number of re-ranks of a page."""


def response_stages(device: DeviceClient) -> list[Stage]:
    """Return the stage. All candidates of the page may move, and both windows are full."""
    return [Stage(RESPONSE, {RUNTIME: respond(device, RESPONSE)}, CALLS, reference=None)]


def respond(device: DeviceClient, trigger: str) -> Call:
    """Return the call of one re-rank through the client, for this reason.

    Each page is ranked as often as a feed ranks it. Otherwise the store would have hundreds of requests of one page.
    """
    client, ranked = device.client, itertools.count()

    def turn_the_page() -> None:
        if next(ranked) % RANKED == RANKED - 1:
            client.refresh()
            client.run_pending()

    def run() -> None:
        client.request(trigger)
        done = client.run_pending()
        if done.errors or done.requests != (trigger,):
            raise SessionError(f"bench: the page cannot be ranked: {(*done.errors, 'no request')[0]}")

    return Call(run, before=turn_the_page)
