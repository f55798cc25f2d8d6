"""Try any bundle with a real client and without a server. Run: python try_bundle.py BUNDLE.

It needs the extra `device` only. The items and the behaviours are those of a recorded request of the bundle. Their
values are random, so the order says nothing about the model. What happens is the same as in an application.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgerec import BehaviourStore, Client, ClientConfig, EdgeRecError, load_device_model, open_tables
from edgerec.bundle.raw_cases import read_raw
from edgerec.device_runtime.row_checks import raw_column
from edgerec.features.spec import of_origin
from edgerec.paging.items import UNKNOWN_KEY, EmbeddingColumn, ItemBatch
from edgerec.paging.page import Page

REASON = ClientConfig().columns.delete_reason


def rows_of(columns):
    """Return the rows of `columns`, a list of values for each column."""
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


class LocalTransport:
    """The cloud of this example. In an application it is `edgerec.HttpTransport`, which asks a server."""

    def __init__(self, model, tables, request):
        self.spec, self.tables, self.context = model.spec, tables, request.context
        self.rows = {row["item_id"]: row for row in rows_of(request.candidates)}
        self.sent = []

    def page(self, request):
        ids = [item_id for item_id in self.rows if item_id not in request.held][: request.count]
        served = {feature.source for feature in of_origin(self.spec.item, "served")}
        items = self.items(request.version_id, ids)
        return Page(1, request.time, items, served=tuple(served), context=self.context, complete=True)

    def items(self, version_id, item_ids):
        rows = [self.rows[item_id] for item_id in item_ids]
        columns = {name: [row[name] for row in rows] for name in next(iter(self.rows.values())) if name != "item_id"}
        embeddings = {feature.name: self._embedding(feature, rows) for feature in self.spec.embeddings}
        return ItemBatch(version_id, np.array(item_ids, np.int64), columns, embeddings)

    def send(self, batch):
        self.sent += [*batch.events, *batch.requests]

    def _embedding(self, feature, rows):
        wanted, index = np.unique(raw_column(feature, [row[feature.source] for row in rows]), return_inverse=True)
        found = self.tables.tables[feature.name].get_many(wanted)
        keys = np.where(found.known, wanted, UNKNOWN_KEY)
        return EmbeddingColumn(keys, found.rows, index.astype(np.int32))


def try_bundle(bundle, store_path):
    """Show a page, report three exposures and a click, and print the order after each. Return the number of errors."""
    cases = sorted((bundle / "golden").glob("raw-*.npz"))
    model = load_device_model(bundle)
    if not cases:
        sys.exit(f"{bundle} has no golden cases with raw values (golden/raw-*.npz): ask for the whole bundle")
    request = read_raw(cases[-1])  # the longest one
    transport = LocalTransport(model, open_tables(bundle / "cloud"), request)
    count, errors = len(transport.rows), []
    config = ClientConfig(page=count, fetch=count, prefetch=0, debounce_ms=0)
    with BehaviourStore(store_path, user_id=7, limits=model.limits) as store:
        client = Client(store, transport, model, config=config)

        def work(what):
            started = time.perf_counter()
            done = client.run_pending()  # an application calls `client.start()` once in place of this
            took = (time.perf_counter() - started) * 1000
            triggers = ", ".join(done.requests) or "none"
            print(f"{what}\n  triggers: {triggers} ({took:.1f} ms)\n  order: ", *client.order()[:12])
            errors.extend(done.errors)
            for error in done.errors:
                print("  error:", error)

        print("the cloud's order:\n  order: ", *list(transport.rows)[:12])
        client.refresh()
        work("a page arrives:")
        first, second, third = (client.order() * 3)[:3]
        # The recorded values are random. As a reason of a removal, they would start a re-rank.
        exposures = {name: values for name, values in request.exposures.action.items() if name != REASON}
        seen, viewed = rows_of(exposures) or [{}], rows_of(request.page_views.action) or [{}]
        for number, item in enumerate((first, second, third)):
            client.shown(item)
            client.exposed(item, seen[number % len(seen)])
        work(f"the user has seen {first}, {second} and {third}:")
        client.clicked(second)
        client.left_page(second, viewed[0])
        work(f"the user opened {second} and came back:")
        client.close()
    print(len(transport.sent), "log rows were sent")
    return len(errors)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python try_bundle.py BUNDLE")
    try:
        with TemporaryDirectory() as folder:
            errors = try_bundle(Path(sys.argv[1]), Path(folder) / "user.db")
    except EdgeRecError as error:
        sys.exit(f"error: {error}")
    sys.exit(1 if errors else 0)
