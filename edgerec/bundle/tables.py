"""Open the embedding tables in the cloud half of a bundle."""

from __future__ import annotations

from pathlib import Path

from edgerec.bundle.files import check_files
from edgerec.bundle.layout import EMBEDDINGS, NAME
from edgerec.bundle.manifest import CloudManifest
from edgerec.bundle.manifest_file import read_cloud_manifest
from edgerec.bundle.signing import PublicKey
from edgerec.core.errors import FormatError
from edgerec.core.memory import enough_memory
from edgerec.core.paths import AnyPath, to_path
from edgerec.kv.npz import NpzTable, NpzTables, open_table
from edgerec.kv.shard_writer import shard_name
from edgerec.kv.table_entry import TableEntry

_ADVICE = "export the bundle again"


def open_tables(cloud: AnyPath, *, check: bool = True, public_key: PublicKey | None = None) -> NpzTables:
    """Open the tables of a bundle's folder `cloud`, and read all of their numbers once to check them.

    Args:
        cloud: the folder with the cloud manifest.
        check: whether to check the hash of every file. Pass False if the caller has just checked them.
        public_key: the manifest must have a signature of this key. If None, no signature is checked.

    Raises:
        InputError: `cloud` is not a path.
        FormatError: the folder does not exist, it has another format number, a table does not fit the manifest, or a
            number is NaN or infinite.
        IntegrityError: a file is missing or was changed.
        ResourceError: there is not enough memory.
        SignatureError: `public_key` is given, and the manifest is not signed by the key's owner.
    """
    cloud = to_path(cloud, "open_tables: `cloud`")
    manifest = read_cloud_manifest(cloud, public_key=public_key)
    if check:
        check_files(cloud, manifest.files)
    with enough_memory(cloud):
        tables = {name: _open_entry(cloud, name, entry, manifest) for name, entry in manifest.tables.items()}
    columns, kinds = manifest.mixing_columns, manifest.mixing_kinds
    return NpzTables(manifest.version_id, manifest.spec, tables, mixing_columns=columns, mixing_kinds=kinds)


def _open_entry(cloud: Path, name: str, entry: TableEntry, manifest: CloudManifest) -> NpzTable:
    """Open one table, and check that it has the size and data type in the manifest."""
    for number in range(entry.shards):
        file = f"{EMBEDDINGS}/{name}/{shard_name(number, entry.shards)}"
        if file not in manifest.files:
            raise FormatError(
                f"embedding tables: {cloud / NAME} should list the hash of {file}, but it does not: {_ADVICE}"
            )
    table = open_table(cloud / EMBEDDINGS / name, sums=False)
    if table.entry != entry:
        raise FormatError(
            f"embedding tables: {cloud / EMBEDDINGS / name} should have {_described(entry)}, as the manifest states; "
            f"received {_described(table.entry)}: {_ADVICE}"
        )
    return table


def _described(entry: TableEntry) -> str:
    return f"{entry.keys} keys of {entry.dimension} {entry.dtype} in {entry.shards} shards"
