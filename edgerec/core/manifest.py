"""The manifests of a bundle: what is in it, and that it is what was written (docs/formats.md)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edgerec.core.atomic import json_bytes, write_bytes
from edgerec.core.bounds import check_sizes
from edgerec.core.documents import document_bytes, parse_document
from edgerec.core.errors import FormatError, IntegrityError
from edgerec.core.hashing import sha256_bytes, sha256_file
from edgerec.core.signing import PublicKey, SigningKey, check_signature, check_signing_key, signature_path
from edgerec.core.text_fields import Name
from edgerec.core.tolerance import Tolerance

FORMAT = 1
NAME = "manifest.json"
DEVICE, CLOUD, GOLDEN = "device", "cloud", "golden"
PEERS = f"{GOLDEN}/peers"
CASES = f"{GOLDEN}/case-"
"""How the paths of golden cases begin."""
EMBEDDINGS = "embeddings"
"""Under the cloud half: a folder for each table."""
HUBSM_IE, HUBSM_IPV, CRBAN = "hubsm_ie", "hubsm_ipv", "crban"
MODELS = (HUBSM_IE, HUBSM_IPV, CRBAN)

Precision = Literal["fp32", "fp16", "int8"]
"""Of the weights in the device's files; arithmetic is float32 whatever it is (`edgerec.export.convert`)."""
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
"""From the closest to the trained weights to the farthest."""
MAX_TOLERANCE: Mapping[Precision, float] = {"fp32": 0.1, "fp16": 10.0, "int8": 10.0}
"""On logits of golden cases. With a larger tolerance a case would prove nothing: most logits are below 10."""

MAX_PATH, MAX_DEPTH = 200, 8
"""Characters and parts of a file's path within a bundle: no file system has trouble with it, wherever it stands."""
MAX_KEYS = 2**31 - 2
"""Of an embedding table: the largest vocabulary of a feature specification."""

Shape = tuple[Annotated[int, Field(ge=1, le=100_000)], ...]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class FileStamp(_Part):
    """Size in bytes and SHA-256 of a file."""

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ModelFile(_Part):
    """A device model: its file and the names and shapes of its float32 inputs and outputs."""

    file: Name
    inputs: dict[Name, Shape]
    outputs: dict[Name, Shape]


class _Manifest(_Part):
    files: dict[str, FileStamp]
    """Of the manifest's own folder, by path within it; of all but the manifest itself."""

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, FileStamp]) -> dict[str, FileStamp]:
        return _inside(files)

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by path within the folder."""
        return {path: stamp.size for path, stamp in self.files.items()}


Manifest = TypeVar("Manifest", bound=_Manifest)


class DeviceManifest(_Manifest):
    """`device/manifest.json`: all that a device needs to load the models and feed them."""

    format: Literal[1] = 1
    kind: Literal["device"] = "device"
    version_id: Name
    precision: Precision
    spec: dict[str, Any]
    """The feature specification; `edgerec.features.spec` reads it."""
    limits: dict[str, Annotated[int, Field(ge=1, le=1000)]]
    """`candidates`, `exposures`, `page_views`: the longest sequences."""
    models: dict[str, ModelFile]
    """The ranker, `crban` whichever model it is of, and an encoder for each kind of behaviour that it reads."""

    @field_validator("models")
    @classmethod
    def _all_models(cls, models: dict[str, ModelFile]) -> dict[str, ModelFile]:
        if CRBAN not in models or not set(models) <= set(MODELS):
            raise ValueError(f"should be {CRBAN} and the encoders that it reads, {HUBSM_IE} and {HUBSM_IPV}")
        return models

    @field_validator("limits")
    @classmethod
    def _all_limits(cls, limits: dict[str, int]) -> dict[str, int]:
        if sorted(limits) != ["candidates", "exposures", "page_views"]:
            raise ValueError("should be candidates, exposures, page_views")
        return limits

    @model_validator(mode="after")
    def _bounded(self) -> DeviceManifest:
        check_sizes(self.sizes(), {}, embeddings=EMBEDDINGS)
        return self


class TableEntry(_Part):
    """An embedding table of the cloud half."""

    keys: Annotated[int, Field(ge=0, le=MAX_KEYS)]
    dimension: Annotated[int, Field(ge=1, le=1024)]
    dtype: Literal["float32", "float16"]
    shards: Annotated[int, Field(ge=1, le=99_999)]


Tables = dict[Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]{0,63}$")], TableEntry]
"""By name of feature, which is a folder's name, too."""


class CloudManifest(_Manifest):
    """`cloud/manifest.json`: which version the tables belong to, and how their keys are made."""

    format: Literal[1] = 1
    kind: Literal["cloud"] = "cloud"
    version_id: Name
    spec: dict[str, Any]
    tables: Tables

    @model_validator(mode="after")
    def _bounded(self) -> CloudManifest:
        check_sizes(self.sizes(), self.tables, embeddings=EMBEDDINGS)
        return self


