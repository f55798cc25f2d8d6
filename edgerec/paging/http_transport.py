"""The transport over HTTP, with Python's `http.client`."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from email.message import Message
from typing import TypeVar
from urllib.parse import quote, urlsplit

from edgerec.core.errors import AnswerError, InputError, TransportError, first_line
from edgerec.core.text import printable
from edgerec.paging.answer_faults import JSON, fault_of
from edgerec.paging.body import MAX_BODY
from edgerec.paging.cloud_time import CloudTime
from edgerec.paging.codec import MEDIA_TYPE, decode_items, decode_page
from edgerec.paging.items import ItemBatch
from edgerec.paging.log_body import encode_batch
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.model_offer import ModelOffer, parse_offer
from edgerec.paging.page import Page, PageRequest
from edgerec.paging.timed_response import bound

T = TypeVar("T")
_BYTES = "application/octet-stream"
_BLOCK = 1 << 16
_COMPRESS_FROM = 1024
"""Log batches of this many bytes are compressed."""
_DROPPED = (http.client.BadStatusLine, ConnectionError)
"""The errors of a kept connection that the server has closed meanwhile."""


class HttpTransport:
    """Reaches the cloud over HTTP. Implements `Transport`.

    The connection is kept open between calls. If the server has closed it, the call is made once more over a new one.
    Threads may share an instance; their calls wait for each other.

    Args:
        url: ``http://host[:port][/prefix]`` or ``https://...``.
        timeout_s: how long connecting, and each wait for bytes, may take in seconds.
        total_s: how long a call may take in total, in seconds; default: twice `timeout_s`.
        headers: more headers for every request, such as a token of the application.
        context: the TLS settings; default: those of Python.

    Raises:
        InputError: `url` has another form, a time is not above 0, or HTTP cannot send a header.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 5.0,
        total_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._tls, self._host, self._port, self._prefix = _parts(url)
        self._timeout, self._total = timeout_s, 2 * timeout_s if total_s is None else total_s
        if not (self._timeout > 0 and self._total > 0):
            raise InputError(f"HttpTransport: times should be above 0; received {timeout_s} and {total_s}")
        self._headers = dict(headers or {})
        _check_headers(self._headers)
        self._context = context
        self._connection: http.client.HTTPConnection | None = None
        self._lock, self._process = threading.Lock(), os.getpid()
        self._time = CloudTime()

    def cloud_time(self) -> int | None:
        """Return the cloud's present time in milliseconds since 1970, or None if it has not answered yet."""
        return self._time.now_ms()

    def ask_time(self) -> None:
        """Ask the cloud for its time, if it is not known yet.

        Raises:
            TransportError: the cloud cannot be reached.
        """
        if self._time.now_ms() is None:
            self._call("GET", "/v1/health", None, JSON)

    def page(self, request: PageRequest) -> Page:
        """Return the next items of a user's feed.

        Raises:
            TransportError: the cloud cannot be reached, or its answer is wrong.
        """
        answer = self._post("/v1/page", json.dumps(asdict(request)).encode(), MEDIA_TYPE)
        return _decoded(decode_page, answer)

    def items(self, version_id: str | None, item_ids: Sequence[int]) -> ItemBatch:
        """Return these items in this order.

        Raises:
            TransportError: the cloud cannot be reached, or its answer is wrong.
        """
        content = json.dumps({"version_id": version_id, "item_ids": [int(item) for item in item_ids]}).encode()
        items = _decoded(decode_items, self._post("/v1/items", content, MEDIA_TYPE))
        if items.item_id.tolist() != list(item_ids):
            raise AnswerError("cloud: /v1/items should return the items that were asked for; it returned others")
        return items

    def send(self, batch: LogBatch) -> None:
        """Deliver a batch of log rows. When it returns, the cloud has stored the batch.

        Raises:
            InputError: a row has a value that cannot be sent.
            TransportError: the cloud cannot be reached, or it refuses the batch.
        """
        content = encode_batch(batch)
        if len(content) < _COMPRESS_FROM:
            answer = self._post("/v1/logs", content, JSON)
        else:
            compressed = gzip.compress(content, compresslevel=5, mtime=0)
            answer = self._post("/v1/logs", compressed, JSON, {"Content-Encoding": "gzip"})
        _check_stored(answer)

    def model(self, user_id: int, store_id: int, version_id: str | None) -> ModelOffer:
        """Return the model version that this user should run. `version_id` is the version that the device has, or None.

        Raises:
            TransportError: the cloud cannot be reached, or its answer is wrong.
        """
        content = json.dumps({"user_id": user_id, "store_id": store_id, "version_id": version_id}).encode()
        return parse_offer(self._post("/v1/model", content, JSON))

    def model_file(self, version_id: str, path: str, start: int, most: int) -> bytes:
        """Return at most `most` bytes of a file of a model version, from the byte `start` on.

        Raises:
            TransportError: the cloud cannot be reached, it does not have the file, or its answer is wrong.
        """
        address = f"/v1/model/{quote(version_id, safe='')}/{quote(path)}"
        headers = {"Range": f"bytes={start}-{start + most - 1}"}
        status, answer = self._request("GET", address, None, _BYTES, headers, (200, 206))
        if status == 200:  # A server without ranges sends the whole file.
            return answer[start : start + most]
        if len(answer) > most:
            raise AnswerError(f"cloud: {address} should answer with at most {most} bytes; received {len(answer)}")
        return answer

    def close(self) -> None:
        """Close the connection. A later call opens a new one."""
        with self._lock:
            self._drop()

    def __enter__(self) -> HttpTransport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post(self, path: str, content: bytes, accept: str, headers: Mapping[str, str] | None = None) -> bytes:
        return self._call("POST", path, content, accept, {"Content-Type": JSON, **(headers or {})})

    def _call(
        self, method: str, path: str, content: bytes | None, accept: str, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Make a request. Return the body of its answer, which has the status 200 and the media type `accept`."""
        return self._request(method, path, content, accept, headers, (200,))[1]

    def _request(
        self,
        method: str,
        path: str,
        content: bytes | None,
        accept: str,
        headers: Mapping[str, str] | None,
        statuses: Sequence[int],
    ) -> tuple[int, bytes]:
        """Make a request. Return the status of its answer, one of `statuses`, and its body of the type `accept`."""
        fields = {**self._headers, "Accept": accept, **(headers or {})}
        self._leave_parent()
        with self._lock:
            deadline = time.monotonic() + self._total
            kept = self._connection is not None
            try:
                try:
                    status, found, answer = self._exchange(method, path, content, fields, deadline)
                except _DROPPED:
                    if not kept:
                        raise
                    self._drop()
                    status, found, answer = self._exchange(method, path, content, fields, deadline)
            except TransportError:
                self._drop()
                raise
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._drop()
                raise TransportError(f"cloud: {_failure(f'{self._host}:{self._port}{path}', error)}") from None
            except BaseException:
                # The answer was not read, so the next call cannot use this connection.
                self._drop()
                raise
        if status not in statuses:
            raise fault_of(path, status, found, answer)
        kind = found.get_content_type()
        if kind != accept:
            raise AnswerError(f"cloud: {path} should answer with {accept}; received {printable(kind)!r:.60}")
        self._time.note(found.get("Date"))
        return status, answer

    def _exchange(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str], deadline: float
    ) -> tuple[int, Message, bytes]:
        """Send a request. Return the status, the headers and the body of the answer."""
        if self._connection is None:
            self._connection = self._connect()
            self._connection.connect()
        bound(self._connection, self._timeout, deadline)
        self._connection.request(method, self._prefix + path, content, dict(headers))
        with self._connection.getresponse() as response:
            answer = self._read(response, path)
        if response.will_close:
            self._drop()
        return response.status, response.headers, answer

    def _leave_parent(self) -> None:
        """In a forked process, forget the connection of the parent. Its lock may be held by a thread that is gone."""
        if self._process != os.getpid():
            self._lock, self._process = threading.Lock(), os.getpid()
            self._drop()

    @staticmethod
    def _read(response: http.client.HTTPResponse, path: str) -> bytes:
        pieces: list[bytes] = []
        length = 0
        while piece := response.read1(_BLOCK):
            length += len(piece)
            if length > MAX_BODY:
                raise TransportError(f"cloud: the answer of {path} should have at most {MAX_BODY} bytes; it has more")
            pieces.append(piece)
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return b"".join(pieces)

    def _connect(self) -> http.client.HTTPConnection:
        timeout = min(self._timeout, self._total)
        if self._tls:
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._context)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _parts(url: str) -> tuple[bool, str, int, str]:
    """Return whether the URL uses TLS, and its host, port and prefix."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except (ValueError, AttributeError):
        raise _wrong_url(url) from None
    other = parts.query or parts.fragment or parts.username is not None or parts.password is not None
    if parts.scheme not in ("http", "https") or not parts.hostname or other or not url.isascii() or port == 0:
        raise _wrong_url(url)
    tls = parts.scheme == "https"
    return tls, parts.hostname, port or (443 if tls else 80), parts.path.rstrip("/")


def _check_headers(headers: Mapping[str, str]) -> None:
    """Check that HTTP can send the headers. An error text has no value, because it may be a token."""
    for name, value in headers.items():
        for what, text in (("name", name), ("value", value)):
            fits = isinstance(text, str) and all(" " <= letter <= "\xff" and letter != "\x7f" for letter in text)
            if not fits or (what == "name" and not text):
                raise InputError(
                    f"HttpTransport: the {what} of the header {name!r:.40} should be one line of Latin-1 text"
                )


def _wrong_url(url: object) -> InputError:
    return InputError(
        f"HttpTransport: the URL should be http://host[:port] or https://host[:port]; received {url!r:.80}"
    )


def _failure(address: str, error: Exception) -> str:
    """Return what went wrong in an exchange with an address."""
    if isinstance(error, http.client.IncompleteRead):
        return f"the answer of {address} is incomplete"
    reason = "it took too long" if isinstance(error, TimeoutError) else printable(first_line(error))
    return f"{address} does not answer ({reason})"


def _decoded(decode: Callable[[bytes], T], answer: bytes) -> T:
    try:
        return decode(answer)
    except TransportError as error:
        raise AnswerError(str(error)) from None


def _check_stored(answer: bytes) -> None:
    """Raise if an answer does not say that a batch is stored. Something between device and cloud may have made it."""
    try:
        stored = json.loads(answer)["stored"]
    except (ValueError, KeyError, TypeError, RecursionError):
        stored = None
    if not isinstance(stored, bool):
        raise AnswerError("cloud: /v1/logs should answer with the field `stored`; it did not: the rows are kept")
