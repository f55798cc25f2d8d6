"""EdgeRec trains a re-ranker for a feed, splits it, and runs it on the user's device.

The names in `__all__` are the public interface. Each name is imported when it is first used. So `import edgerec` is
fast and imports neither TensorFlow nor MNN nor polars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgerec.core.lazy import importable, lazy_attribute

if TYPE_CHECKING:
    from edgerec.bundle.load import load_bundle, load_device_model
    from edgerec.bundle.tables import open_tables
    from edgerec.bundle.verify import verify_bundle
    from edgerec.cloud.server_process import server_process
    from edgerec.core.errors import EdgeRecError
    from edgerec.data.build_samples import write_samples
    from edgerec.data.check.document import check_logs
    from edgerec.data.converter import run_converter
    from edgerec.data.id_columns import hash_ids, number_ids
    from edgerec.data.incomplete import drop_incomplete
    from edgerec.data.logs import Logs, LogsHead, load_logs, open_logs, write_logs
    from edgerec.data.read_csv import read_csv
    from edgerec.data.samples import Samples, open_samples
    from edgerec.data.starting.start import write_start
    from edgerec.data.touches import drop_repeats, label_requests
    from edgerec.data.whole_seconds import order_within_seconds
    from edgerec.device_runtime.client import Client
    from edgerec.device_runtime.config import ClientConfig
    from edgerec.device_runtime.device_model import DeviceModel
    from edgerec.device_runtime.encodings import Encodings
    from edgerec.device_runtime.hubsm import Step
    from edgerec.device_runtime.matches import SeenItems
    from edgerec.device_runtime.store.behaviour_store import BehaviourStore
    from edgerec.explanation.explain import explain
    from edgerec.export.bundle import export_bundle
    from edgerec.features.hashed_ids import hash_id
    from edgerec.features.id_map import IdMap, load_id_map, write_id_map
    from edgerec.features.spec import FeatureSpec, load_spec
    from edgerec.mixing.config import MixConfig
    from edgerec.model.config import TrainConfig
    from edgerec.model.evaluation import evaluate
    from edgerec.model.finishing import finish
    from edgerec.model.runs import Run, load_run
    from edgerec.model.training import train
    from edgerec.model.tuning.tune import finish_search, tune
    from edgerec.model_update.config import UpdateConfig
    from edgerec.model_update.folder import ModelFolder
    from edgerec.model_update.updater import ModelUpdater
    from edgerec.paging.http_transport import HttpTransport
    from edgerec.simulation.config import SimulationConfig
    from edgerec.simulation.population import simulate

__version__ = "0.2.0"

_HOMES = {
    "edgerec.bundle.load": ("load_bundle", "load_device_model"),
    "edgerec.bundle.tables": ("open_tables",),
    "edgerec.bundle.verify": ("verify_bundle",),
    "edgerec.cloud.server_process": ("server_process",),
    "edgerec.core.errors": ("EdgeRecError",),
    "edgerec.data.build_samples": ("write_samples",),
    "edgerec.data.check.document": ("check_logs",),
    "edgerec.data.converter": ("run_converter",),
    "edgerec.data.id_columns": ("hash_ids", "number_ids"),
    "edgerec.data.incomplete": ("drop_incomplete",),
    "edgerec.data.logs": ("Logs", "LogsHead", "load_logs", "open_logs", "write_logs"),
    "edgerec.data.read_csv": ("read_csv",),
    "edgerec.data.samples": ("Samples", "open_samples"),
    "edgerec.data.starting.start": ("write_start",),
    "edgerec.data.touches": ("drop_repeats", "label_requests"),
    "edgerec.data.whole_seconds": ("order_within_seconds",),
    "edgerec.device_runtime.client": ("Client",),
    "edgerec.device_runtime.config": ("ClientConfig",),
    "edgerec.device_runtime.device_model": ("DeviceModel",),
    "edgerec.device_runtime.encodings": ("Encodings",),
    "edgerec.device_runtime.hubsm": ("Step",),
    "edgerec.device_runtime.matches": ("SeenItems",),
    "edgerec.device_runtime.store.behaviour_store": ("BehaviourStore",),
    "edgerec.explanation.explain": ("explain",),
    "edgerec.export.bundle": ("export_bundle",),
    "edgerec.features.hashed_ids": ("hash_id",),
    "edgerec.features.id_map": ("IdMap", "load_id_map", "write_id_map"),
    "edgerec.features.spec": ("FeatureSpec", "load_spec"),
    "edgerec.mixing.config": ("MixConfig",),
    "edgerec.model.config": ("TrainConfig",),
    "edgerec.model.evaluation": ("evaluate",),
    "edgerec.model.finishing": ("finish",),
    "edgerec.model.runs": ("Run", "load_run"),
    "edgerec.model.training": ("train",),
    "edgerec.model.tuning.tune": ("finish_search", "tune"),
    "edgerec.model_update.config": ("UpdateConfig",),
    "edgerec.model_update.folder": ("ModelFolder",),
    "edgerec.model_update.updater": ("ModelUpdater",),
    "edgerec.paging.http_transport": ("HttpTransport",),
    "edgerec.simulation.config": ("SimulationConfig",),
    "edgerec.simulation.population": ("simulate",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "BehaviourStore",
    "Client",
    "ClientConfig",
    "DeviceModel",
    "EdgeRecError",
    "Encodings",
    "FeatureSpec",
    "HttpTransport",
    "IdMap",
    "Logs",
    "LogsHead",
    "MixConfig",
    "ModelFolder",
    "ModelUpdater",
    "Run",
    "Samples",
    "SeenItems",
    "SimulationConfig",
    "Step",
    "TrainConfig",
    "UpdateConfig",
    "check_logs",
    "drop_incomplete",
    "drop_repeats",
    "evaluate",
    "explain",
    "export_bundle",
    "finish",
    "finish_search",
    "hash_id",
    "hash_ids",
    "label_requests",
    "load_bundle",
    "load_device_model",
    "load_id_map",
    "load_logs",
    "load_run",
    "load_spec",
    "number_ids",
    "open_logs",
    "open_samples",
    "open_tables",
    "order_within_seconds",
    "read_csv",
    "run_converter",
    "server_process",
    "simulate",
    "train",
    "tune",
    "verify_bundle",
    "write_id_map",
    "write_logs",
    "write_samples",
    "write_start",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute("edgerec", _HOME, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *importable(_HOME)})
