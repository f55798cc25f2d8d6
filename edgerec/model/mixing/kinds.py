"""The kinds of the cards in samples: codes of one feature, as indices into the kinds of the rules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import ConfigurationError
from edgerec.features.encoded import Encoded
from edgerec.features.kinds.one_hot import OneHot
from edgerec.features.spec import FeatureSpec
from edgerec.mixing.rules import MixRules

Ints = NDArray[np.int64]


class KindReader:
    """Reads the kinds of cards from encoded items.

    Args:
        spec: the specification. One `one_hot` feature of the items reads `rules.kind_column`.
        rules: the rules.

    Raises:
        ConfigurationError: no such feature exists, or it does not know a kind of the rules.
    """

    def __init__(self, spec: FeatureSpec, rules: MixRules) -> None:
        coded = [feature for feature in spec.item if feature.field == "codes"]
        found = [i for i, one in enumerate(coded) if isinstance(one, OneHot) and one.source == rules.kind_column]
        if not found:
            raise ConfigurationError(
                f"rules: kind_column is {rules.kind_column!r}, but no one_hot feature of the items reads that column: "
                "add one to the feature specification, and train again"
            )
        self._column = found[0]
        feature = coded[self._column]
        assert isinstance(feature, OneHot)
        unknown = [name for name in rules.names if name not in feature.listed]
        if unknown:
            raise ConfigurationError(
                f"rules: the kind {unknown[0]!r} is not among the values of the feature {feature.name}: "
                f"{', '.join(feature.listed)}"
            )
        # Code 0 is a missing or unlisted value.
        listed = [rules.names.index(name) if name in rules.names else rules.unknown_index for name in feature.listed]
        self._index = np.array([rules.unknown_index, *listed], np.int64)

    def of(self, items: Encoded) -> Ints:
        """Return the kind (n,) of each encoded item, as an index into `rules.names`."""
        kinds: Ints = self._index[items.codes[:, self._column]]
        return kinds
