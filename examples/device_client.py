"""A client of the recipe feed. Its server is another process. Run: python device_client.py BUNDLE URL STORE."""

import sys

from edgerec import BehaviourStore, Client, ClientConfig, HttpTransport, load_device_model
from edgerec.device_runtime.config import ActionColumns

if len(sys.argv) != 4:
    sys.exit("usage: python device_client.py BUNDLE URL STORE")
bundle, url, path = sys.argv[1:]
config = ClientConfig(page=8, fetch=12, prefetch=3, debounce_ms=0, columns=ActionColumns(delete_reason="hidden"))
model = load_device_model(bundle)

with HttpTransport(url) as transport, BehaviourStore(path, user_id=7, limits=model.limits) as store:
    client = Client(store, transport, model, config=config, on_order=lambda order: print("shown:", *order))
    client.refresh()
    done = client.run_pending()  # a page arrives, and is ranked
    if len(client.order()) < 2:
        sys.exit(1 if done.errors else f"no page: {url} has too few items")  # the client has logged its errors
    first, second = client.order()[:2]

    client.deleted(first, "too_long")  # belongs to the exposure, which is recorded when it ends
    client.exposed(first, {"seen_s": 1.2})
    print("re-ranked:", *client.run_pending().requests)  # encodes the exposure, then re-ranks what was not seen

    client.exposed(second, {"seen_s": 4.5})
    client.clicked(second)
    client.acted(second, "saved")
    client.left_page(second, {"page_s": 95.0})
    client.request("tab")  # a trigger of the application
    print("re-ranked:", *client.run_pending().requests)

    client.close()  # requests get their labels, and all log rows are sent