class Parity(_Part):
    """How far the device's results were from Keras' at export."""

    max_abs_error: Annotated[float, Field(ge=0)]
    """Over all checks, on logits."""
    tolerance: Annotated[float, Field(gt=0, le=10.0)]
    relative_tolerance: Annotated[float, Field(ge=0, le=1e-3)] = 0.0
    """Of a logit's own size, on top of `tolerance`."""
    checks: dict[Name, float]
    """Largest absolute difference by check."""
    requests: Annotated[int, Field(ge=0)]
    """Real requests stepped through."""
    orders_equal: Annotated[int, Field(ge=0)]
    """Of them, how many were ranked alike."""

    @property
    def allowed(self) -> Tolerance:
        """How far a device's logits may be from those of a golden case."""
        return Tolerance(self.tolerance, self.relative_tolerance)


class PrecisionRow(_Part):
    """What the device half takes in one precision, and what that costs, as measured at export."""

    device_bytes: Annotated[int, Field(ge=0)]
    """Of the files under `device/`."""
    drift: float
    """Largest difference of a logit from Keras', over validation requests and random ones."""
    gauc_difference: float | None
    """Between MNN and Keras on validation requests; none where none has a clicked and an unclicked exposure."""


class BundleManifest(_Manifest):
    """`manifest.json`: the bundle as a whole, written last."""

    format: Literal[1] = 1
    kind: Literal["bundle"] = "bundle"
    version_id: Name
    created: Name
    """UTC, ISO 8601; fixed by SOURCE_DATE_EPOCH."""
    precision: Precision
    spec: dict[str, Any]
    config: dict[str, Any]
    """Of the training."""
    models: dict[str, ModelFile]
    tables: Tables
    parity: Parity
    gauc: dict[Name, float | None]
    """On the requests of `parity`: `keras`, `mnn`; none where no request has a clicked and an unclicked exposure."""
    precisions: dict[Precision, PrecisionRow] = {}
    """What was weighed up, the bundle's own precision among it; empty where nothing was, as for plain fp32."""
    tools: dict[Name, Name]

    @model_validator(mode="after")
    def _held(self) -> BundleManifest:
        if self.parity.tolerance > MAX_TOLERANCE[self.precision]:
            raise ValueError(
                f"parity.tolerance should be at most {MAX_TOLERANCE[self.precision]:g} for {self.precision}; received "
                f"{self.parity.tolerance:g}"
            )
        return self

    @model_validator(mode="after")
    def _bounded(self) -> BundleManifest:
        check_sizes(self.sizes(), self.tables, embeddings=f"{CLOUD}/{EMBEDDINGS}", cases=CASES)
        return self

    def bytes_under(self, folder: str) -> int:
        """Size of the files under a folder of the bundle."""
        return sum(stamp.size for path, stamp in self.files.items() if path.startswith(folder + "/"))

    def summary(self) -> dict[str, Any]:
        """What a command prints after an export."""
        return {
            "version_id": self.version_id,
            "precision": self.precision,
            "device_bytes": self.bytes_under(DEVICE),
            "cloud_bytes": self.bytes_under(CLOUD),
            "parity": self.parity.model_dump(),
            "parity_max_abs": self.parity.max_abs_error,
            "parity_requests": self.parity.requests,
            "orders_equal": self.parity.orders_equal,
            "gauc": self.gauc,
            "gauc_keras": self.gauc["keras"],
            "gauc_mnn": self.gauc["mnn"],
            "precisions": {name: row.model_dump() for name, row in self.precisions.items()},
        }


def stamp_files(folder: Path, paths: Iterable[Path]) -> dict[str, FileStamp]:
    """Stamps of `paths`, by path within `folder`, in order."""
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: FileStamp(size=path.stat().st_size, sha256=sha256_file(path)) for name, path in sorted(names.items())}


def check_files(folder: Path, files: Mapping[str, FileStamp]) -> None:
    """Refuse a folder in which a file is missing, was changed, or is reached by way of a link.

    Raises:
        IntegrityError: the first such file.
    """
    for name, stamp in files.items():
        path = _own_file(folder, name, stamp)
        if sha256_file(path) != stamp.sha256:
            raise IntegrityError(f"bundle: {path} was changed after it was written: fetch or export the bundle again")


def read_stamped(folder: Path, name: str, stamp: FileStamp) -> bytes:
    """The bytes of the file `name` of `folder`: those whose hash was checked, and no more than were stamped.

    Raises:
        IntegrityError: as `check_files`.
    """
    path = _own_file(folder, name, stamp)
    with path.open("rb") as file:
        content = file.read(stamp.size + 1)
    if sha256_bytes(content) != stamp.sha256:
        raise IntegrityError(f"bundle: {path} was changed after it was written: fetch or export the bundle again")
    return content


def _own_file(folder: Path, name: str, stamp: FileStamp) -> Path:
    """The path of a file of the stated size that is the folder's own, not a link's on the way to it."""
    path = folder / name
    steps = [path, *(folder / parent for parent in PurePosixPath(name).parents)][:-1]
    if any(step.is_symlink() for step in steps) or not path.is_file():
        raise IntegrityError(f"bundle: {path} is missing, or a link: fetch or export the bundle again")
    size = path.stat().st_size
    if size != stamp.size:
        raise IntegrityError(f"bundle: {path} has {size} bytes instead of {stamp.size}: fetch or export it again")
    return path


