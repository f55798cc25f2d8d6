"""What a device needs to mix: the rules, and the numbers that it starts with. A bundle has both in its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from edgerec.core.documents import document_bytes, parse_document
from edgerec.core.errors import ConfigurationError, FormatError
from edgerec.core.faults import first_fault
from edgerec.mixing.prior import FORMAT, MixPrior
from edgerec.mixing.rules import MixRules


class MixSettings(BaseModel):
    """The rules and the first numbers of one model version.

    Attributes:
        rules: the rules.
        prior: what `edgerec mix fit` learnt; None: clicks are not calibrated, all places are seen, and prices are 0.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    rules: MixRules
    prior: MixPrior | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the items that the rules read."""
        advertiser = self.rules.advertiser_column
        return (self.rules.kind_column,) if advertiser is None else (self.rules.kind_column, advertiser)

    @property
    def start_prices(self) -> dict[str, float]:
        """The first price of each kind."""
        known = {} if self.prior is None else self.prior.prices
        return {name: known.get(name, 0.0) for name in self.rules.names}

    def document(self) -> dict[str, Any]:
        """Return the settings as JSON."""
        return self.model_dump(mode="json")


def make_settings(rules: MixRules, prior: MixPrior | None, *, version_id: str) -> MixSettings:
    """Return the settings of a model version, checked against each other.

    Raises:
        ConfigurationError: the prior belongs to another version, or has a kind that the rules do not have.
    """
    if prior is not None:
        if prior.version_id != version_id:
            raise ConfigurationError(
                f"prior: it should belong to model version {version_id}; received that of version {prior.version_id}: "
                "run `edgerec mix fit` on this run"
            )
        kinds = {*prior.calibration, *prior.prices, *prior.departures}
        if unknown := sorted(kinds - set(rules.names)):
            raise ConfigurationError(
                f"prior: its kinds should be kinds of the rules, {', '.join(rules.names)}; received {unknown[0]!r}: "
                "run `edgerec mix fit` with these rules"
            )
    # JSON does not keep the order of the kinds, so "the first kind" is named.
    return MixSettings(rules=rules.model_copy(update={"unknown": rules.names[rules.unknown_index]}), prior=prior)


def load_prior(path: Path) -> MixPrior:
    """Read what `edgerec mix fit` wrote.

    Raises:
        ConfigurationError: the file cannot be read, or a value is not valid.
    """
    if not path.is_file():
        raise ConfigurationError(f"prior: {path} should be a JSON file that `edgerec mix fit` wrote; there is none")
    try:
        return parse_document(
            document_bytes(path, what="prior"), path=path, model=MixPrior, what="prior", format_number=FORMAT
        )
    except (FormatError, ValidationError) as error:
        text = first_fault(error) if isinstance(error, ValidationError) else str(error)
        raise ConfigurationError(text) from None
