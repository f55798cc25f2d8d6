"""Open everything that the cloud needs: the catalogue, the versions, and what the logs teach the recall."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.bundle.signing import PublicKey
from edgerec.cloud.catalogue import Catalogue
from edgerec.cloud.co_visitation import CoVisitation
from edgerec.cloud.embedding_source import EmbeddingSource
from edgerec.cloud.followed_folder import FollowedFolder
from edgerec.cloud.mix_prices import MixPrices
from edgerec.cloud.recall import Recall
from edgerec.cloud.served_values import DefaultServedValues, ServedValues, as_of_columns
from edgerec.cloud.service import FeedService
from edgerec.cloud.versions import ServedVersion, Versions, open_version
from edgerec.core.errors import LogsError
from edgerec.core.paths import AnyPath, to_path
from edgerec.data.log_order import sort_events
from edgerec.data.logs import TABLES, LogsFolder, open_logs
from edgerec.data.parts import read_parts
from edgerec.data.schema import ITEM_ID, ITEMS, KIND, PAGE_ID, REQUEST_ID, TIME, USER_ID

_EVENTS = (USER_ID, TIME, KIND, ITEM_ID)
_REQUESTS = (REQUEST_ID, USER_ID, TIME, ITEM_ID, PAGE_ID)


def open_service(
    catalogue: AnyPath,
    bundles: Sequence[AnyPath] = (),
    *,
    learn_from: Sequence[AnyPath] = (),
    recall: Callable[[NDArray[np.int64]], Recall] = CoVisitation,
    served: ServedValues | None = None,
    public_key: PublicKey | None = None,
    followed: FollowedFolder | None = None,
    embeddings: EmbeddingSource | None = None,
    prices: MixPrices | None = None,
    admit: Callable[[ServedVersion], None] = lambda version: None,
) -> FeedService:
    """Open the catalogue and the cloud halves of bundles, and let the recall learn from logs.

    Args:
        catalogue: folder of logs. Its items are the catalogue, its specification is for devices without a model, and
            the recall learns from its events.
        bundles: the bundles whose versions are served.
        learn_from: folders of more logs to learn from, such as those that an earlier server wrote.
        recall: makes the recall from the IDs (n,) of the catalogue.
        served: the served values; default: the score of the recall, and as-of columns.
        public_key: the bundles must have a signature of this key.
        followed: a versions folder, whose live versions are served, too.
        embeddings: where the embedding tables are; default: in the files of the bundles.
        prices: the prices of kinds of cards that devices get with a page; None: those of their bundle hold.
        admit: raises an EdgeRecError for a version of `followed` that cannot be served for another reason.

    Raises:
        InputError, FormatError, LogsError, SpecificationError: a folder is not valid, or the catalogue lacks a column.
    """
    folder = open_logs(to_path(catalogue, "open_service: `catalogue`"))
    # The items of `folder` lack the columns that only the specification of a bundle reads.
    items = Catalogue(read_parts(folder.catalogue).sort(ITEM_ID))
    if not len(items):
        raise LogsError(f"logs: {folder.path / TABLES[ITEMS]} has no rows: the catalogue needs at least one item")
    paths = [to_path(bundle, "open_service: `bundles`") for bundle in bundles]
    opened = [open_version(path, public_key=public_key, embeddings=embeddings) for path in paths]
    versions = Versions(folder.spec, opened, items)
    if followed is not None:
        _follow(followed, versions, items, admit, default=served is None)
    columns: tuple[str, ...] = ()
    if served is None:
        served = default = DefaultServedValues([version.spec for version in versions], items)
        columns = default.event_columns
        if default.absent:
            sys.stderr.write(
                f"edgerec: these served columns have no values here: {', '.join(default.absent)}; give a ServedValues "
                "of your own (docs/cloud.md)\n"
            )
    waits = embeddings is not None and embeddings.waits
    service = FeedService(items, versions, recall(items.ids), served, waits=waits, prices=prices)
    for logs in [folder, *map(open_logs, learn_from)]:
        service.learn(*_tables(logs, columns))
    if prices is not None:
        prices.compare_with(lambda: {str(each.version_id): each.mixing_kinds for each in versions if each.version_id})
    return service


def _follow(
    followed: FollowedFolder,
    versions: Versions,
    items: Catalogue,
    admit: Callable[[ServedVersion], None],
    *,
    default: bool,
) -> None:
    """Roll out the versions of a folder. One that does not fit the catalogue or those before it is refused."""
    specs = [version.spec for version in versions]

    def check(version: ServedVersion) -> None:
        admit(version)
        if default:
            as_of_columns([*specs, version.spec])
            DefaultServedValues([version.spec], items)  # This checks the columns that as-of columns count by.
        version.prepare(items)
        specs.append(version.spec)

    followed.update(versions, check)


def _tables(logs: LogsFolder, columns: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the columns of events and requests that are learnt from. Events are sorted by user and time."""
    events = [name for name in dict.fromkeys((*_EVENTS, *columns)) if name in logs.events.schema]
    requests = [name for name in _REQUESTS if name in logs.requests.schema]
    # Only as-of columns count lists.
    lists = read_parts(logs.requests, requests) if columns else logs.requests.schema.to_frame().select(requests)
    return sort_events(read_parts(logs.events, events)), lists
