"""The packages of the extra `experiments`. Other modules import them from here, so a missing one gives one error."""

from __future__ import annotations

from edgerec.core.errors import MissingExtraError, not_installed

try:
    import tea_tasting
    import tea_tasting.aggr
    import tea_tasting.experiment
    from scipy import stats
except ModuleNotFoundError as error:
    missing = (error.name or "tea_tasting").partition(".")[0]
    raise MissingExtraError(not_installed(missing, "experiments")) from None

__all__ = ["stats", "tea_tasting"]
