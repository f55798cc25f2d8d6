"""The pydantic models of the three `manifest.json` files of a bundle (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edgerec.bundle.bounds import check_sizes
from edgerec.bundle.layout import CASES, CLOUD, DEVICE, EMBEDDINGS, RAW_CASES, check_paths
from edgerec.core.hashing import FileStamp
from edgerec.core.text_fields import Name
from edgerec.core.tolerance import Tolerance
from edgerec.features.behaviours import BEHAVIOUR_KINDS, Limits
from edgerec.kv.table_entry import TableEntry
from edgerec.mixing.settings import MixSettings

FORMAT = 1
RANKING_MODEL = "crban"
"""The name of the ranking model in every bundle. It is the same for all rankers."""
STEP_MODELS = tuple(kind.step_model for kind in BEHAVIOUR_KINDS)
DEVICE_MODELS = (*STEP_MODELS, RANKING_MODEL)
"""The names of all models that a device half can have."""

Precision = Literal["fp32", "fp16", "int8"]
"""The number format of the weights in the device's files. MNN always computes in float32 (`edgerec.export.convert`)."""
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
"""All precisions, from the smallest rounding error to the largest."""
MAX_TOLERANCE: Mapping[Precision, float] = {"fp32": 0.1, "fp16": 10.0, "int8": 10.0}
"""Maximum tolerance for logits of golden cases. Most logits are below 10, so a larger one would accept any model."""

Shape = tuple[Annotated[int, Field(ge=1, le=100_000)], ...]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, defer_build=True)


class ModelFile(_Part):
    """A device model: its file, and the names and shapes of its float32 inputs and outputs."""

    file: Name
    inputs: dict[Name, Shape]
    outputs: dict[Name, Shape]


class _Manifest(_Part):
    files: dict[str, FileStamp]
    """Size and hash of all files in the manifest's folder except the manifest itself, by path within the folder."""

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, FileStamp]) -> dict[str, FileStamp]:
        check_paths(files)
        return files

    def sizes(self) -> dict[str, int]:
        """Return the size of each file in bytes, by path within the folder."""
        return {path: stamp.size for path, stamp in self.files.items()}


Manifest = TypeVar("Manifest", bound=_Manifest)


class DeviceManifest(_Manifest):
    """`device/manifest.json`. It has everything that a device needs to load the models and to make their inputs."""

    format: Literal[1] = 1
    kind: Literal["device"] = "device"
    version_id: Name
    precision: Precision
    spec: dict[str, Any]
    """The feature specification; `edgerec.features.spec` parses it."""
    limits: dict[str, Annotated[int, Field(ge=1, le=1000)]]
    """The maximum lengths of the sequences: `candidates`, `exposures`, `page_views`."""
    models: dict[str, ModelFile]
    """The ranking model, and the step model of each kind of behaviour that it reads."""
    serial: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """A device that checks signatures refuses a version with a smaller number than it has had; 0 in earlier bundles."""
    mixing: MixSettings | None = None
    """The rules of a mixed feed, and the first prices (docs/mixing.md). None: the order of the model is shown."""
    surroundings: Name | None = None
    """The file with the tables of ESAN; None for a model without surroundings, and in earlier bundles."""
    personal: Name | None = None
    """The file with the head of personal patches; None for a bundle without patches, and in earlier bundles."""

    @field_validator("models")
    @classmethod
    def _all_models(cls, models: dict[str, ModelFile]) -> dict[str, ModelFile]:
        if RANKING_MODEL not in models or not set(models) <= set(DEVICE_MODELS):
            raise ValueError(
                f"should be {RANKING_MODEL} and the step models that it needs, out of {' and '.join(STEP_MODELS)}; "
                f"received {', '.join(models) or 'none'}"
            )
        return models

    @field_validator("limits")
    @classmethod
    def _all_limits(cls, limits: dict[str, int]) -> dict[str, int]:
        if set(limits) != set(Limits.model_fields):
            raise ValueError(f"should be {', '.join(Limits.model_fields)}; received {', '.join(limits) or 'none'}")
        return limits

    @model_validator(mode="after")
    def _stamped(self) -> DeviceManifest:
        for name in (self.surroundings, self.personal):
            if name is not None and name not in self.files:
                raise ValueError(f"files should have the hash of {name}")
        return self

    @model_validator(mode="after")
    def _sizes_limited(self) -> DeviceManifest:
        check_sizes(self.sizes(), {}, embeddings=EMBEDDINGS)
        return self


