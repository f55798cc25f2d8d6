"""The block that explains the names on the page, for readers who have only the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgerec.reports.bench.devices import Device
from edgerec.reports.block import Block, Table

_STAGES = {
    "hubsm_ie": "the encoder of one exposure (an item that was shown), from its vectors and the stored state",
    "hubsm_ipv": "the encoder of one page-view (an item that was opened), from its vectors and the stored state",
    "sequence": "a sequence of behaviours: one step with a stored state, or the encoder of the whole sequence",
    "rerank": "the model that scores the candidates, from their vectors and the encodings of all behaviours",
    "behaviour": "the application reports an exposure, until its encoding and the new states are stored",
    "behaviour_durable": "the same, until the raw row is safe on the disk",
    "response": "the trigger of a re-rank, until the feed has its new order and the request is recorded",
    "rerank_personal": "the same as rerank by edgerec, and the scores of the user's patch",
    "response_personal": "the same as response, with a patch of the user",
    "train_patch": "the training of the user's patch on the device",
    "crban": "the model of the stage rerank",
    "mix": "the plan of a mixed feed: from scores to an order that follows the rules",
}
_NAMES = {
    "mnn": "MNN alone: write the inputs, run the model, copy the outputs",
    "edgerec": "what an application calls: MNN with all checks of EdgeRec",
    "edgerec_new": "the same as edgerec, with nothing kept from earlier plans",
    "dp": "the exact solver for values that depend on a card, its place and the kind before it",
    "beam": "the solver for values that depend on more",
    "greedy": "the best card at each place, one place after the other",
    "highs": "the solver for integer programs of SciPy",
    "shared": "the same without a patch",
    "patch": "the patch alone",
    "training": "one training, without the gate",
    "gradient_50": "one training of 50 gradient steps, whatever the head does",
    "candidate_vectors": "EdgeRec makes what a re-rank reads",
    "step": "one step with a stored state, after so many behaviours",
    "full": "as many steps as there are behaviours, because no state is stored",
    "onnxruntime": "ONNX Runtime on the equations of the paper, with native GRU nodes",
    "onnxruntime_io_binding": "the same, with memory that is bound before the calls",
    "onnxruntime_device_graph": "ONNX Runtime on the graphs from which the MNN models were converted",
    "litert": "LiteRT with XNNPACK, on models from TensorFlow's own converter",
    "keras": "Keras layers, compiled by TensorFlow and XLA for fixed shapes",
    "numpy": "the equations in NumPy",
    "mnn_default_export": "MNN, one thread, on what tf2onnx and MNN's converter make of the Keras model without flags",
    "mnn_default_export_as_is": "the same with default settings, so MNN starts several threads",
}
_SUFFIX = "_full"
_WORDS = {
    "p50, p99": "half of the calls take at most p50; one in a hundred takes longer than p99",
    "spread": "distance between the quartiles of the medians of rounds, divided by their median",
    "unsteady": "do not trust the durations of the row, and a ratio only if its range is narrow",
}
_COMMANDS = {"commands": "the operations that MNN executes for a model in one run"}


def names(devices: Sequence[Device]) -> Block | None:
    """Return a line for each stage, implementation and word that the documents contain."""
    rows = list(_rows(devices))
    table = Table(("name", "meaning"), rows, texts=2)
    return Block("names", "Names on this page", table=table, prose=True) if rows else None


def _rows(devices: Sequence[Device]) -> Iterator[tuple[str, str]]:
    documents = [device.document for device in devices]
    results = [row for document in documents for row in document["results"]]
    operations = [entry for document in documents for entry in document["operations"]]
    stages = {row["stage"] for row in [*results, *operations]}
    found = {row["name"] for row in results}
    yield from ((name, text) for name, text in _STAGES.items() if name in stages)
    yield from ((name, text) for name, text in _NAMES.items() if name in found)
    if any(name.endswith(_SUFFIX) for name in found):
        yield _SUFFIX, "the engine runs the encoder of the whole sequence at once"
    if any(name.startswith("mnn:") for name in found):
        yield "mnn:NAME", "MNN alone, on another bundle: its precision, or the name of its folder"
    yield from _WORDS.items() if results else ()
    yield from _COMMANDS.items() if operations else ()
