"""Folders are copied from a store and uploaded to it. The store here is fsspec's local file system, by URL.

`python -m tests.proof.object_store` does the same against a real object store.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from edgerec.core.errors import FormatError, InputError, MissingExtraError, OutputError
from edgerec.core.urls import open_store, store_errors
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import write_logs
from edgerec.data.remote.fetch import INDEX, _check_name, cached, fetch
from edgerec.data.remote.push import RECORD, push
from tests.command_line import document, edgerec_here, error_line
from tests.data.test_repeated_tasks import content
from tests.synthetic import make_logs

pytest.importorskip("fsspec", reason="needs the extra `remote`")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the URL `url_of` stands for. It has logs, which are also in the folder `logs` beside it."""
    monkeypatch.setenv("EDGEREC_CACHE", str(tmp_path / "cache"))
    write_logs(make_logs(users=6), tmp_path / "logs")
    write_logs(make_logs(users=6), tmp_path / "store" / "logs")
    return tmp_path / "store"


def url_of(folder: Path) -> str:
    return f"file://{folder}"


def samples_command(store: Path) -> list[str]:
    return ["samples", url_of(store / "logs"), "--out", url_of(store / "samples"), "--processes", "1", "--json"]


def test_samples_by_url_equal_local_ones(store: Path, tmp_path: Path) -> None:
    local = tmp_path / "local"
    write_samples(tmp_path / "logs", local, logs_path=url_of(store / "logs"))
    command = samples_command(store)
    assert document(edgerec_here(*command))["samples"] == url_of(store / "samples")
    there = content(store / "samples")
    assert sorted(json.loads(there.pop(RECORD))) == sorted(there)
    assert there == content(local)
    assert "exists already" in error_line(edgerec_here(*command))
    copy = fetch(url_of(store / "samples"), head="samples.json")
    found = content(copy)
    assert found.pop(INDEX)
    assert found == content(local)


def test_equal_files_are_neither_uploaded_nor_downloaded_again(store: Path, tmp_path: Path) -> None:
    url = url_of(store / "copy")
    assert push(tmp_path / "logs", url, head="logs.json") == len(content(tmp_path / "logs"))
    times = {file: file.stat().st_mtime_ns for file in (store / "copy").rglob("*")}
    assert push(tmp_path / "logs", url, head="logs.json", force=True) == 0
    assert {file: file.stat().st_mtime_ns for file in (store / "copy").rglob("*")} == times
    copy = fetch(url, head="logs.json")
    times = {file: file.stat().st_mtime_ns for file in copy.rglob("*.parquet")}
    fetch(url, head="logs.json")
    assert {file: file.stat().st_mtime_ns for file in copy.rglob("*.parquet")} == times
    other = make_logs(users=7)
    write_logs(other, tmp_path / "other")
    push(tmp_path / "other", url, head="logs.json", force=True)
    found = content(fetch(url, head="logs.json"))
    found.pop(INDEX)
    assert found == content(tmp_path / "other")