Tables = dict[Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]{0,63}$")], TableEntry]
"""The table of each embedding feature, by the feature's name. The table's folder has the same name."""


class CloudManifest(_Manifest):
    """`cloud/manifest.json`: the version of the tables, and the specification that defines their keys."""

    format: Literal[1] = 1
    kind: Literal["cloud"] = "cloud"
    version_id: Name
    spec: dict[str, Any]
    tables: Tables
    mixing_columns: tuple[Name, ...] = ()
    """The columns of the catalogue that the rules of a mixed feed read. A page contains them, too."""
    mixing_kinds: tuple[Name, ...] = ()
    """The kinds of cards of these rules. The server compares them with the prices that it hands out."""

    @model_validator(mode="after")
    def _sizes_limited(self) -> CloudManifest:
        check_sizes(self.sizes(), self.tables, embeddings=EMBEDDINGS)
        return self


class Parity(_Part):
    """The differences between results of the device models and of Keras, as measured at export."""

    max_abs_error: Annotated[float, Field(ge=0)]
    """Largest absolute difference of a logit over all checks, and of a number of the hidden layer if it is returned."""
    tolerance: Annotated[float, Field(gt=0, le=10.0)]
    """Allowed absolute difference of a logit."""
    relative_tolerance: Annotated[float, Field(ge=0, le=1e-3)] = 0.0
    """Allowed difference relative to the absolute value of a logit. It is added to `tolerance`."""
    checks: dict[Name, float]
    """Largest absolute difference of a logit in each check. In checks named `..._hidden`, that of the hidden layer."""
    requests: Annotated[int, Field(ge=0)]
    """Number of real requests that were ranked by Keras and by the device."""
    orders_equal: Annotated[int, Field(ge=0)]
    """Number of these requests that both ranked in the same order."""

    @property
    def allowed(self) -> Tolerance:
        """The allowed difference between a device's logits and those of a golden case."""
        return Tolerance(self.tolerance, self.relative_tolerance)


class PrecisionRow(_Part):
    """For one precision of the weights: the size of the device's files, and the rounding error measured at export."""

    device_bytes: Annotated[int, Field(ge=0)]
    """Bytes of the files under `device/`."""
    drift: float
    """Largest absolute difference between a logit and Keras' logit, over validation requests and random requests."""
    gauc_difference: float | None
    """Difference of GAUC between MNN and Keras on validation requests; None if no request has both a clicked and an
    unclicked exposure."""


class BundleManifest(_Manifest):
    """`manifest.json` of the whole bundle. It is written last."""

    format: Literal[1] = 1
    kind: Literal["bundle"] = "bundle"
    version_id: Name
    created: Name
    """Time of the export in UTC, ISO 8601. SOURCE_DATE_EPOCH fixes it."""
    precision: Precision
    spec: dict[str, Any]
    config: dict[str, Any]
    """Configuration of the training."""
    models: dict[str, ModelFile]
    tables: Tables
    parity: Parity
    gauc: dict[Name, float | None]
    """GAUC of the logits of `keras` and of `mnn` on the requests of `parity`; None if no request has both a clicked and
    an unclicked exposure."""
    precisions: dict[Precision, PrecisionRow] = {}
    """The precisions that the export measured, including the bundle's own; empty if the export measured none."""
    tools: dict[Name, Name]

    @model_validator(mode="after")
    def _tolerance_limited(self) -> BundleManifest:
        if self.parity.tolerance > MAX_TOLERANCE[self.precision]:
            raise ValueError(
                f"parity.tolerance should be at most {MAX_TOLERANCE[self.precision]:g} for {self.precision}; received "
                f"{self.parity.tolerance:g}"
            )
        return self

    @model_validator(mode="after")
    def _sizes_limited(self) -> BundleManifest:
        check_sizes(self.sizes(), self.tables, embeddings=f"{CLOUD}/{EMBEDDINGS}", cases=(CASES, RAW_CASES))
        return self

    def bytes_under(self, folder: str) -> int:
        """Return the bytes of all files under a folder of the bundle."""
        return sum(stamp.size for path, stamp in self.files.items() if path.startswith(folder + "/"))

    def summary(self) -> dict[str, Any]:
        """Return the fields that `edgerec export` prints."""
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
