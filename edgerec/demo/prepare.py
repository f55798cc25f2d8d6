"""Make what the demo needs the first time: simulate a small world, train a model on its logs, and export it.

Importing this module imports TensorFlow.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from edgerec.core.atomic import output_folder, write_json
from edgerec.core.console import log, stage
from edgerec.demo.folder import DemoParts
from edgerec.export.bundle import export_bundle
from edgerec.quickstart import CONFIG, WORLD, train_on_world
from edgerec.simulation.config import CloudConfig

DEMO_WORLD = replace(
    WORLD,
    users=700,
    behaviour=replace(
        WORLD.behaviour, intent_shift=0.6, intent_shift_action=0.1, intent_drift=0.0, category_fatigue=0.5
    ),
    cloud=CloudConfig(page=30, recall=60, recall_temperature=2.0, session=0.0, noise=0.5),
)
"""The world of the quickstart with fewer users. Its lists have more categories, and an opened item changes more of what
its user wants next. So a short training learns what the page should show: the order follows the taps."""
EPOCHS = 4
DEMO_CONFIG = CONFIG.model_copy(update={"seed": 1, "layers": 1, "epochs": EPOCHS, "decay_epochs": EPOCHS})
LIMITS = {"candidates": 60, "exposures": 30, "page_views": 15}
PARITY_REQUESTS = 50
"""Number of requests on which the export compares the device models with Keras."""


def prepare_demo(out: Path) -> DemoParts:
    """Write the folder `out` with logs, samples, run and bundle. It is complete, or it does not exist.

    Raises:
        OutputError: `out` exists already.
        EdgeRecError: a step failed. Then nothing is left in `out`.
    """
    started = time.perf_counter()
    with output_folder(out, kind="demo") as folder:
        log(f"demo: the first start makes a small world and a model in {out}; this takes about two minutes")
        log("demo: if you stop it meanwhile, nothing is kept")
        _, _, run = train_on_world(DEMO_WORLD, DEMO_CONFIG, folder, out=out, limits=LIMITS)
        with stage("export"):
            export_bundle(folder / "run", folder / "bundle", samples_path=folder / "samples", requests=PARITY_REQUESTS)
        seconds = time.perf_counter() - started
        head = {"schema": 1, "kind": "demo", "version_id": run.head.version_id, "seconds": seconds}
        write_json(folder / "demo.json", head)
    log(f"demo: {out} is ready after {seconds:.0f} s; later starts reuse it")
    return DemoParts(out / "bundle", out / "logs")
