"""Training further: a training that starts from the weights of a run.

This module does not import TensorFlow. So a wrong input is found before that import, which takes seconds.
"""

from __future__ import annotations

from pathlib import Path

from edgerec.core.errors import ConfigurationError
from edgerec.data.samples import Samples
from edgerec.model.config import TrainConfig
from edgerec.model.run_head import RunHead, check_samples, read_run_head

ARCHITECTURE = ("model", "units", "layers")
"""The settings that the shapes of weights depend on. The run determines them."""


def read_start(path: Path, samples: Samples) -> RunHead:
    """Read the head of the run in the folder `path`, and check that its model can be trained further on `samples`.

    Raises:
        FormatError: there is no such run, or a file is damaged.
        SpecificationError: the samples have other features, vocabularies or limits than the run.
    """
    head, vocabularies = read_run_head(path)
    check_samples(head, vocabularies, samples, advice="make samples of these logs with `edgerec samples --like RUN`")
    return head


def continued(config: TrainConfig, head: RunHead) -> TrainConfig:
    """Return `config` with the model, the width and the depth of a run.

    Raises:
        ConfigurationError: `config` states another model, width or depth.
    """
    own = {name: getattr(head.config, name) for name in ARCHITECTURE}
    for name, value in own.items():
        received = getattr(config, name)
        if name in config.model_fields_set and received not in (None, value):
            raise ConfigurationError(
                f"train: `{name}` of the run {head.version_id} is {value}; received {received}: leave it out to train "
                "the run further, or train a new run without --from"
            )
    return config.model_copy(update=own)
