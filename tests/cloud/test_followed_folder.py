"""Tests of what a running server does with a versions folder, without HTTP."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.bundle.layout import GOLDEN
from edgerec.cloud.embedding_source import UnpublishedError
from edgerec.cloud.followed_folder import FolderThread, FollowedFolder
from edgerec.cloud.log_writer import LogWriter
from edgerec.cloud.serve import admit_version
from edgerec.cloud.service import FeedService
from edgerec.cloud.start import open_service
from edgerec.cloud.stored_columns import StoredColumns, log_specs
from edgerec.cloud.version_folder import publish, retire, set_share
from edgerec.cloud.version_list import LIST
from edgerec.cloud.versions import UnknownVersionError, open_version
from edgerec.core.errors import FormatError, LogsError, OutputError, ResourceError, StoreError
from edgerec.features.spec import FeatureSpec
from edgerec.paging.page import PageRequest
from tests.cloud.batches import batches_of
from tests.cloud.bundles import table, write_bundle, write_whole
from tests.kv.tables import expected
from tests.synthetic import SPEC_WITH_RELATIONS, make_logs_with_context

USERS = range(300)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    publish(write_whole(tmp_path / "first", "v1"), tmp_path / "versions")
    return tmp_path / "versions"


def opened(logs: Path, folder: Path) -> tuple[FeedService, FollowedFolder]:
    followed = FollowedFolder(folder)
    return open_service(logs, followed=followed), followed


def other_spec(**feature: Any) -> FeatureSpec:
    document = SPEC_WITH_RELATIONS.model_dump(mode="json", exclude_none=True)
    document["item"].append(feature)
    return FeatureSpec.model_validate(document)


def test_versions_come_and_go(logs: Path, folder: Path, tmp_path: Path) -> None:
    service, followed = opened(logs, folder)
    assert service.versions.ids == ["v1"]
    assert not followed.changed()
    publish(write_whole(tmp_path / "second", "version-2"), folder, share=0.3)
    assert followed.changed()
    assert followed.update(service.versions, service.admit)
    assert service.versions.ids == ["v1", "version-2"]
    page = service.page(PageRequest(3, 1, "version-2", 20))
    column, shops = page.items.embeddings["shop"], page.items.columns["shop"]
    np.testing.assert_array_equal(column.rows[column.index], expected(table("version-2"), list(shops)))
    in_flight = service.versions.get("v1")
    retire("v1", folder, delete=True)
    followed.update(service.versions, service.admit)
    with pytest.raises(UnknownVersionError, match="'v1' is not served; the served versions are: version-2"):
        service.page(PageRequest(3, 1, "v1", 20))
    # A request that began before still has its version, although the files are gone.
    assert in_flight.tables is not None
    keys = np.arange(3, 15)
    np.testing.assert_array_equal(in_flight.tables.get_many({"shop": keys})["shop"].rows, table("v1").values)


def test_a_user_is_offered_the_newest_version_whose_share_has_the_user(
    logs: Path, folder: Path, tmp_path: Path
) -> None:
    publish(write_whole(tmp_path / "second", "version-2"), folder, share=0.3)
    service, followed = opened(logs, folder)

    def offers() -> dict[int, str | None]:
        found = {user: service.versions.offered(user) for user in USERS}
        return {user: version and version.version_id for user, version in found.items()}

    first = offers()
    chosen = {user for user, version in first.items() if version == "version-2"}
    assert 60 < len(chosen) < 120
    assert set(first.values()) == {"v1", "version-2"}
    set_share("version-2", 0.6, folder)
    followed.update(service.versions, service.admit)
    assert chosen < {user for user, version in offers().items() if version == "version-2"}
    set_share("version-2", 0.0, folder)
    followed.update(service.versions, service.admit)
    assert set(offers().values()) == {"v1"}
    set_share("v1", 0.0, folder)
    followed.update(service.versions, service.admit)
    assert set(offers().values()) == {None}
    assert service.versions.ids == ["v1", "version-2"]  # Devices that run them are served.


def test_a_version_is_opened_once(logs: Path, folder: Path, tmp_path: Path) -> None:
    service, followed = opened(logs, folder)
    before = service.versions.get("v1")
    publish(write_whole(tmp_path / "second", "version-2"), folder)
    followed.update(service.versions, service.admit)
    assert service.versions.get("v1") is before


def damages(bundle: Path, count: int) -> list[tuple[Path, int]]:
    """Return places in the files of a bundle, spread over all of them."""
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    rng = np.random.default_rng(7)
    return [
        (file, int(rng.integers(file.stat().st_size)))
        for number in range(count)
        for file in [files[number % len(files)]]
    ]


def test_a_bundle_that_is_damaged_after_it_was_published_is_refused(
    logs: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    service, _ = opened(logs, folder)
    entry = publish(write_whole(tmp_path / "second", "version-2"), folder)
    bundle = folder / entry.folder
    good = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    for path, offset in damages(bundle, 50):
        path.write_bytes(good[path][:offset] + bytes([good[path][offset] ^ 64]) + good[path][offset + 1 :])
        FollowedFolder(folder).update(service.versions, service.admit)
        if path.parent.name == GOLDEN:  # No server reads it.
            assert service.versions.ids == ["v1", "version-2"]
        else:
            assert service.versions.ids == ["v1"]
            assert list(service.versions.refused) == ["version-2"]
            assert str(tmp_path) not in service.versions.refused["version-2"]
            lines = capfd.readouterr().err.splitlines()
            assert len(lines) == 1
            assert lines[0].startswith("edgerec: versions: version version-2 is not served: ")
        path.write_bytes(good[path])
    FollowedFolder(folder).update(service.versions, service.admit)
    assert service.versions.refused == {}


def test_a_refused_version_is_opened_after_it_was_published_again(
    logs: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    service, followed = opened(logs, folder)
    bundle = write_whole(tmp_path / "second", "version-2")
    entry = publish(bundle, folder)
    (folder / entry.folder / "device" / "crban.mnn").unlink()
    for _ in range(3):
        followed.update(service.versions, service.admit)
    assert service.versions.ids == ["v1"]
    assert capfd.readouterr().err.count("\n") == 1
    retire("version-2", folder)
    followed.update(service.versions, service.admit)
    assert service.versions.refused == {}
    publish(bundle, folder)
    followed.update(service.versions, service.admit)
    assert service.versions.ids == ["v1", "version-2"]


def test_a_fault_that_may_pass_is_tried_again(logs: Path, folder: Path, tmp_path: Path) -> None:
    faults: list[Exception] = [ResourceError("bundle: not enough memory"), OSError(24, "Too many open files")]

    def open_bundle(bundle: Path) -> Any:
        from edgerec.cloud.versions import open_version

        if bundle.name.startswith("version-2") and faults:
            raise faults.pop()
        return open_version(bundle)

    followed = FollowedFolder(folder, open_bundle=open_bundle, again_s=0)
    service = open_service(logs, followed=followed)
    publish(write_whole(tmp_path / "second", "version-2"), folder)
    for error in ("Too many open files", "not enough memory"):
        assert followed.changed()
        followed.update(service.versions, service.admit)
        assert error in service.versions.refused["version-2"]
    assert followed.changed()
    followed.update(service.versions, service.admit)
    assert service.versions.ids == ["v1", "version-2"]
    assert not followed.changed()


def test_a_store_that_does_not_answer_is_asked_again(
    logs: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    faults: list[Exception] = [
        UnpublishedError("embedding store 10.0.0.5:6379: version v1 is not published"),
        StoreError("embedding store 10.0.0.5:6379: Error 111 connecting to 10.0.0.5:6379"),
        StoreError("embedding store 10.0.0.5:6379: Error 111 connecting to 10.0.0.5:6379"),
    ]

    def open_bundle(bundle: Path) -> Any:
        if faults:
            raise faults.pop()
        return open_version(bundle)

    followed = FollowedFolder(folder, open_bundle=open_bundle, again_s=0)
    service = open_service(logs, followed=followed)
    assert service.versions.refused == {"v1": "its embeddings cannot be read now; it is tried again"}
    followed.update(service.versions, service.admit)
    followed.update(service.versions, service.admit)
    error = "its embeddings are not published, or not all of them; it is tried again"
    assert service.versions.refused == {"v1": error}
    assert capfd.readouterr().err.count("10.0.0.5:6379: ") == 2  # Each reason is one line of the log.
    assert followed.changed()
    assert followed.update(service.versions, service.admit)
    assert (service.versions.ids, service.versions.refused) == (["v1"], {})
    assert not followed.changed()


def test_a_version_that_does_not_fit_is_refused(logs: Path, folder: Path, tmp_path: Path) -> None:
    misfits = {
        "v3": other_spec(name="brand", source="brand", origin="catalogue", kind="raw"),
        "v2": other_spec(
            name="views", source="seen", origin="served", kind="raw", as_of={"count": "page_view", "by": ["brand"]}
        ),
        "v4": other_spec(
            name="views", source="views", origin="served", kind="raw", as_of={"count": "page_view", "by": ["item_id"]}
        ),
        "v5": other_spec(name="price", source="price", origin="served", kind="raw"),
    }
    service, followed = opened(logs, folder)
    with LogWriter(tmp_path / "out", [version.spec for version in service.versions], service.catalogue.items) as writer:

        def admit(version: Any) -> None:
            service.admit(version)
            writer.admit(version.spec)

        for name, spec in misfits.items():
            publish(write_whole(tmp_path / name, name, spec), folder)
        followed.update(service.versions, admit)
        assert service.versions.ids == ["v1"]
        refused = service.versions.refused
        assert "has no column 'brand', which feature brand reads" in refused["v3"]
        assert "as-of column 'views' is not counted by this server: restart it" in refused["v4"]
        assert "needs the column events.price, which the logs of this server do not have" in refused["v5"]
        # A server that starts with them accepts what it can, and so do its logs in a new folder.
        fresh, _ = opened(logs, folder)
        assert fresh.versions.ids == ["v1", "v4", "v5"]
        assert list(fresh.versions.refused) == ["v3", "v2"]
        assert "has no column 'brand', which as_of of the specification counts by" in fresh.versions.refused["v2"]
        with pytest.raises(LogsError, match="has no column 'brand', which as_of"):
            publish(tmp_path / "v2", tmp_path / "checked", catalogue=logs)


def test_a_version_that_was_refused_does_not_stop_the_next_start(logs: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    batches = batches_of(make_logs_with_context(users=6, requests=3))

    @contextlib.contextmanager
    def started() -> Iterator[tuple[FeedService, FollowedFolder, LogWriter]]:
        """Start as `edgerec serve` does, and store a batch."""
        followed = FollowedFolder(folder)
        stored = StoredColumns(out) if out.exists() else None
        service = open_service(logs, followed=followed, admit=stored.check if stored else lambda version: None)
        with LogWriter(out, log_specs(service.versions, followed, stored), service.catalogue.items) as writer:
            assert writer.submit(next(batches)).result(5)["stored"]
            yield service, followed, writer

    publish(
        write_whole(
            tmp_path / "priced", "priced", other_spec(name="price", source="price", origin="served", kind="raw")
        ),
        folder,
    )
    with started() as (service, _, _):
        assert service.versions.ids == ["v1", "priced"]
    retire("priced", folder)
    weighed = other_spec(name="weight", source="weight", origin="served", kind="raw")
    with started() as (service, followed, writer):  # Its column is in the files.
        publish(write_whole(tmp_path / "weighed", "weighed", weighed), folder)
        followed.update(service.versions, partial(admit_version, service, writer))
        assert service.versions.ids == ["v1"]
        refused = service.versions.refused
        assert "needs the column events.weight, which the logs of this server do not have" in refused["weighed"]
    with started() as (service, _, _):
        assert (service.versions.ids, service.versions.refused) == (["v1"], refused)
    retire("weighed", folder)
    with started() as (service, _, _):
        assert (service.versions.ids, service.versions.refused) == (["v1"], {})
    publish(tmp_path / "priced", folder)
    with started() as (service, _, _):
        assert (service.versions.ids, service.versions.refused) == (["v1", "priced"], {})


def test_logs_keep_the_columns_of_retired_versions(logs: Path, folder: Path, tmp_path: Path) -> None:
    spec = other_spec(name="price", source="price", origin="served", kind="raw")
    publish(write_whole(tmp_path / "v5", "v5", spec), folder)
    for state in ("live", "retired", "deleted"):
        service, followed = opened(logs, folder)
        specs = [version.spec for version in service.versions] + followed.retired_specs()
        assert (spec in specs) == (state != "deleted")
        if state == "live":
            retire("v5", folder)
        elif state == "retired":
            retire("v5", folder, delete=True)


def test_a_list_that_cannot_be_read_changes_nothing(
    logs: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    service, followed = opened(logs, folder)
    content = (folder / LIST).read_bytes()
    for wrong in (b"{", b'{"format": 9}', None):
        if wrong is None:
            (folder / LIST).unlink()
        else:
            (folder / LIST).write_bytes(wrong)
        for _ in range(3):
            assert followed.changed()
            assert not followed.update(service.versions, service.admit)
        assert service.versions.ids == ["v1"]
        assert capfd.readouterr().err.count("what is served stays as it is\n") == 1
    (folder / LIST).write_bytes(content)
    retire("v1", folder)
    followed.update(service.versions, service.admit)
    assert service.versions.ids == []
    shutil.rmtree(folder)
    assert not followed.update(service.versions, service.admit)


def test_an_entry_for_another_version_is_refused(logs: Path, folder: Path) -> None:
    document = json.loads((folder / LIST).read_text())
    document["versions"][0]["version_id"] = "v9"
    (folder / LIST).write_text(json.dumps(document))
    service, _ = opened(logs, folder)
    assert service.versions.ids == []
    assert "should have version v9; received v1" in service.versions.refused["v9"]


def test_a_version_that_is_also_given_as_a_bundle_is_served_once(logs: Path, folder: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "given", "v1")
    service = open_service(logs, [bundle], followed=FollowedFolder(folder))
    assert service.versions.ids == ["v1"]
    assert "version v1 is also given as a BUNDLE: give it once" in service.versions.refused["v1"]
    assert service.versions.offered(1) is None


def test_an_empty_folder_has_no_versions_and_another_one_is_refused(logs: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    service, followed = opened(logs, tmp_path / "empty")
    assert service.versions.ids == []
    publish(write_whole(tmp_path / "first", "v1"), tmp_path / "empty")
    followed.update(service.versions, service.admit)
    assert service.versions.ids == ["v1"]
    with pytest.raises(FormatError, match=r"has no versions\.json"):
        FollowedFolder(logs)


def test_a_bug_in_opening_a_version_ends_nothing(
    logs: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service, followed = opened(logs, folder)

    def admit(version: Any) -> None:
        if version.version_id == "version-2":
            raise ZeroDivisionError

    with FolderThread(followed, service.versions, admit, poll_s=0.01):
        publish(write_whole(tmp_path / "second", "version-2"), folder)
        publish(write_whole(tmp_path / "third", "third"), folder)
        while service.versions.ids != ["v1", "third"]:
            time.sleep(0.01)
    assert service.versions.refused == {"version-2": "this is a fault of the server (ZeroDivisionError)"}
    assert "Traceback" in caplog.text


def test_the_log_writer_refuses_other_columns(logs: Path, tmp_path: Path) -> None:
    service = open_service(logs)
    spec = next(iter(service.versions)).spec
    with LogWriter(tmp_path / "out", [spec], service.catalogue.items) as writer:
        writer.admit(spec)
        with pytest.raises(OutputError, match=r"needs the column events\.price"):
            writer.admit(other_spec(name="price", source="price", origin="served", kind="raw"))
