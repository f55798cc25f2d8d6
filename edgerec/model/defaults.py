"""Settings that the user leaves out. They are chosen by the size of the samples (docs/training.md, "By size").

The choice depends only on the configuration and the samples, so a resumed training makes the same choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.core.text import counted
from edgerec.data.samples import NOT_EXPOSED, TRAIN, VALIDATION, Samples
from edgerec.model.config import ResolvedConfig, TrainConfig
from edgerec.rankers.registry import find_model

SMALL = 200_000
"""An epoch of fewer requests counts as small. Larger samples get the settings of the paper."""
BATCH_SIZES = ((80_000, 512), (40_000, 256), (8_000, 128), (4_000, 64), (0, 32))
"""For small samples: the batch size from a number of requests in an epoch on. An epoch of at least 2,000 requests then
has at least 60 training steps."""
EPOCHS = 6
"""Number of epochs for fewer requests than `OWN_EPOCHS_FROM`."""
OWN_EPOCHS_FROM = 8_000
"""From this number of requests on, small samples get the number of epochs of the model (`Model.small_epochs`)."""
FEW_STEPS = 20
"""A model hardly learns in an epoch with fewer training steps."""
RARE = 10
"""An item with fewer training exposures counts as new."""
UNKNOWN_RATES = (0.05, 0.95)
"""Smallest and largest `unknown_rate`."""
XLA_PAYS = 200_000
"""XLA is used if requests times epochs times layers are at least this number. XLA compiles about 50 shapes of batches,
each for 2 to 3 seconds; it then saves 0.5 to 1 ms for each request and layer (measured on one core)."""


@dataclass(frozen=True)
class SampleSize:
    """What the choice depends on.

    Attributes:
        requests: number of requests in an epoch.
        new_items: share of the validation's exposures whose item is new, or None if it is not needed.
    """

    requests: int
    new_items: float | None = None


def resolve(config: TrainConfig, samples: Samples) -> ResolvedConfig:
    """Return `config` with all settings. Settings that it leaves out are chosen by the size of the samples."""
    return choose(config, sample_size(config, samples))


def sample_size(config: TrainConfig, samples: Samples) -> SampleSize:
    """Measure what the settings depend on that `config` leaves out.

    Raises:
        FormatError: a shard is missing or damaged.
    """
    split = samples.head.splits[TRAIN]
    requests = split.pages if config.one_per_page else split.requests
    return SampleSize(requests, share_of_new_items(samples) if config.unknown_rate is None else None)


def choose(config: TrainConfig, size: SampleSize) -> ResolvedConfig:
    """Return `config` with all settings, for samples of this size."""
    small = size.requests < SMALL
    own = find_model(config.model).small_epochs if size.requests >= OWN_EPOCHS_FROM else EPOCHS
    default = own if small else 10
    epochs = config.epochs or default
    layers = config.layers or (1 if small else 3)
    chosen = {
        "layers": layers,
        "gain": 1.0 if small else 2.0,
        "batch_size": _batch_size(size.requests) if small else 512,
        # If the user wants more epochs than the default, patience can end the training after the decay.
        "decay_epochs": min(epochs, default) if small else 0,
        "unknown_rate": None if size.new_items is None else _unknown_rate(size.new_items),
        "epochs": epochs,
    }
    settings = {**chosen, **config.model_dump(exclude_none=True)}
    if settings["compiled"] == "auto":
        settings["compiled"] = xla_pays(size.requests, epochs=epochs, layers=layers)
    return ResolvedConfig.model_validate(settings)


def xla_pays(requests: int, *, epochs: int, layers: int) -> bool:
    """Return whether a training is so long that XLA saves more time than it takes to compile."""
    return requests * epochs * layers >= XLA_PAYS


def describe(config: TrainConfig, resolved: ResolvedConfig, samples: Samples) -> str | None:
    """Return a line with the settings that were chosen by size, or None if the user gave all of them."""
    chosen = [
        f"{name} {str(value).lower() if isinstance(value, bool) else value}"
        for name, value in resolved
        if getattr(config, name) in (None, "auto") and value is not None
    ]
    requests = sample_size(resolved, samples).requests
    return f"{requests:,} training requests in an epoch: {', '.join(chosen)}" if chosen else None


def large_batches(config: TrainConfig, samples: Samples) -> str | None:
    """Return a warning if the batches that the user chose are so large that an epoch has few steps, else None."""
    if config.batch_size is None:
        return None
    split = samples.head.splits[TRAIN]
    requests = split.pages if config.one_per_page else split.requests
    steps, default = math.ceil(requests / config.batch_size), _batch_size(requests)
    if steps >= FEW_STEPS or config.batch_size <= default:
        return None
    return (
        f"train: batch_size {config.batch_size} is too large for an epoch of {requests:,} requests: it has only "
        f"{counted(steps, 'training step', 'training steps')}, in which a model learns little: leave batch_size out "
        f"(then it is {default}), or make it smaller"
    )


def share_of_new_items(samples: Samples) -> float:
    """Return the share of the validation's exposures whose item is new: it has few training exposures.

    Raises:
        FormatError: a shard is missing or damaged.
    """
    known = np.zeros(len(samples.items), np.int64)
    for rows in _exposed_rows(samples, TRAIN):
        known += np.bincount(rows, minlength=len(known))
    new = [known[rows] < RARE for rows in _exposed_rows(samples, VALIDATION)]
    return float(np.mean(np.concatenate(new))) if any(map(len, new)) else 0.0


def _exposed_rows(samples: Samples, split: str) -> Iterator[NDArray[np.int32]]:
    """Yield the catalogue rows of the exposed candidates of each shard."""
    for requests in samples.requests(split):
        yield requests.row[requests.label != NOT_EXPOSED]


def _batch_size(requests: int) -> int:
    return next(size for least, size in BATCH_SIZES if requests >= least)


def _unknown_rate(new_items: float) -> float:
    low, high = UNKNOWN_RATES
    return round(min(max(new_items, low), high), 2)
