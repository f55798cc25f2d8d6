"""Writing the parts of a bundle: the graphs, the device half and the cloud half."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

from edgerec.bundle.files import stamp_files
from edgerec.bundle.layout import CLOUD, DEVICE, EMBEDDINGS, GOLDEN, PERSONAL_HEAD, SURROUNDINGS
from edgerec.bundle.manifest import CloudManifest, DeviceManifest, ModelFile, Precision
from edgerec.bundle.manifest_file import write_manifest
from edgerec.core.atomic import write_bytes
from edgerec.export.convert import convert_to_mnn
from edgerec.export.split import SplitModel, reference_graphs
from edgerec.kv.shard_writer import TableDtype, blocks, write_shards
from edgerec.kv.table_entry import TableEntry
from edgerec.mixing.settings import MixSettings
from edgerec.model.runs import Run
from edgerec.personalization.head import PersonalHead


def write_graphs(run: Run, parts: SplitModel, graphs: Mapping[str, onnx.ModelProto], folder: Path) -> None:
    """Write the device graphs and their reference graphs into `golden/onnx` of the bundle's `folder`."""
    onnx_folder = folder / GOLDEN / "onnx"
    onnx_folder.mkdir(parents=True)
    references = {f"{name}_reference": graph for name, graph in reference_graphs(parts, run.head.limits).items()}
    for name, graph in {**graphs, **references}.items():
        write_bytes(onnx_folder / f"{name}.onnx", graph.SerializeToString(deterministic=True))


def write_device(
    run: Run,
    parts: SplitModel,
    graphs: Mapping[str, onnx.ModelProto],
    folder: Path,
    half: Path,
    precision: Precision,
    *,
    serial: int,
    mixing: MixSettings | None = None,
    personal: PersonalHead | None = None,
) -> None:
    """Convert the graphs, and write the device half into the folder `half`.

    Args:
        run: the run.
        parts: the parts of its model.
        graphs: the graphs, by the name of the model.
        folder: the folder of the bundle.
        half: the folder to write the device half into.
        precision: the precision of the weights.
        serial: the serial number of the device half.
        mixing: the rules of a mixed feed; None: there are none.
        personal: the head of personal patches; None: there is none.
    """
    device = half / DEVICE
    device.mkdir(parents=True)
    models = {}
    for name, graph in graphs.items():
        convert_to_mnn(folder / GOLDEN / "onnx" / f"{name}.onnx", device / f"{name}.mnn", precision=precision)
        models[name] = ModelFile(
            file=f"{name}.mnn", inputs=_shapes(graph.graph.input), outputs=_shapes(graph.graph.output)
        )
    if parts.head is not None:
        write_bytes(device / SURROUNDINGS, parts.head.to_bytes())
    if personal is not None:
        write_bytes(device / PERSONAL_HEAD, personal.to_bytes())
    manifest = DeviceManifest(
        version_id=run.head.version_id,
        precision=precision,
        spec=run.head.spec.model_dump(mode="json"),
        limits=run.head.limits.model_dump(),
        models=models,
        serial=serial,
        mixing=mixing,
        surroundings=None if parts.head is None else SURROUNDINGS,
        personal=None if personal is None else PERSONAL_HEAD,
        files=stamp_files(device, (path for path in device.iterdir() if path.is_file())),
    )
    write_manifest(manifest, device)


def write_tables(
    run: Run,
    parts: SplitModel,
    folder: Path,
    *,
    dtype: TableDtype,
    shard_rows: int,
    mixing: MixSettings | None = None,
) -> dict[str, TableEntry]:
    """Write the cloud half: the embedding tables in shards, and their manifest. Return the manifest's entries."""
    cloud = folder / CLOUD
    entries = {
        name: write_shards(
            cloud / EMBEDDINGS / name,
            table.keys,
            blocks(table.values),
            table.unknown,
            dtype=dtype,
            shard_rows=shard_rows,
        )
        for name, table in parts.tables.items()
    }
    (cloud / EMBEDDINGS).mkdir(parents=True, exist_ok=True)
    manifest = CloudManifest(
        version_id=run.head.version_id,
        spec=run.head.spec.model_dump(mode="json"),
        tables=entries,
        mixing_columns=() if mixing is None else mixing.columns,
        mixing_kinds=() if mixing is None else mixing.rules.names,
        files=stamp_files(cloud, cloud.rglob("*.npz")),
    )
    write_manifest(manifest, cloud)
    return entries


def _shapes(values: object) -> dict[str, tuple[int, ...]]:
    return {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in values  # type: ignore[attr-defined]
    }
