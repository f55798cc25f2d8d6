"""Sets times back that a wrong clock put years ahead. Otherwise all later times would have to follow them.

Times after the present are moved by the same amount, so that the latest one becomes the present. They keep their order,
and stay after all times that were right.

Rows that were sent with such times cannot be changed any more: the cloud expects later times of this store. So the
store gets a new ID, under which all later rows are sent. Ordinals continue.
"""

from __future__ import annotations

import json
import logging
import secrets

from edgerec.device_runtime.store.database import Database
from edgerec.device_runtime.store.statements import read_statements
from edgerec.device_runtime.store.values import json_text

_LOG = logging.getLogger(__name__)


def set_back(database: Database, *, now: int, latest: int, sent: tuple[int, int]) -> None:
    """Set all times after `now` back, in one transaction. No batch is being sent.

    Args:
        database: the file.
        now: the present time in milliseconds since 1970.
        latest: the latest time of the store, which is after `now`.
        sent: the first ordinal that was not sent, of exposures and of page-views.

    Raises:
        StoreError: the file cannot be written. Then nothing was changed.
    """
    sql = read_statements("set_back")
    with database.transaction(durable=True):
        good = database.rows(sql["latest_good"], (now,))[0][0] or 0
        moved = (now, latest - now, good)
        is_sent = bool(database.rows(sql["ahead_and_sent"], (now, *sent))[0][0])
        store_id = secrets.randbits(63) if is_sent else None
        for table in ("exposures", "page_views", "clicks", "personal_events", "patches"):
            database.execute(sql[table], moved)
        for table, write in (("open_requests", "write_open_request"), ("requests", "write_request")):
            for sequence, time, text in database.rows(sql[table]):
                row = json.loads(text)
                row["time"] = time = time if time <= now else max(time - (latest - now), good)
                row["store_id"] = row["store_id"] if store_id is None else store_id
                database.execute(sql[write], (time, json_text("request", row), sequence))
        database.execute(sql["last_time"], (now,))
        if store_id is not None:
            database.execute(sql["new_store"], (store_id,))
    _LOG.warning(
        "the clock was wrong: times of the behaviour store are set back by %.1f hours%s",
        (latest - now) / 3_600_000,
        "; the store has a new ID, because rows with these times were sent" if is_sent else "",
    )