def write_manifest(manifest: _Manifest, folder: Path) -> None:
    """Write `manifest.json` into `folder`, with the SHA-256 of its own bytes (its digest taken as zeros)."""
    unsealed = json_bytes({**manifest.model_dump(mode="json"), "digest": "0" * 64})
    write_bytes(folder / NAME, _DIGEST.sub(_digest_line(sha256_bytes(unsealed)), unsealed))


def _check_digest(path: Path, content: bytes) -> None:
    """Refuse a manifest of which any byte was changed."""
    found = _DIGEST.findall(content)
    unsealed = _DIGEST.sub(_digest_line("0" * 64), content)
    if len(found) != 1 or found[0].decode() != sha256_bytes(unsealed):
        raise IntegrityError(f"bundle: {path} was changed after it was written: fetch or export the bundle again")


def _digest_line(digest: str) -> bytes:
    return f'\n  "digest": "{digest}"'.encode()


# Two spaces deep: of the document itself. A text inside JSON has no line breaks, so nothing else looks like it.
_DIGEST = re.compile(rb'\n  "digest": "([0-9a-f]{64})"')


def _read(folder: Path, model: type[Manifest], *, what: str, public_key: PublicKey | None) -> Manifest:
    path = folder / NAME
    refuse_link(path)
    # Read once: the bytes that are parsed are the bytes whose signature was checked.
    content = document_bytes(path, what=what)
    if public_key is not None:
        check_signature(public_key, path, content)
    try:
        manifest = parse_document(content, path=path, model=model, what=what, format_number=FORMAT)
    except FormatError as error:
        if _DIGEST.search(content):
            _check_digest(path, content)
            raise FormatError(f"{error}: give the folder of a whole bundle, or export it again") from None
        raise
    _check_digest(path, content)
    return manifest


def read_bundle_manifest(bundle: Path, *, public_key: PublicKey | None = None) -> BundleManifest:
    """Read `manifest.json` of a bundle.

    Args:
        bundle: the bundle's folder.
        public_key: whose signature it has to bear; None asks for none.

    Raises:
        FormatError: no such bundle, another format number, or a field that is not valid.
        IntegrityError: it was changed after it was written.
        SignatureError: `public_key` is given, and it is not signed by its owner.
    """
    return _read(bundle, BundleManifest, what="bundle", public_key=public_key)


def read_cloud_manifest(folder: Path, *, public_key: PublicKey | None = None) -> CloudManifest:
    """Read `manifest.json` of a bundle's cloud folder.

    Raises:
        FormatError, IntegrityError, SignatureError: as `read_bundle_manifest`.
    """
    return _read(folder, CloudManifest, what="cloud bundle", public_key=public_key)


def read_device_manifest(folder: Path, *, public_key: PublicKey | None = None) -> DeviceManifest:
    """Read `manifest.json` of a bundle's device folder.

    Raises:
        FormatError, IntegrityError, SignatureError: as `read_bundle_manifest`.
    """
    manifest = _read(folder, DeviceManifest, what="device bundle", public_key=public_key)
    unstamped = [model.file for model in manifest.models.values() if model.file not in manifest.files]
    if unstamped:
        raise FormatError(f"device bundle: {folder / NAME} names {unstamped[0]} without its hash: export again")
    return manifest


def sign_bundle(bundle: Path, key: SigningKey) -> None:
    """Sign the three manifests of the folder `bundle`, each of which states the hash of every file under it."""
    check_signing_key(key)
    for folder in part_folders(bundle).values():
        key.sign_file(folder / NAME)


def signed_parts(bundle: Path) -> dict[str, bool]:
    """For `bundle`, `device` and `cloud`: whether its manifest has a signature, of whomever."""
    return {part: signature_path(folder / NAME).is_file() for part, folder in part_folders(bundle).items()}


def refuse_link(path: Path) -> None:
    """Refuse a part of a bundle that is a link: what it points to is nothing that the bundle answers for.

    Raises:
        IntegrityError: it is one.
    """
    if path.is_symlink():
        raise IntegrityError(f"bundle: {path} is a link, perhaps out of the bundle: put the real one in its place")


def part_folders(bundle: Path) -> dict[str, Path]:
    """The folders that have a manifest of their own, so that they can travel alone."""
    return {"bundle": bundle, DEVICE: bundle / DEVICE, CLOUD: bundle / CLOUD}


def _inside(files: dict[str, FileStamp]) -> dict[str, FileStamp]:
    """Paths that stay in the bundle, on every system, and that each can have."""
    for name in files:
        if len(name) > MAX_PATH or name.count("/") >= MAX_DEPTH:
            raise ValueError(
                f"a path should have at most {MAX_PATH} characters and {MAX_DEPTH} parts; received one of {len(name)} "
                f"characters and {name.count('/') + 1} parts"
            )
        parts = PurePosixPath(name).parts
        plain = all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", part) for part in parts)
        if not parts or not plain or "/".join(parts) != name or os.path.isabs(name):
            raise ValueError(f"path {name!r} should be a plain path inside the bundle")
    return files
