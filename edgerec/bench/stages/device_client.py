"""A client with full windows and a full page, on a temporary store: what the stages of the whole device measure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from edgerec.bench.recorded_pages import RecordedPages, load_recorded_pages, record_full_windows
from edgerec.bench.stages.stage import Loaded
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.config import ClientConfig
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.rows import PatchState
from edgerec.personalization.patch import Patch

USER = 1
_NEVER_MS = 10**12


@dataclass(frozen=True)
class DeviceClient:
    """A client whose windows and page are full, and the pages that it got."""

    client: Client
    pages: RecordedPages


@contextmanager
def device_client(loaded: Loaded, *, personal: bool = False, patch: Patch | None = None) -> Iterator[DeviceClient]:
    """Yield a client with full windows. Nothing but the caller makes it work: no trigger fires, and it sends no logs.

    The store is a file in the folder for temporary files.

    Args:
        loaded: the bundle.
        personal: whether the client keeps what a patch is trained from. It trains none, because the user is never idle.
        patch: the patch of the user `USER` that is in the store; None: there is none.
    """
    limits, pages = loaded.model.limits, load_recorded_pages(loaded.bundle)
    most = limits.candidates
    config = ClientConfig(
        page=most,
        fetch=most,
        prefetch=0,
        triggers=(),
        send_interval_ms=_NEVER_MS,
        prune_interval_ms=_NEVER_MS,
        page_timeout_ms=_NEVER_MS,
        personal=personal,
        personal_idle_ms=_NEVER_MS,
    )
    with (
        TemporaryDirectory(prefix="edgerec-bench-") as folder,
        BehaviourStore(Path(folder) / "store.sqlite", user_id=USER, limits=limits) as store,
    ):
        if patch is not None and loaded.model.personal is not None:
            store.personal.keep_only(patch.version_id, loaded.model.personal.head_id)
            store.personal.write(PatchState(patch.version_id, patch, patch.time, 0, "trained"))
        client = Client(store, pages, loaded.model, config=config)
        record_full_windows(client, pages, limits)
        client.refresh()
        client.run_pending()
        yield DeviceClient(client, pages)
