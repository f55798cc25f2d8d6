"""The rules of a mixed feed at export: they are checked against the specification of the run."""

from __future__ import annotations

from edgerec.core.errors import ConfigurationError
from edgerec.features.card_kind import CARD_KIND
from edgerec.features.kinds.one_hot import OneHot
from edgerec.features.spec import FeatureSpec
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.rules import MixRules
from edgerec.mixing.settings import MixSettings, make_settings


def mixing_of(
    spec: FeatureSpec, rules: MixRules | None, prior: MixPrior | None, *, version_id: str
) -> MixSettings | None:
    """Return what a bundle has for a mixed feed; None without rules.

    If the model reads the kind of a card, the rules should name kinds that it knows. If it does not, the catalogue must
    have the column; the server checks that.

    Raises:
        ConfigurationError: there is a prior without rules, the rules do not fit the specification, or the prior does
            not fit the version or the rules.
    """
    if rules is None:
        if prior is not None:
            raise ConfigurationError("export: --prior belongs to --rules: give both")
        return None
    for feature in spec.item:
        if feature.source != rules.kind_column:
            continue
        if not isinstance(feature, OneHot):
            raise ConfigurationError(
                f"rules: kind_column {rules.kind_column!r} should be text of few values; feature {feature.name} reads "
                f"it as {feature.kind}: give another kind_column, or make the feature one_hot"
            )
        if unknown := [name for name in rules.names if name not in feature.listed]:
            raise ConfigurationError(
                f"rules: kinds.{unknown[0]} should be a value of the feature {feature.name} ({rules.kind_column}): "
                f"{', '.join(feature.listed)}"
            )
    return make_settings(rules, prior, version_id=version_id)


def check_kind_column(mixing: MixSettings | None, *, reads_kinds: bool) -> None:
    """Check that rules and model read the kind of a card from one column. `reads_kinds`: whether the model reads kinds.

    Raises:
        ConfigurationError: they read two columns.
    """
    if mixing is not None and reads_kinds and mixing.rules.kind_column != CARD_KIND:
        raise ConfigurationError(
            f"rules: kind_column should be {CARD_KIND!r}, from which this model reads the kind of a card; received "
            f"{mixing.rules.kind_column!r}"
        )
