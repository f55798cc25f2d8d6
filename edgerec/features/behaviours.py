"""The two kinds of behaviour, and the longest sequences that the models read.

Only this module says which names belong to one kind. Formats, layers, device models and graphs read them from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, Field

from edgerec.core.faults import CheckedModel


@dataclass(frozen=True)
class BehaviourKind:
    """One kind of behaviour (section 2.2 of the paper) and its names.

    Attributes:
        name: the name of one behaviour. It is the prefix of the ranking graph's inputs and of golden arrays, as in
            `exposure_keys`.
        plural: the name of several behaviours. Files of samples, limits and inputs of the training graph use it.
        step_model: the name of the device model that makes one step, and of the Keras layer that it is made from.
        group: the group of the specification with the features of the actions of this kind.
    """

    name: str
    plural: str
    step_model: str
    group: str


EXPOSURE = BehaviourKind("exposure", "exposures", step_model="hubsm_ie", group="ie_action")
"""An item was on the screen (item exposure, IE)."""
PAGE_VIEW = BehaviourKind("page_view", "page_views", step_model="hubsm_ipv", group="ipv_action")
"""The user opened the page of an item (item page-view, IPV)."""
BEHAVIOUR_KINDS = (EXPOSURE, PAGE_VIEW)


class Limits(CheckedModel):
    """The longest sequences that the models read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidates: Annotated[int, Field(ge=1, le=1000)] = 100
    exposures: Annotated[int, Field(ge=1, le=1000)] = 100
    page_views: Annotated[int, Field(ge=1, le=1000)] = 50

    def of(self, kind: BehaviourKind) -> int:
        """Return how many behaviours of `kind` the ranker reads."""
        return int(getattr(self, kind.plural))
