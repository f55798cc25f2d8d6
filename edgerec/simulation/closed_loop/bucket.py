"""A bucket of an A/B test: how its users are served."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from edgerec.core.errors import ConfigurationError
from edgerec.device_runtime.config import ClientConfig
from edgerec.mixing.config import MixConfig

CONTROL = "cloud"
"""The name of the bucket without EdgeRec."""
_NAME = re.compile(r"\w[\w .+-]{0,79}", re.ASCII)
"""Names of buckets. They become names of folders and stand in reports."""
_TRAINING_MS = 600_000
"""Budget of a training. Results of a simulation should not depend on how busy the machine is."""


@dataclass(frozen=True)
class Bucket:
    """How the users of one bucket are served. The defaults are those of the client and of the paper.

    Attributes:
        name: the name in results.
        bundle: the bundle that the device runs; None for a device without a model, which shows the cloud's order.
        page: items of a page that the user sees.
        fetch: items that the device holds after a page arrived. Default: 100 with a model, else `page`.
        prefetch: the next page is requested when the user has this many items left.
        candidates: number of items that a re-rank orders (k); None: as many as the model reads.
        triggers: what starts a re-rank. Default: the client's.
        exposures_without_click: number of exposures for the trigger `exposures`.
        device_ms: time from a trigger until the new order is on the screen. Meanwhile the user goes on.
        in_view: number of items that are on the screen at once. They do not move any more.
        delivery_s: seconds between two deliveries of log rows. So the cloud knows behaviours up to this much later
            (section 1 of the paper: up to a minute).
        explore, explore_places, explore_among: exploration of the next places (`ClientConfig`).
        mix: how the client mixes kinds of cards, if the bundle has rules. Default: the client's.
        mix_spread: width of the range around each target share of `mix` from which a user's own target is. Caps are
            whole numbers of cards a page, so with equal targets the shares of all users would jump together.
        personal: whether each user gets a patch of the model, which the device trains (docs/personalization.md). The
            bundle needs a head for patches.

    Raises:
        ConfigurationError: a value is not valid.
    """

    name: str
    bundle: Path | None = None
    page: int = 50
    fetch: int | None = None
    prefetch: int = 10
    candidates: int | None = None
    triggers: tuple[str, ...] = field(default=ClientConfig.triggers)
    exposures_without_click: int = 10
    device_ms: int = 20
    in_view: int = 1
    delivery_s: int = 60
    explore: float = 0.0
    explore_places: int = ClientConfig.explore_places
    explore_among: int = ClientConfig.explore_among
    mix: MixConfig | None = None
    mix_spread: float = 0.0
    personal: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                "bucket: a name should have 1 to 80 letters (a to z), digits, spaces and characters of _.+- and should "
                f"not begin with a sign; received {self.name!r:.100}: rename the folder of the bundle, or the bucket"
            )
        if self.bundle is None and (self.explore or self.candidates is not None):
            raise ConfigurationError(f"bucket {self.name!r}: explore and candidates need a bundle, which orders items")
        if self.bundle is None and self.personal is True:
            raise ConfigurationError(f"bucket {self.name!r}: personal needs a bundle, whose model patches change")
        if self.explore and self.in_view != 1:
            raise ConfigurationError(f"bucket {self.name!r}: explore needs in_view = 1; received {self.in_view}")
        for name, least in (("device_ms", 0), ("in_view", 1), ("delivery_s", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(
                    f"bucket {self.name!r}: {name} should be a whole number of at least {least}; received {value!r:.80}"
                )
        try:
            self.client(logs=True)
        except ConfigurationError as error:
            raise ConfigurationError(f"bucket {self.name!r}: {error}") from None

    def client(self, *, logs: bool, user_id: int | None = None) -> ClientConfig:
        """Return the configuration of the client.

        Args:
            logs: whether the logs are kept. A device without a model makes requests only for the logs.
            user_id: the user, who has target shares of their own if `mix_spread` is not 0.
        """
        silent = self.bundle is None and not logs
        return ClientConfig(
            page=self.page,
            fetch=self.fetch if self.fetch is not None else (100 if self.bundle is not None else self.page),
            prefetch=self.prefetch,
            candidates=self.candidates,
            triggers=() if silent else self.triggers,
            exposures_without_click=self.exposures_without_click,
            send_interval_ms=1000 * self.delivery_s,
            explore=self.explore,
            explore_places=self.explore_places,
            explore_among=self.explore_among,
            mix=self._mix_of(user_id),
            personal=self.personal,
            personal_budget_ms=_TRAINING_MS,
        )

    def _mix_of(self, user_id: int | None) -> MixConfig:
        """Return how the client of a user mixes. The user's place in the spread is a hash of the ID."""
        if self.mix is None:
            return MixConfig()
        if user_id is None or not self.mix_spread:
            return self.mix
        digest = hashlib.blake2b(f"mix {user_id}".encode(), digest_size=8).digest()
        moved = self.mix_spread * (int.from_bytes(digest, "little") / 2**64 - 0.5)
        return replace(
            self.mix, targets={kind: min(max(share + moved, 0.0), 1.0) for kind, share in self.mix.targets.items()}
        )

    def document(self) -> dict[str, Any]:
        """Return the settings as JSON."""
        mixing = {} if self.mix is None else {"mix": asdict(self.mix), "mix_spread": self.mix_spread}
        personal = {"personal": True} if self.personal else {}
        plain = [one.name for one in fields(self) if one.name not in ("name", "mix", "mix_spread", "personal")]
        values = {name: getattr(self, name) for name in plain}
        return {
            **values,
            "bundle": None if self.bundle is None else str(self.bundle),
            "triggers": list(self.triggers),
            **mixing,
            **personal,
        }
