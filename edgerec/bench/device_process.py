"""A device process that is measured: what an application does from its start to the first order, and afterwards.

`edgerec.bench.fresh_process` starts it in a fresh interpreter and reads its lines. The process imports only what an
application on a device imports. Its cloud is a folder of pages in the format in which a server sends them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from itertools import cycle
from pathlib import Path
from typing import Any, NoReturn

from edgerec.bundle.load import create_model, read_device_half
from edgerec.core.errors import EdgeRecError, RefusedError, SessionError, first_line
from edgerec.core.parent import die_with
from edgerec.device_runtime.client import Client, now_ms
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from edgerec.paging.codec import decode_page
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.page import Page, PageRequest

USER = 7
MARK = "edgerec phase "
"""How a line about a phase begins. MNN prints other lines."""
FAULT = "edgerec fault "
EXPOSED = 3
"""Number of exposures before each page-view."""
HALF, STEADY = "half of the use", "steady"
"""The phases after the first order: the two halves of the behaviours and re-ranks."""

STORE, PAGES, VALUES = "store.sqlite", "pages", "values.json"
"""What the folder of the process has: a behaviour store, pages, and values of behaviours."""
SECONDS = 2
"""Seconds between two behaviours on the client's clock. So it sends log rows as often as in an application."""

Mark = Callable[[str], None]


class Clock:
    """A clock that a user's behaviour advances."""

    def __init__(self) -> None:
        self._now = now_ms()

    def __call__(self) -> int:
        """Return milliseconds since 1970."""
        return self._now

    def advance(self) -> None:
        """Let the time until the next behaviour pass."""
        self._now += 1000 * SECONDS


class PagesOfFolder:
    """A cloud whose pages are files. It accepts log rows and forgets them. Implements `Transport`."""

    def __init__(self, folder: Path) -> None:
        self._files = sorted(folder.iterdir())
        self._count = 0

    def page(self, request: PageRequest) -> Page:
        """Return the next page. After the last one, the first one follows, with another ID.

        Each page is complete, so that the client asks for another one only after `refresh`.
        """
        page = decode_page(self._files[self._count % len(self._files)].read_bytes())
        self._count += 1
        return Page(self._count, request.time, page.items, page.served, page.context, complete=True)

    def items(self, version_id: str | None, item_ids: Sequence[int]) -> NoReturn:
        """Refuse the request: every item of this client comes with its page."""
        raise RefusedError("this cloud has only pages")

    def send(self, batch: LogBatch) -> None:
        """Accept a batch."""


def run(begun: Sequence[tuple[str, int]], arguments: Sequence[str]) -> None:
    """Do each phase and report it.

    Args:
        begun: the phases before EdgeRec was imported, with the instant at which each ended.
        arguments: how phases are reported (`time` or `wait`), the bundle, the folder of the process, the number of
            re-ranks after the first order, and the ID of the process that started this one. The folder has a behaviour
            store, pages, and values of behaviours.
    """
    report, bundle, folder, reranks, parent = arguments
    die_with(int(parent))
    marks = list(begun)

    def mark(phase: str) -> None:
        marks.append((phase, time.perf_counter_ns()))
        if report == "wait":
            tell(MARK, phase)
            if not sys.stdin.readline():
                sys.exit("the process that measures has ended")

    try:
        mark("import edgerec")
        _use(Path(bundle), Path(folder), int(reranks), mark)
    except EdgeRecError as error:
        tell(FAULT, first_line(error))
        return
    if report == "time":
        for phase, instant in marks:
            tell(MARK, f"{instant} {phase}")


def tell(kind: str, text: str) -> None:
    """Print a line for the parent process."""
    sys.stdout.write(f"{kind}{text}\n")
    sys.stdout.flush()


def _use(bundle: Path, folder: Path, reranks: int, mark: Mark) -> None:
    half = read_device_half(bundle)
    mark("read and check the bundle")
    model = create_model(half)
    mark("create the sessions")
    with BehaviourStore(folder / STORE, user_id=USER, limits=model.limits) as store:
        mark("open the store")
        clock = Clock()
        client = Client(store, PagesOfFolder(folder / PAGES), model, clock=clock)
        mark("create the client")
        _mark_item_vectors(model, mark)
        _next_page(client)
        mark("first order")
        if reranks:
            values = {name: cycle(rows) for name, rows in json.loads((folder / VALUES).read_text()).items()}
            _record(client, clock, reranks // 2, values)
            mark(HALF)
            _record(client, clock, reranks - reranks // 2, values)
            mark(STEADY)
            client.close()


def _record(client: Client, clock: Clock, reranks: int, values: Mapping[str, Iterator[dict[str, Any]]]) -> None:
    """Record behaviours of the items of the feed: exposures, and page-views that cause `reranks` re-ranks.

    When the user has seen all items, the client gets a new page.
    """
    _next_page(client)
    position = 0
    for _ in range(reranks):
        for _ in range(EXPOSED):
            if position >= len(client.order()):
                _next_page(client)
                position = 0
            item = client.order()[position]
            clock.advance()
            client.exposed(item, next(values[EXPOSURE.name]))
            _run(client)
            position += 1
        client.clicked(item)
        clock.advance()
        client.left_page(item, next(values[PAGE_VIEW.name]))
        _run(client)


def _next_page(client: Client) -> None:
    """Get a new page and order it."""
    client.refresh()
    _run(client)


def _run(client: Client) -> None:
    """Do the work that is due. An application would try again what fails, but here nothing should fail."""
    errors = client.run_pending().errors
    if errors:
        raise SessionError(errors[0])


def _mark_item_vectors(model: DeviceModel, mark: Mark) -> None:
    """Mark the end of the phase in which the first page arrives and its items get vectors."""
    encoder: Any = model.items
    plain = encoder.vectors

    @wraps(plain)
    def vectors(*arguments: Any) -> Any:
        result = plain(*arguments)
        del encoder.vectors
        mark("first page and its item vectors")
        return result

    encoder.vectors = vectors