def test_half_an_upload_is_not_readable(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that is stopped at any operation leaves no head, or a complete folder."""
    from fsspec.implementations.local import LocalFileSystem

    write_logs(make_logs(users=7), tmp_path / "newer")
    url, stops = url_of(store / "copy"), 0
    for stop in range(100):
        push(tmp_path / "logs", url, head="logs.json", force=True)
        calls = iter(range(100))

        def stopping(name: str, at: int = stop, calls: object = calls) -> object:
            real = getattr(LocalFileSystem, name)

            def call(*args: object, **more: object) -> object:
                if next(calls) == at:  # type: ignore[call-overload]
                    raise KeyboardInterrupt
                return real(*args, **more)

            return call

        try:
            with monkeypatch.context() as patch:
                for name in ("put_file", "rm_file", "pipe_file"):
                    patch.setattr(LocalFileSystem, name, stopping(name))
                push(tmp_path / "newer", url, head="logs.json", force=True)
            break
        except KeyboardInterrupt:
            stops += 1
        if (store / "copy" / "logs.json").exists():
            assert stop == 0
            continue
        with pytest.raises(FormatError, match=r"has no logs\.json.*its upload has not ended"):
            fetch(url, head="logs.json")
    assert stops > 3
    found = content(fetch(url, head="logs.json"))
    found.pop(INDEX)
    assert found == content(tmp_path / "newer")


def test_a_folder_that_changes_while_it_is_copied_is_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.local import LocalFileSystem

    real = LocalFileSystem.get_file

    def change(self: LocalFileSystem, source: str, *args: object, **more: object) -> object:
        real(self, source, *args, **more)
        os.utime(source, ns=(0, 0))
        return None

    monkeypatch.setattr(LocalFileSystem, "get_file", change)
    with pytest.raises(FormatError, match="changed while it was copied"):
        fetch(url_of(store / "logs"), head="logs.json")
    assert not (cached(url_of(store / "logs")) / "logs.json").exists()


def test_parts_may_have_any_name_inside_the_folder(store: Path) -> None:
    part = store / "logs" / "events" / "part-00000.parquet"
    part.rename(part.with_name("2026-01-01.parquet"))
    assert (fetch(url_of(store / "logs"), head="logs.json") / "events" / "2026-01-01.parquet").is_file()
    for key in ("../../evil", "events/../../evil", "/evil", "events//part", "a\\..\\b", "a\0b"):
        with pytest.raises(FormatError, match="has an object with the name"):
            _check_name(key, "s3://bucket/logs")


def test_foreign_objects_are_not_overwritten(store: Path, tmp_path: Path) -> None:
    (store / "logs" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"contains mine\.txt, which EdgeRec did not write"):
        push(tmp_path / "logs", url_of(store / "logs"), head="logs.json", force=True)
    assert (store / "logs" / "mine.txt").read_text() == "mine"


def test_faults_are_one_line_without_secrets(store: Path) -> None:
    with pytest.raises(FormatError, match=r"nothing has no logs\.json"):
        fetch(url_of(store / "nothing"), head="logs.json")
    with pytest.raises(InputError, match="check the address"):
        open_store("nonsense://bucket/logs")
    with pytest.raises(MissingExtraError, match="needs adlfs: install it"):
        open_store("abfs://bucket/logs")
    with pytest.raises(InputError, match="the access is denied") as caught, store_errors("s3://b/c"):
        raise PermissionError("key AKIA secret")
    assert "secret" not in str(caught.value)
    line = error_line(edgerec_here("stats", url_of(store / "nothing")))
    assert "has no logs.json" in line


SECRETS = ["s3://KEY:se/cret@bucket/logs", "s3://bucket/logs?token=secret", "s3://K:s?ecret@bucket/a"]


@pytest.mark.parametrize("url", SECRETS)
def test_a_url_with_credentials_is_refused_before_it_is_written_anywhere(store: Path, tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="credentials come from the environment"):
        write_samples(tmp_path / "logs", tmp_path / "samples", logs_path=url)
    assert not (tmp_path / "samples").exists()
    for command in (["stats", url], ["samples", tmp_path / "logs", "--out", url]):
        line = error_line(edgerec_here(*command))
        assert "credentials come from the environment" in line
        assert "cret" not in line.replace("credentials", "")
    assert not (tmp_path / "cache").exists()


def test_a_copy_of_the_output_does_not_get_in_the_way(store: Path, tmp_path: Path) -> None:
    command = samples_command(store)
    document(edgerec_here(*command))
    copy = fetch(url_of(store / "samples"), head="samples.json")
    document(edgerec_here(*command, "--force"))
    shutil.rmtree(store / "samples")
    document(edgerec_here(*command))
    assert (store / "samples" / "samples.json").is_file()
    # Only the copies stay: what was made for an upload is removed.
    kept = {path.name for path in (tmp_path / "cache").iterdir()}
    assert kept == {copy.name, cached(url_of(store / "logs")).name}


def test_samples_whose_upload_failed_are_uploaded_by_resume(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.local import LocalFileSystem

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("the network is down")

    command = samples_command(store)
    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "put_file", refuse)
        failed = edgerec_here(*command)
    assert failed.returncode == 1
    assert "cannot be written (ConnectionError" in failed.stderr
    assert "go on with --resume" in failed.stderr
    assert "go on with --resume" in error_line(edgerec_here(*command))
    with monkeypatch.context() as patch:
        patch.setattr("edgerec.data.samples_shards.encode", refuse)  # All shards are there.
        document(edgerec_here(*command, "--resume"))
    write_samples(store.parent / "logs", store.parent / "local", logs_path=url_of(store / "logs"))
    there = content(store / "samples")
    assert there.pop(RECORD)
    assert there == content(store.parent / "local")


def test_objects_without_a_version_are_always_copied(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.local import LocalFileSystem

    real = LocalFileSystem.info

    def info(self: LocalFileSystem, path: str, **more: object) -> dict[str, object]:
        found = real(self, path, **more)
        return {name: found[name] for name in ("name", "size", "type")}

    monkeypatch.setattr(LocalFileSystem, "info", info)
    head = store / "logs" / "logs.json"
    copy = fetch(url_of(store / "logs"), head="logs.json") / "logs.json"
    changed = head.read_text().replace("{", "[", 1)
    head.write_text(changed)
    fetch(url_of(store / "logs"), head="logs.json")
    assert copy.read_text() == changed


@pytest.mark.skipif(os.name != "posix", reason="needs modes of files")
def test_only_the_owner_can_read_copies(store: Path, tmp_path: Path) -> None:
    copy = fetch(url_of(store / "logs"), head="logs.json")
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o077 for file in copy.rglob("*.parquet")} == {0}


def test_a_folder_may_become_a_file_and_names_may_not_be_both(store: Path) -> None:
    logs = store / "logs"
    (logs / "more").mkdir()
    (logs / "more" / "a").write_text("a")
    fetch(url_of(logs), head="logs.json")
    shutil.rmtree(logs / "more")
    (logs / "more").write_text("now a file")
    assert (fetch(url_of(logs), head="logs.json") / "more").read_text() == "now a file"
    with pytest.raises(FormatError, match="has an object events and objects in a folder of this name"):
        _check_name("events/a", "s3://bucket/logs", {"events", "events/a"})


def test_a_full_disk_is_no_fault_of_the_store(store: Path) -> None:
    from tests.full_disk import files_up_to

    (store / "logs" / "large.bin").write_bytes(b"0" * 300_000)
    with (
        files_up_to(200_000),
        pytest.raises(OutputError, match=r"cannot be copied \(File too large\): free some space"),
    ):
        fetch(url_of(store / "logs"), head="logs.json")
    assert "free some space" in str(_raised(errno.ENOSPC))


def _raised(number: int) -> OutputError:
    with pytest.raises(OutputError) as caught, store_errors("s3://bucket/logs"):
        raise OSError(number, os.strerror(number))
    return caught.value
