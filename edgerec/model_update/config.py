"""The configuration of the updater."""

from __future__ import annotations

from dataclasses import dataclass, fields

from edgerec.core.errors import ConfigurationError

_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class UpdateConfig:
    """How a device looks for a new model version and downloads it.

    Attributes:
        check_ms: time between two questions to the cloud.
        wait_ms: time until the application is asked again whether a download is allowed.
        retry_first_ms, retry_most_ms: waiting time after a failure. It doubles with each failure.
        refused_ms: time until a version that was refused is tried again. Another offer is looked at before that.
        max_bytes: the largest size of a version.
        piece_bytes: number of bytes of one request.
        tries: if the process has died so often while it loaded a version, the version is refused.

    Raises:
        ConfigurationError: a value is not a whole number, or it is too small.
    """

    check_ms: int = _HOUR_MS
    wait_ms: int = 60_000
    retry_first_ms: int = 10_000
    retry_most_ms: int = 6 * _HOUR_MS
    refused_ms: int = 24 * _HOUR_MS
    max_bytes: int = 64 * 1024 * 1024
    piece_bytes: int = 256 * 1024
    tries: int = 3

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(
                    f"update: `{one.name}` should be a whole number above 0; received {value!r:.80}"
                )
