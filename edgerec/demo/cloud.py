"""The cloud of the demo: the service that `edgerec serve` runs, in the same process and without HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from edgerec.cloud.catalogue import Catalogue
from edgerec.cloud.log_rows import LogTables
from edgerec.cloud.served_values import DefaultServedValues
from edgerec.cloud.service import FeedService
from edgerec.cloud.service_pages import ServicePages
from edgerec.cloud.start import open_service
from edgerec.cloud.versions import Versions, open_version
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.transport import Transport
from edgerec.simulation.closed_loop.read_world import read_world
from edgerec.simulation.closed_loop.recall import SimulatedRecall


class ServiceTransport(ServicePages):
    """Implements `Transport` with a service of this process. Threads may share an instance.

    The service learns from the log rows of devices, which are then forgotten.
    """

    def __init__(self, service: FeedService) -> None:
        super().__init__(service)
        specs = [version.spec for version in service.versions]
        self._tables = LogTables(specs, service.catalogue.ids)

    def send(self, batch: LogBatch) -> None:
        """Let the service learn from a batch. A wrong row is an InputError, so the client drops only this row."""
        rows = self._tables.of([batch])
        self._service.learn(rows.events, rows.requests)


class DemoCloud(Protocol):
    """Opens the cloud for one bucket of one user of the demo."""

    def connect(self, user: int, bucket: int) -> tuple[int, Transport]:
        """Return the ID under which the cloud knows the user in this bucket, and the cloud.

        In the same order of calls, the cloud offers both buckets of a user the same first page.
        """
        ...


class SimulatedCloud:
    """The cloud of a simulated world. Each bucket has one of its own, which knows only what was done in this bucket.

    Args:
        bundle: the bundle whose version is served.
        logs: logs of `edgerec simulate`.

    Raises:
        FormatError, LogsError: the bundle or the logs cannot be read, or do not fit each other.
    """

    def __init__(self, bundle: Path, logs: Path) -> None:
        self._world = read_world(logs)
        self._catalogue = Catalogue(self._world.items)
        self._versions = Versions(self._world.spec, [open_version(bundle)], self._catalogue)

    def connect(self, user: int, bucket: int) -> tuple[int, Transport]:
        """Return the user and a new cloud. See `DemoCloud.connect`."""
        served = DefaultServedValues([version.spec for version in self._versions], self._catalogue)
        service = FeedService(self._catalogue, self._versions, SimulatedRecall(self._world), served)
        return user, ServiceTransport(service)


class LoggedCloud:
    """The cloud of `edgerec serve`, with its default recall, for any bundle and logs.

    All users share it. A user has an ID of its own in each bucket, so what was done in one is not known in the other.

    Args:
        bundle: the bundle whose version is served.
        logs: the catalogue, and the logs from which the recall learns.

    Raises:
        FormatError, LogsError, SpecificationError: the bundle or the logs cannot be read, or do not fit each other.
    """

    def __init__(self, bundle: Path, logs: Path) -> None:
        self._transport = ServiceTransport(open_service(logs, [bundle]))

    def connect(self, user: int, bucket: int) -> tuple[int, Transport]:
        """Return a user ID of this bucket and the cloud. See `DemoCloud.connect`."""
        return 2 * user + bucket, self._transport
