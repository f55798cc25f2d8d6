"""A client that gets new model versions while it runs. Run: python updated_client.py BUNDLE URL FOLDER [PUBLIC_KEY].

BUNDLE is the version with which the application is shipped. The server is `edgerec serve --versions`.
"""

import sys
from pathlib import Path

from edgerec import BehaviourStore, Client, ClientConfig, HttpTransport, ModelFolder, ModelUpdater
from edgerec.bundle.signing import load_public_key

if len(sys.argv) not in (4, 5):
    sys.exit("usage: python updated_client.py BUNDLE URL FOLDER [PUBLIC_KEY]")
bundle, url, folder, *keys = sys.argv[1:]
key = load_public_key(Path(keys[0])) if keys else None
Path(folder).mkdir(parents=True, exist_ok=True)


def allowed() -> bool:
    """Return whether something may be downloaded now: on Wi-Fi, while charging, when nobody scrolls."""
    return True


with (
    ModelFolder(Path(folder, "models"), public_key=key) as models,
    BehaviourStore(Path(folder, "user.db"), user_id=7) as store,
    HttpTransport(url) as transport,
    HttpTransport(url) as downloads,  # a connection of its own, so that pages never wait for a download
):
    models.install(bundle)  # only if the device has no version yet
    client = Client(store, transport, models.load(store), config=ClientConfig(page=8, fetch=12, prefetch=3))
    updater = ModelUpdater(
        client, models, downloads, allowed=allowed, on_event=lambda event: print(event.what, event.version_id)
    )
    client.start()
    updater.start()

    for _ in range(12):  # the user scrolls; each list that is at its end asks for a page
        client.refresh()
        client.wait(5)
        for item in client.order()[:4]:
            client.exposed(item)
            client.wait(5)
    client.close()
    updater.close()
    print("runs", client.version_id)
