"""The configuration of a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from edgerec.core.errors import ConfigurationError
from edgerec.device_runtime.triggers import TRIGGERS, Trigger
from edgerec.mixing.config import MixConfig


@dataclass(frozen=True)
class ActionColumns:
    """The columns into which the client writes what `scrolled`, `deleted` and `purchased` report.

    The defaults are those of Table 1. A column that the specification does not read is left out.
    """

    scroll_speed: str = "scroll_speed"
    scroll_duration: str = "scroll_duration_s"
    scroll_count: str = "scroll_count"
    delete_reason: str = "delete_reason"
    purchase: str = "buy"


@dataclass(frozen=True)
class ClientConfig:
    """How a client behaves. The defaults are those of the paper where it names a number.

    Attributes:
        page: number of items of a page that the user sees.
        fetch: number of items that the device holds after a page arrived. Those beyond `page` are further candidates.
        prefetch: the next page is requested when the user has this many items, or fewer, before the end of the page.
        kept_pages: number of latest pages whose items still get exposures and clicks. Then their requests are sent.
        candidates: number of items that a re-rank orders, counted from the first one that may move (top-N). None: as
            many as the model reads.
        rank_pages: whether a new page is ranked when it arrives.
        triggers: the names of the triggers. If several fire at once, the first one is the reason.
        own_triggers: triggers of the application, by name.
        exposures_without_click: number of exposures for the trigger `exposures`.
        page_timeout_ms: after this time, an item's page counts as never left, and the trigger `click` fires.
        debounce_ms: time between two re-ranks of triggers. A trigger in between waits.
        budget_ms: the largest duration of a re-rank. None: any.
        shadow: score and log, but leave the order as it is.
        explore: epsilon. With this probability, an explored place of a new order shows a random one of the best
            candidates. 0: no exploration.
        explore_places: number of places that are explored, counted from the first one that may move.
        explore_among: number of the best remaining candidates of which an explored place shows one.
        mix: how the kinds of cards are mixed, if the model has rules (docs/mixing.md). A mixed order is not explored.
        personal: whether the user gets a patch of the model, which the device trains (docs/personalization.md). Without
            a head for patches in the bundle, it does nothing.
        personal_idle_ms: a patch is trained when the user has done nothing for this time, and when the client closes.
        personal_interval_ms: the shortest time between two trainings.
        personal_budget_ms: the largest duration of a training. One that takes longer is given up.
        send_rows: the largest number of log rows in one batch.
        send_interval_ms: time between two deliveries of log rows.
        prune_interval_ms: time between two applications of the store's retention.
        retry_first_ms, retry_most_ms: waiting time after a failed request to the cloud. It doubles with each failure.
        columns: columns of partial values.

    Raises:
        ConfigurationError: a value has a wrong type, a number is too small, or a trigger is unknown.
    """

    page: int = 50
    fetch: int = 100
    prefetch: int = 10
    kept_pages: int = 3
    candidates: int | None = None
    rank_pages: bool = True
    triggers: tuple[str, ...] = ("click", "delete", "exposures")
    own_triggers: Mapping[str, Trigger] = field(default_factory=dict)
    exposures_without_click: int = 10
    page_timeout_ms: int = 600_000
    debounce_ms: int = 300
    budget_ms: float | None = None
    shadow: bool = False
    explore: float = 0.0
    explore_places: int = 3
    explore_among: int = 5
    mix: MixConfig = field(default_factory=MixConfig)
    personal: bool = False
    personal_idle_ms: int = 60_000
    personal_interval_ms: int = 600_000
    personal_budget_ms: int = 200
    send_rows: int = 500
    send_interval_ms: int = 10_000
    prune_interval_ms: int = 3_600_000
    retry_first_ms: int = 1_000
    retry_most_ms: int = 300_000
    columns: ActionColumns = ActionColumns()

    def __post_init__(self) -> None:
        least = dict.fromkeys(("page", "fetch", "kept_pages", "candidates", "exposures_without_click", "send_rows"), 1)
        least |= {"explore": 0, "explore_places": 1, "explore_among": 2}
        least |= {one.name: 0 for one in fields(self) if one.name.endswith("_ms") or one.name == "prefetch"}
        for name, smallest in least.items():
            self._check_number(name, smallest)
        if self.personal and self.explore:
            raise ConfigurationError(
                "client: `explore` should be 0 if `personal` is true: the propensities of an explored order belong to "
                "the scores in the logs, and those of a patch never leave the device"
            )
        if self.explore > 1:
            raise ConfigurationError(f"client: `explore` should be at most 1; received {self.explore!r:.80}")
        for name in ("rank_pages", "shadow", "personal"):
            self._check_type(name, bool, "True or False")
        self._check_type("own_triggers", Mapping, "a mapping of names and functions")
        self._check_type("triggers", (tuple, list), "a tuple of names")
        self._check_type("columns", ActionColumns, "ActionColumns(...)")
        self._check_type("mix", MixConfig, "MixConfig(...)")
        for name, trigger in self.own_triggers.items():
            if not callable(trigger):
                raise ConfigurationError(f"client: own trigger {name!r} should be a function; received {trigger!r:.80}")
        if self.prefetch >= self.page:
            raise ConfigurationError(
                f"client: `prefetch` should be below `page`, {self.page}; received {self.prefetch}: a page would be "
                "requested as soon as the one before arrived"
            )
        for name in self.triggers:
            if not isinstance(name, str) or name not in self.known_triggers:
                known = ", ".join(self.known_triggers)
                raise ConfigurationError(f"client: trigger {name!r} is unknown; the known triggers are {known}")

    def _check_number(self, name: str, smallest: int) -> None:
        value = getattr(self, name)
        if value is None and name in ("candidates", "budget_ms"):
            return
        number = name in ("budget_ms", "explore")
        kinds, what = ((int, float), "a number") if number else ((int,), "a whole number")
        if isinstance(value, bool) or not isinstance(value, kinds) or value != value:
            raise ConfigurationError(f"client: `{name}` should be {what}; received {value!r:.80}")
        if value < smallest:
            raise ConfigurationError(f"client: `{name}` should be at least {smallest}; received {value!r:.80}")

    def _check_type(self, name: str, kinds: type | tuple[type, ...], what: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, kinds):
            raise ConfigurationError(f"client: `{name}` should be {what}; received {value!r:.80}")

    @property
    def known_triggers(self) -> dict[str, Trigger]:
        """All triggers by name."""
        return {**TRIGGERS, **self.own_triggers}
