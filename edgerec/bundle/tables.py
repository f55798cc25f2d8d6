"""Opening the embedding tables of a bundle's cloud half."""

from __future__ import annotations

from pathlib import Path

from edgerec.bundle.files import check_files
from edgerec.bundle.layout import EMBEDDINGS, NAME
from edgerec.bundle.manifest import CloudManifest
from edgerec.bundle.manifest_file import read_cloud_manifest
from edgerec.bundle.signing import PublicKey
from edgerec.core.errors import FormatError
from edgerec.core.memory import enough_memory
from edgerec.kv.npz import NpzTable, NpzTables, open_table
from edgerec.kv.shard_writer import shard_name
from edgerec.kv.table_entry import TableEntry

_ADVICE = "export the bundle again"


def open_tables(cloud: Path, *, check: bool = True, public_key: PublicKey | None = None) -> NpzTables:
    """Open the tables of a bundle's folder `cloud`; all of their numbers are read once.

    Args:
        cloud: the folder with the cloud manifest.
        check: compare the hash of every file; false if the caller has just done so.
        public_key: the manifest has to bear this key's signature; None asks for no signature.

    Raises:
        FormatError: no such folder, another format, tables that do not fit the manifest, or a NaN or infinite number.
        IntegrityError: a file is missing or was changed.
        ResourceError: there is not enough memory.
        SignatureError: `public_key` is given, and the manifest is not signed by its owner.
    """
    manifest = read_cloud_manifest(cloud, public_key=public_key)
    if check:
        check_files(cloud, manifest.files)
    with enough_memory(cloud):
        tables = {name: _open_entry(cloud, name, entry, manifest) for name, entry in manifest.tables.items()}
    return NpzTables(manifest.version_id, manifest.spec, tables)


def _open_entry(cloud: Path, name: str, entry: TableEntry, manifest: CloudManifest) -> NpzTable:
    """Open one table and check that it is as the manifest states."""
    for number in range(entry.shards):
        file = f"{EMBEDDINGS}/{name}/{shard_name(number, entry.shards)}"
        if file not in manifest.files:
            raise FormatError(f"embedding tables: {cloud / NAME} has no hash of {file}: {_ADVICE}")
    table = open_table(cloud / EMBEDDINGS / name, sums=False)
    if table.entry != entry:
        raise FormatError(
            f"embedding tables: {cloud / EMBEDDINGS / name} has {_described(table.entry)}, the manifest says "
            f"{_described(entry)}: {_ADVICE}"
        )
    return table


def _described(entry: TableEntry) -> str:
    return f"{entry.keys} keys of {entry.dimension} {entry.dtype} in {entry.shards} shards"
