"""Tests with servers that answer slowly or wrongly, and with invalid addresses and names."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.errors import EdgeRecError, FormatError, InputError, StoreError
from tests.kv.stored import bucket_with, catalogue_key, field
from tests.kv.test_redis import version
from tests.redis_server import need_redis

if TYPE_CHECKING:
    from edgerec.kv.redis import RedisStore


@contextlib.contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run a local server that calls `answer` with each connection, and yield its address."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(timeout=1200)


@pytest.mark.parametrize("part", ["the answer", "the greeting"])
def test_an_answer_that_arrives_byte_by_byte_times_out(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """The time-out applies to the complete answer, even if each byte arrives soon after the one before."""
    need_redis()
    from edgerec.kv import redis_client
    from edgerec.kv.redis import RedisStore

    monkeypatch.setattr(redis_client, "ANSWER_SECONDS", 0.5)

    def trickle(connection: socket.socket) -> None:
        for index in range(600):
            if part == "the answer" and index == 0:
                _greet(connection)
            connection.sendall(b"$1000000\r\n"[index : index + 1] or b"x")
            threading.Event().wait(0.05)

    with server(trickle) as url:
        store = RedisStore(url)
        # The server closes the connection after 30 s. Without the time-out, that would be another error.
        with pytest.raises(StoreError, match=r"no complete answer within 0.5 s") as caught:
            store.current()
        assert "\n" not in str(caught.value)
        store.close()


def _greet(connection: socket.socket) -> None:
    """Read the client's greeting and accept it."""
    for _ in range(connection.recv(1 << 16).count(b"SETINFO")):
        connection.sendall(b"+OK\r\n")


def replies(content: bytes) -> Callable[[socket.socket], None]:
    """Return a handler that accepts the greeting and then answers `content` to every request."""

    def answer(connection: socket.socket) -> None:
        while received := connection.recv(1 << 16):
            setup = received.count(b"SETINFO")
            connection.sendall(b"+OK\r\n" * setup or content)

    return answer


def _call_all(url: str) -> list[str]:
    """Call each method of a store at `url` and return the error texts."""
    from edgerec.kv.redis import RedisStore

    store = RedisStore(url)
    errors = []
    calls: list[Callable[[], Any]] = [
        store.versions,
        store.current,
        store.open,
        lambda: store.open("v1"),
        lambda: store.switch("v1"),
        lambda: store.remove("v1"),
        store.server_memory,
    ]
    for call in calls:
        try:
            call()
        except EdgeRecError as error:
            errors.append(str(error))
            assert "\n" not in errors[-1]
    store.close()
    return errors


def test_a_deeply_nested_answer_raises_an_edgerec_error() -> None:
    need_redis()
    with server(replies(b"*1\r\n" * 100_000 + b":1\r\n")) as url:
        assert len(_call_all(url)) == 7


@settings(max_examples=40, deadline=None)
@given(
    content=st.one_of(
        st.sampled_from(
            [b"$abc\r\n", b"*x\r\n", b":1\r\n", b"*-1\r\n", b"*2\r\n:1\r\n:2\r\n", b"+\xff\r\n", b"$2\r\n\xff\xfe\r\n"]
        ),
        st.binary(max_size=40).map(lambda content: content + b"\r\n"),
    )
)
def test_any_invalid_answer_raises_an_edgerec_error(content: bytes) -> None:
    need_redis()
    from edgerec.kv import redis_client

    with pytest.MonkeyPatch.context() as patch, server(replies(content)) as url:
        patch.setattr(redis_client, "ANSWER_SECONDS", 0.1)
        _call_all(url)


@pytest.mark.parametrize(
    "query", ["foo=1", "decode_responses=1", "socket_timeout=9999", "encoding=utf-16", "retry_on_timeout=1"]
)
def test_unknown_options_of_an_address_are_refused(redis_url: str, query: str) -> None:
    from edgerec.kv.redis import RedisStore

    with pytest.raises(InputError, match=rf"option {query.split('=')[0]!r}; allowed are .*db") as caught:
        RedisStore(f"{redis_url}?{query}&password=secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [None, 5, b"redis://localhost", "redis://h?db=x", "redis://h/x", "redis://h:99999", "redis://h?ssl_keyfile=k"],
)
def test_a_malformed_address_is_refused(redis_url: str, url: Any) -> None:
    from edgerec.kv.redis import RedisStore

    with pytest.raises(InputError, match="address should be redis://host:port"):
        RedisStore(url)


@pytest.mark.parametrize(
    "url", ["redis://\ud800", "redis://" + "a" * 300, "unix://a\0b", "rediss://h?ssl_ca_certs=/no"]
)
def test_an_unusable_address_raises_an_error_of_one_line(redis_url: str, url: str) -> None:
    from edgerec.kv.redis import RedisStore

    with pytest.raises((InputError, StoreError)) as caught:
        RedisStore(url).versions()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["\ud800", None, 5, b"v1"])
def test_names_that_are_not_utf8_text_are_refused(store: RedisStore, redis_url: str, name: Any) -> None:
    from edgerec.kv.redis import RedisStore

    for call in (store.switch, store.remove, *((store.open,) if name is not None else ())):
        with pytest.raises(InputError, match="a version should be a name in UTF-8; received"):
            call(name)
    with pytest.raises(InputError, match="a prefix should be a name in UTF-8; received"):
        RedisStore(redis_url, prefix=name)


def test_version_ids_that_edgerec_did_not_write_are_refused(store: RedisStore, tmp_path: Path) -> None:
    with store.connected() as client:
        client.hset(catalogue_key(store, "versions"), b"\xff\xfe", b"{}")
        client.set(catalogue_key(store, "current"), b"\xff\xfe")
    for call in (store.versions, store.current, store.open):
        with pytest.raises(FormatError, match=r"b'\\xff\\xfe' is not a version id of EdgeRec"):
            call()
    # Versions of EdgeRec can still be published and opened.
    store.publish(version(tmp_path, "v1"))
    assert store.open().version_id == "v1"


def test_a_deleted_row_is_reported_as_damage(store: RedisStore, tmp_path: Path) -> None:
    opened = store.publish(version(tmp_path, "v1"))
    with store.connected() as client:
        redis_key = bucket_with(store, "brand", 7)
        rows = client.hlen(redis_key) - 1
        row = client.hget(redis_key, field(7))
        client.hdel(redis_key, field(7))
    page = np.arange(-50, 50)
    for keys in (page, page[page != 7]):
        with pytest.raises(
            StoreError, match=rf"brand of version v1 has {rows - 1} instead of {rows} rows: .*publish this one again"
        ):
            opened.get_many({"brand": keys})
    assert opened.get_many({"shop": np.array([-1])})["shop"].unknown == 1
    with store.connected() as client:
        client.hset(redis_key, field(7), row)
        client.hset(redis_key, field(-7), row)
    with pytest.raises(StoreError, match=rf"brand of version v1 has {rows + 1} instead of {rows} rows"):
        opened.get_many({"brand": page})


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("of", [b"unknown", field(7)])
def test_a_row_with_nan_or_infinity_is_reported_as_damage(
    store: RedisStore, tmp_path: Path, dtype: Any, bad: float, of: bytes
) -> None:
    opened = store.publish(version(tmp_path, "v1", dtype=dtype))
    with store.connected() as client:
        client.hset(bucket_with(store, "brand", 7), of, np.array([0, 0, 0, 1, bad], dtype).tobytes())
    with pytest.raises(FormatError, match=r"brand of version v1 .*NaN or infinite.*publish this one again"):
        opened.get_many({"brand": np.arange(-50, 8)})
