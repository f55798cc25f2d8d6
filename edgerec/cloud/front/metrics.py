"""The metrics of the server in the text format of Prometheus. They are made when somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgerec import __version__
from edgerec.cloud.front.access_log import AccessLog
from edgerec.cloud.front.rates import Rate
from edgerec.cloud.front.traffic import BOUNDS_S, Traffic

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from edgerec.cloud.log_writer import LogWriter
    from edgerec.cloud.service import FeedService


class ServerCollector:
    """Reads the counters of one server. One process serves, so its counters are all there are.

    Args:
        traffic: what the server answered.
        service: answers the requests.
        logs: writes the logs of devices; None: there are none.
        access_log: the access log; None: there is none.
        user_rate: how often each user may ask; None: there is no limit.
    """

    def __init__(
        self,
        traffic: Traffic,
        service: FeedService,
        logs: LogWriter | None,
        access_log: AccessLog | None = None,
        user_rate: Rate | None = None,
    ) -> None:
        self._traffic, self._service, self._logs, self._access_log = traffic, service, logs, access_log
        self._user_rate = user_rate

    def registry(self) -> CollectorRegistry:
        """Return a registry with these metrics and those of the process (memory, CPU time, open files)."""
        from prometheus_client import CollectorRegistry, ProcessCollector

        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        return registry

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield from self._requests()
        yield from self._content()
        if self._logs is not None:
            yield from _log_rows(self._logs)

    def _requests(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        traffic = self._traffic
        answers = CounterMetricFamily(
            "edgerec_requests", "Answers. Status 0: the client went away.", labels=("route", "method", "status")
        )
        for (route, method, status), count in traffic.answers.items():
            answers.add_metric((route, method, str(status)), count)
        yield answers
        durations = HistogramMetricFamily(
            "edgerec_request_seconds", "Time from the head of a request to the end of its answer.", labels=("route",)
        )
        for route, each in traffic.durations.items():
            buckets, total = [], 0
            for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), each.counts, strict=True):
                total += count
                buckets.append((bound, float(total)))
            durations.add_metric((route,), buckets, each.total)
        yield durations
        sent = CounterMetricFamily("edgerec_sent_bytes", "Bytes of the bodies of answers.", labels=("route",))
        for route, count in traffic.sent.items():
            sent.add_metric((route,), count)
        yield sent
        versions = CounterMetricFamily(
            "edgerec_version_requests", "Requests of devices by the version that they run.", labels=("route", "version")
        )
        for pair, count in traffic.versions.items():
            versions.add_metric(pair, count)
        yield versions
        # The request for the metrics itself is open now.
        yield GaugeMetricFamily("edgerec_open_requests", "Requests that are being answered.", traffic.open)
        if self._access_log is not None:
            yield CounterMetricFamily(
                "edgerec_access_log_lost_lines", "Lines of the access log that were not written.", self._access_log.lost
            )

        if self._user_rate is not None:
            yield CounterMetricFamily(
                "edgerec_forgotten_users",
                "Users that the rate forgot too early, because there were too many.",
                self._user_rate.forgotten,
            )

    def _content(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        yield InfoMetricFamily("edgerec_server", "The version of EdgeRec.", {"version": __version__})
        yield GaugeMetricFamily("edgerec_catalogue_items", "Items of the catalogue.", len(self._service.catalogue))
        served = GaugeMetricFamily("edgerec_version_served", "1 for each version that is served.", labels=("version",))
        keys = CounterMetricFamily(
            "edgerec_embedding_keys", "Different keys that were looked up in tables.", labels=("version",)
        )
        unknown = CounterMetricFamily(
            "edgerec_unknown_embedding_keys", "Keys of these that the table does not have.", labels=("version",)
        )
        seconds = CounterMetricFamily(
            "edgerec_embedding_seconds", "Time that looking them up took.", labels=("version",)
        )
        for version in self._service.versions:
            if version.version_id is None:
                continue
            label = (version.version_id,)
            served.add_metric(label, 1)
            keys.add_metric(label, version.look_ups.keys)
            unknown.add_metric(label, version.look_ups.unknown)
            seconds.add_metric(label, version.look_ups.seconds)
        yield from (served, keys, unknown, seconds)


def _log_rows(logs: LogWriter) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    state = logs.state()
    rows = CounterMetricFamily("edgerec_log_rows", "Rows of logs that were stored.", labels=("table",))
    for table in ("events", "requests"):
        rows.add_metric((table,), state[table])
    yield rows
    for name, text in (
        ("batches", "Batches that were stored."),
        ("repeated", "Batches that were stored before, so they were dropped."),
        ("dropped_rows", "Rows whose items the catalogue does not have."),
    ):
        yield CounterMetricFamily(f"edgerec_log_{name}", text, state[name])
