"""What mixing learns from logs off the device: calibration, examination and the first prices (`edgerec mix fit`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgerec.core.text_fields import Name

FORMAT = 1
Price = Annotated[float, Field(ge=-1e6, le=1e6)]


class MixPrior(BaseModel):
    """The numbers that a device starts with. `edgerec mix fit` writes them, and a bundle has them beside its rules.

    Attributes:
        format: the format number.
        version_id: the model version that they belong to.
        calibration: by kind, (scale, shift): a calibrated logit is ``scale * logit + shift``.
        examination: the probability that the user sees the 1st, 2nd, ... card after a plan is made, given that the
            user sees the first one. The last one holds for all later places.
        prices: by kind, the value that showing one card costs. A negative price pays for showing it.
        later: the value of a session that goes on, by which `departures` are multiplied.
        departures: by kind, how much more likely a user leaves after a card of this kind than after others.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, defer_build=True)

    format: Literal[1] = 1
    version_id: Name
    calibration: dict[Name, tuple[Annotated[float, Field(gt=0, le=100)], Annotated[float, Field(ge=-100, le=100)]]] = {}
    examination: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1, max_length=1000)] = [1.0]
    prices: dict[Name, Price] = {}
    later: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    departures: dict[Name, Annotated[float, Field(ge=-1, le=1)]] = {}
