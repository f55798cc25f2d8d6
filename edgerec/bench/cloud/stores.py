"""Where the server of a measurement reads embedding rows from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edgerec.bench.cloud.redis_servers import redis_cluster, redis_server
from edgerec.bench.cloud.workload import Workload
from edgerec.bundle.layout import CLOUD
from edgerec.bundle.tables import open_tables
from edgerec.core.console import stage

NPZ, REDIS, REDIS_CLUSTER = "npz", "redis", "redis_cluster"


@dataclass(frozen=True)
class Store:
    """A place of embedding tables.

    Attributes:
        name: `npz`, `redis` or `redis_cluster`.
        servers: starts the servers of the place for a block, and yields an object with their `url`. None: the tables
            are in the files of the bundle.
    """

    name: str
    servers: Callable[[], contextlib.AbstractContextManager[Any]] | None = None

    @contextlib.contextmanager
    def options(self, workload: Workload) -> Iterator[list[str]]:
        """For a block, hold the tables of a workload ready. Yield the options of `edgerec serve` for this place.

        Raises:
            ResourceError: a server is not installed, or does not start.
        """
        if self.servers is None:
            yield []
            return
        from edgerec.kv.redis import RedisStore

        with self.servers() as running:
            store = RedisStore(running.url)
            with stage(f"publish the tables ({self.name})"):
                store.publish(open_tables(workload.bundle / CLOUD))
            store.close()
            yield ["--redis", running.url]


STORES = (Store(NPZ), Store(REDIS, redis_server), Store(REDIS_CLUSTER, redis_cluster))


def open_stores(names: Sequence[str]) -> list[Store]:
    """Return the stores of these names."""
    by_name = {store.name: store for store in STORES}
    return [by_name[name] for name in dict.fromkeys(names)]
