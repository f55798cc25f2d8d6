"""Tests of the commands that change a versions folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from pathlib import Path

import pytest

from edgerec.bundle.manifest_file import sign_bundle
from edgerec.bundle.signing import SigningKey
from edgerec.bundle.whole import check_whole
from edgerec.cloud import version_list
from edgerec.cloud.version_folder import publish, retire, set_share
from edgerec.cloud.version_list import LIST, PREVIOUS, changing, read_versions, unlisted
from edgerec.core.errors import (
    EdgeRecError,
    FormatError,
    InputError,
    IntegrityError,
    LogsError,
    OutputError,
    SignatureError,
)
from edgerec.core.leftovers import lock
from edgerec.features.spec import FeatureSpec
from tests.bundle.restamp import restamp
from tests.cloud.bundles import table, write_whole
from tests.cloud.killed import kill_each_step
from tests.command_line import edgerec_here
from tests.full_disk import files_up_to
from tests.kv.tables import write_cloud
from tests.synthetic import SPEC_WITH_RELATIONS


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_whole(tmp_path / "bundle", "v1")


@pytest.fixture(scope="module")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "versions"


def states(folder: Path) -> dict[str, tuple[str, float]]:
    return {entry.version_id: (entry.state, entry.share) for entry in read_versions(folder).versions}


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_published_bundle_is_a_complete_copy(bundle: Path, folder: Path) -> None:
    (bundle / "notes.txt").write_text("mine")
    entry = publish(bundle, folder, share=0.25)
    assert states(folder) == {"v1": ("live", 0.25)}
    assert entry.folder.startswith("v1-")
    copy = files(folder / entry.folder)
    assert copy == {name: content for name, content in files(bundle).items() if name != "notes.txt"}
    assert sorted(path.name for path in folder.iterdir()) == [".versions.lock", entry.folder, LIST]
    assert json.loads((folder / LIST).read_text())["format"] == 1


def test_versions_are_in_the_order_of_publication(bundle: Path, folder: Path, tmp_path: Path) -> None:
    publish(bundle, folder)
    publish(write_whole(tmp_path / "b", "version-2"), folder)
    assert list(states(folder)) == ["v1", "version-2"]
    retired = retire("v1", folder)
    assert retired.retired_at is not None
    assert states(folder)["v1"] == ("retired", 1.0)
    again = publish(bundle, folder)  # Its files are still there.
    assert list(states(folder)) == ["version-2", "v1"]
    assert (again.state, again.retired_at) == ("live", None)
    set_share("v1", 0.5, folder)
    assert states(folder) == {"version-2": ("live", 1.0), "v1": ("live", 0.5)}
    retire("v1", folder, delete=True)
    assert list(states(folder)) == ["version-2"]
    assert not (folder / again.folder).exists()
    assert unlisted(folder) == []


def test_a_version_that_is_published_again_keeps_its_share(bundle: Path, folder: Path, tmp_path: Path) -> None:
    assert "keeps its last share" not in edgerec_here("versions", "publish", bundle, "--to", folder).stderr
    publish(bundle, tmp_path / "two", share=0.05)
    retire("v1", tmp_path / "two")
    done = edgerec_here("versions", "publish", bundle, "--to", tmp_path / "two")
    assert "edgerec: version v1 keeps its last share, 0.05; --share sets another one" in done.stderr.splitlines()
    assert states(tmp_path / "two") == {"v1": ("live", 0.05)}
    publish(write_whole(tmp_path / "signed", "v1", note="b"), tmp_path / "two", replace=True)
    assert states(tmp_path / "two") == {"v1": ("live", 0.05)}
    retire("v1", tmp_path / "two")
    publish(bundle, tmp_path / "two", share=1)
    assert states(tmp_path / "two") == {"v1": ("live", 1.0)}


def test_users_without_an_offer_are_named(bundle: Path, folder: Path, tmp_path: Path) -> None:
    def said(*arguments: str | Path) -> str:
        done = edgerec_here("versions", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert said("publish", bundle, "--to", folder) == ""
    other = write_whole(tmp_path / "b", "version-2")
    assert said("publish", other, "--to", folder, "--share", "0.5") == ""
    assert said("share", "v1", "0.2", "--in", folder) == "edgerec: now 60 % of the users are offered a version\n"
    assert said("retire", "version-2", "--in", folder) == "edgerec: now 20 % of the users are offered a version\n"
    assert said("retire", "v1", "--in", folder, "--delete") == "edgerec: now 0 % of the users are offered a version\n"


def test_the_list_fits_a_terminal(folder: Path, tmp_path: Path) -> None:
    publish(write_whole(tmp_path / "b", "crban-2025-03-01-a1b2"), folder)
    lines = edgerec_here("versions", "list", folder).stdout.splitlines()
    assert lines[0].split() == ["version_id", "state", "share", "published_at"]
    retire("crban-2025-03-01-a1b2", folder)
    lines = edgerec_here("versions", "list", folder).stdout.splitlines()
    assert max(map(len, map(str.rstrip, lines))) <= 80
    assert lines[0].split()[-1] == "retired_at"
    assert re.fullmatch(r"crban-2025-03-01-a1b2 +retired +1 +20\d\d-\d\d-\d\d +20\d\d-\d\d-\d\d", lines[1].rstrip())


@pytest.mark.parametrize("fault", [None, b"[]", b'{"schema": 1}', b"{"])
def test_a_lost_list_can_be_repaired(fault: bytes | None, bundle: Path, folder: Path, tmp_path: Path) -> None:
    publish(bundle, folder, share=0.5)
    assert not (folder / PREVIOUS).exists()
    publish(write_whole(tmp_path / "b", "version-2"), folder)
    retire("v1", folder)
    (folder / LIST).unlink() if fault is None else (folder / LIST).write_bytes(fault)
    with pytest.raises(FormatError, match=r"versions\.json\.previous is the list before the last change: copy it to"):
        set_share("v1", 1, folder)
    shutil.copy(folder / PREVIOUS, folder / LIST)
    assert states(folder) == {"v1": ("live", 0.5), "version-2": ("live", 1.0)}
    (folder / PREVIOUS).unlink()
    (folder / LIST).write_bytes(b"{")
    with pytest.raises(FormatError, match=r"versions\.json is not valid JSON") as raised:
        read_versions(folder)
    assert "previous" not in str(raised.value)


def test_a_version_that_is_there_already(bundle: Path, folder: Path, tmp_path: Path) -> None:
    first = publish(bundle, folder)
    with pytest.raises(OutputError, match="with the same files; there is nothing to replace: change its share with"):
        publish(bundle, folder, replace=True)
    other = write_whole(tmp_path / "other", "v1", note="b")
    with pytest.raises(OutputError, match="v1 is live already, with another manifest: give --replace, or retire it"):
        publish(other, folder)
    second = publish(other, folder, replace=True)
    assert first.folder != second.folder
    assert states(folder) == {"v1": ("live", 1.0)}
    assert not (folder / first.folder).exists()
    assert check_whole(folder / second.folder).config == {"note": "b"}


def test_a_version_keeps_its_models_and_tables(bundle: Path, folder: Path, tmp_path: Path) -> None:
    publish(bundle, folder)
    retire("v1", folder)
    other = shutil.copytree(bundle, tmp_path / "other")
    shutil.rmtree(other / "cloud")
    document = SPEC_WITH_RELATIONS.model_dump(mode="json", exclude_none=True)
    write_cloud(other / "cloud", {"shop": table("seed")}, version_id="v1", spec=document)
    restamp(other)
    with pytest.raises(OutputError, match="v1 was published with other models or tables, and devices may have enc"):
        publish(other, folder)
    assert states(folder) == {"v1": ("retired", 1.0)}
    retire("v1", folder, delete=True)
    publish(other, folder)


def test_a_bundle_that_was_signed_later_is_copied_again(bundle: Path, folder: Path, signing_key: SigningKey) -> None:
    entry = publish(bundle, folder)
    retire("v1", folder)
    sign_bundle(bundle, signing_key)
    assert publish(bundle, folder, public_key=signing_key.public).folder == entry.folder
    check_whole(folder / entry.folder, public_key=signing_key.public)


def test_a_bundle_without_the_signature_is_refused(bundle: Path, folder: Path, signing_key: SigningKey) -> None:
    with pytest.raises(SignatureError, match="is not signed, but a signature is required"):
        publish(bundle, folder, public_key=signing_key.public)
    assert not folder.exists()


def test_a_damaged_copy_is_repaired(bundle: Path, folder: Path) -> None:
    entry = publish(bundle, folder)
    retire("v1", folder)
    (folder / entry.folder / "device" / "crban.mnn").write_bytes(b"damage")
    publish(bundle, folder)
    check_whole(folder / entry.folder)


def test_a_damaged_bundle_is_refused(bundle: Path, folder: Path) -> None:
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        content = path.read_bytes()
        for offset in (0, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :])
            with pytest.raises(FormatError):
                publish(bundle, folder)
        path.unlink()
        with pytest.raises(FormatError):
            publish(bundle, folder)
        path.write_bytes(content)
    assert not folder.exists()


def test_parts_of_other_versions_are_refused(bundle: Path, folder: Path, tmp_path: Path) -> None:
    other = write_whole(tmp_path / "other", "version-2")
    for half in ("device", "cloud"):
        mixed = shutil.copytree(bundle, tmp_path / half)
        shutil.rmtree(mixed / half)
        shutil.copytree(other / half, mixed / half)
        restamp(mixed)
        with pytest.raises(FormatError, match=f"{half} should belong to version v1 .* received .* version version-2"):
            publish(mixed, folder)
    shutil.rmtree(bundle / "device")
    with pytest.raises(FormatError, match="is missing or a link"):
        publish(bundle, folder)


def test_a_bundle_that_does_not_fit_the_catalogue_is_refused(logs: Path, folder: Path, tmp_path: Path) -> None:
    document = SPEC_WITH_RELATIONS.model_dump(mode="json", exclude_none=True)
    document["item"].append({"name": "brand", "source": "brand", "origin": "catalogue", "kind": "raw"})
    bundle = write_whole(tmp_path / "bundle", "v3", FeatureSpec.model_validate(document))
    with pytest.raises(LogsError, match="table 'items' has no column 'brand', which feature brand reads"):
        publish(bundle, folder, catalogue=logs)
    publish(write_whole(tmp_path / "fits", "v1"), folder, catalogue=logs)


@pytest.mark.parametrize("version_id", ["a/b", "..", "", "-v", "a b", "v" * 201, "ä", "v1\n"])
def test_a_version_id_that_cannot_be_in_a_url_is_refused(version_id: str, folder: Path, tmp_path: Path) -> None:
    try:
        bundle = write_whole(tmp_path / "bundle", version_id)
    except ValueError:
        return  # No manifest can have this version ID.
    with pytest.raises(InputError, match="the version ID should have 1 to 200 letters"):
        publish(bundle, folder)


@pytest.mark.parametrize("share", [-0.1, 1.01, float("nan"), float("inf")])
def test_a_share_is_from_0_to_1(share: float, bundle: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="the share should be a number from 0 to 1; received"):
        publish(bundle, folder, share=share)
    publish(bundle, folder)
    with pytest.raises(InputError, match="the share should be a number from 0 to 1; received"):
        set_share("v1", share, folder)


def test_wrong_folders_and_versions_are_one_line(bundle: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"cannot be read .No such file or directory.: give a folder that"):
        retire("v1", folder)
    with pytest.raises(FormatError, match=r"has no versions\.json; it is a folder of the kind 'bundle'"):
        publish(write_whole(tmp_path / "other", "v2"), bundle)
    assert not (bundle / ".versions.lock").exists()
    with pytest.raises(FormatError, match=r"that EdgeRec wrote, an empty folder, or one that does not exist yet$"):
        publish(write_whole(tmp_path / "third", "v2"), bundle)
    with pytest.raises(
        OutputError, match=r"manifest\.json is a file: give a folder, or a path that does not exist yet"
    ):
        publish(write_whole(tmp_path / "fourth", "v2"), tmp_path / "third" / "manifest.json")
    with pytest.raises(OutputError, match="is inside"):
        publish(bundle, bundle / "versions")
    publish(bundle, folder)
    with pytest.raises(InputError, match="has no version 'v2'; its versions: v1"):
        retire("v2", folder)
    retire("v1", folder)
    with pytest.raises(InputError, match=r"v1 is retired already, since 20.*: --delete removes its files"):
        retire("v1", folder)
    with pytest.raises(InputError, match="v1 is retired: publish it again"):
        set_share("v1", 0.5, folder)


LISTS = {
    "is not valid JSON": b"{",
    "has format 2, but this version of EdgeRec reads format 1": b'{"format": 2}',
    "each version_id should occur once": "twice",
    "share": {"share": 1.5},
    "folder": {"folder": "../../etc"},
    "version_id": {"version_id": "../x"},
    "state": {"state": "asleep"},
}


@pytest.mark.parametrize("fault", LISTS)
def test_a_wrong_list_is_refused(fault: str, bundle: Path, folder: Path) -> None:
    publish(bundle, folder)
    document = json.loads((folder / LIST).read_text())
    change = LISTS[fault]
    if isinstance(change, dict):
        document["versions"][0].update(change)
    elif change == "twice":
        document["versions"] *= 2
    content = change if isinstance(change, bytes) else json.dumps(document).encode()
    (folder / LIST).write_bytes(content)
    with pytest.raises(FormatError, match=fault):
        retire("v1", folder)
    assert (folder / LIST).read_bytes() == content


def test_a_full_disk_publishes_nothing(bundle: Path, folder: Path, tmp_path: Path) -> None:
    publish(write_whole(tmp_path / "other", "version-2"), folder)
    before = files(folder)
    for size in (0, 300, 4_000):
        with files_up_to(size), pytest.raises(OutputError, match=r"cannot write into .* free some space"):
            publish(bundle, folder)
        assert files(folder) == before
    with files_up_to(20), pytest.raises(OutputError, match="cannot write into"):
        retire("version-2", folder)
    assert files(folder) == before
    publish(bundle, folder)


def test_commands_at_the_same_time_lose_nothing(bundle: Path, folder: Path, tmp_path: Path) -> None:
    bundles = [write_whole(tmp_path / f"b{number}", "v" * (number + 2)) for number in range(6)]
    results: list[str] = []
    barrier = threading.Barrier(8)

    def run(path: Path) -> None:
        barrier.wait()
        try:
            publish(path, folder)
            results.append("published")
        except EdgeRecError as error:
            results.append(str(error))

    threads = [threading.Thread(target=run, args=(path,)) for path in (bundle, bundle, *bundles)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(states(folder)) == {"v1", *("v" * (number + 2) for number in range(6))}
    refused = [result for result in results if result != "published"]
    assert len(refused) == 1
    assert "v1 is live already, with the same files" in refused[0]
    for entry in read_versions(folder).versions:
        check_whole(folder / entry.folder)
    assert unlisted(folder) == []


def test_a_command_waits_for_another_one(folder: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(bundle, folder)
    monkeypatch.setattr(version_list, "_WAIT_S", 0.1)
    with changing(folder), pytest.raises(OutputError, match=r"another command has locked .* try again later"):
        retire("v1", folder)
    handle = lock(folder / ".versions.lock")  # It is free again.
    assert handle is not None
    os.close(handle)
    retire("v1", folder)


def test_a_kill_leaves_the_old_list_or_the_new_one(bundle: Path, folder: Path, tmp_path: Path) -> None:
    publish(write_whole(tmp_path / "other", "version-2"), folder)
    # `scripts/prove versions` kills the command before every operation.
    outcomes = kill_each_step(bundle, folder, tmp_path / "copies", every=37)
    assert len(outcomes) > 1
    assert "old" in outcomes


def test_a_bundle_that_changes_while_it_is_copied_is_refused(
    bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgerec.cloud import version_folder

    copy = version_folder.copy_bundle

    def changed(source: Path, *rest: object) -> None:
        (source / "device" / "crban.mnn").write_bytes(b"x" * 5_000)
        copy(source, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(version_folder, "copy_bundle", changed)
    with pytest.raises(IntegrityError):
        publish(bundle, folder)
    assert states(folder) == {}
    assert unlisted(folder) == []
