"""The description of an embedding table in manifests and in the Redis store."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_KEYS = 2**31 - 2
"""Maximum number of keys. It equals the maximum size of a vocabulary in a feature specification."""


class TableEntry(BaseModel):
    """Number of keys, row dimension, stored data type and number of shards of an embedding table."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, defer_build=True)

    keys: Annotated[int, Field(ge=0, le=MAX_KEYS)]
    dimension: Annotated[int, Field(ge=1, le=1024)]
    dtype: Literal["float32", "float16"]
    shards: Annotated[int, Field(ge=1, le=99_999)]
