"""The peers of the device models: other converters make models of the same functions, for `edgerec bench --peers`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from keras import ops

from edgerec.bundle.layout import PEERS
from edgerec.bundle.peer_weights import Attention, Gru, Head, Stack, Weights, save_weights
from edgerec.core.atomic import write_bytes
from edgerec.core.errors import ConversionError, InputError, first_line
from edgerec.export.convert import convert_to_mnn
from edgerec.export.litert import litert_ranker, litert_sequence, to_litert
from edgerec.export.split import SplitModel
from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE, PAGE_VIEW, BehaviourKind, Limits
from edgerec.graphs.builder import OPSET
from edgerec.graphs.gru import GruStackWeights
from edgerec.model.reranker import Reranker
from edgerec.rankers.crban_reference import build_reference_sequence
from edgerec.rankers.ranker import BehaviourWindow, RankInputs


def write_peers(model: Reranker, parts: SplitModel, limits: Limits, bundle: Path) -> None:
    """Write what the peers of the paper's full model read into the folder `golden/peers` of a bundle.

    Each model computes the equations directly. TensorFlow's own converter makes the models of LiteRT. tf2onnx and MNN's
    converter without flags make `crban.mnn` from the Keras layer. Its bytes change from run to run, because tf2onnx
    numbers constants in the order of sets.

    Args:
        model: the trained model.
        parts: the same model, split.
        limits: the lengths of the ranker's inputs.
        bundle: the bundle's folder.

    Raises:
        InputError: `model` is not the paper's full model.
        ConversionError: a converter fails.
    """
    check_peers(model)
    folder = bundle / PEERS
    weights = write_arrays(parts, bundle)
    for kind in model.behaviour_kinds:
        write_bytes(folder / f"{kind.step_model}.tflite", litert_step(model, kind))
        write_bytes(folder / f"{kind.step_model}_full.tflite", litert_sequence(weights, kind))
    write_bytes(folder / "crban.tflite", litert_ranker(weights, limits))
    source = folder / "crban.onnx"
    write_bytes(source, _ranker(model, limits))
    convert_to_mnn(source, folder / "crban.mnn", native=False)
    source.unlink()


def write_arrays(parts: SplitModel, bundle: Path) -> Weights:
    """Write what needs no Keras: the encoders of whole sequences for ONNX Runtime and MNN, and the weights as arrays.

    Returns:
        The weights.

    Raises:
        ConversionError: MNN's converter fails.
    """
    folder = bundle / PEERS
    folder.mkdir()
    ranker: Any = parts.ranker
    encoders: Any = parts.encoders
    for kind, encoder in encoders.items():
        graph = build_reference_sequence(encoder, attention=ranker.attentions[kind])
        path = folder / f"{kind.step_model}_full.onnx"
        write_bytes(path, graph.SerializeToString(deterministic=True))
        convert_to_mnn(path, path.with_suffix(".mnn"))
    weights = Weights(
        actions={kind: _stack(encoder.action) for kind, encoder in encoders.items()},
        items={kind: _stack(encoder.item) for kind, encoder in encoders.items()},
        attentions={
            kind: Attention(*(getattr(attention, field) for field in Attention._fields))
            for kind, attention in ranker.attentions.items()
        },
        candidates=_stack(ranker.candidate),
        head=Head(*(getattr(ranker.head, field) for field in Head._fields)),
    )
    save_weights(weights, bundle)
    return weights


def _stack(layers: GruStackWeights) -> Stack:
    return tuple(Gru(layer.kernel, layer.recurrent_kernel, layer.bias) for layer in layers)


def check_peers(model: Reranker) -> None:
    """Check that `model` is the paper's full model. No other model has peers.

    Raises:
        InputError: `model` is another model.
    """
    if model.model_name != "crban":
        raise InputError(f"export: --peers is only for the model crban; received {model.model_name}: leave --peers out")


def litert_step(model: Reranker, kind: BehaviourKind) -> bytes:
    """Return a LiteRT model of one step.

    Its inputs are `action` (1, 1, d_a), `item` (1, 1, d_x) and `state`. Its outputs are the key, the fused encoding and
    the new state.
    """
    encoder: Any = model.encoder_of(kind)
    attention = model.ranker.attention_of(kind)

    def step(action: Any, item: Any, state: Any) -> tuple[Any, Any, Any]:
        states: list[Any] = []
        tops = []
        for stack, x in ((encoder.action_stack, action[:, 0]), (encoder.item_stack, item[:, 0])):
            for gru in stack.grus:
                x, _ = gru.cell(x, [state[len(states)]])
                states.append(x)
            tops.append(x)
        return attention.key_projection(tops[1]), ops.concatenate(tops[::-1], axis=-1), ops.stack(states)

    layers = 2 * model.layers_per_stack
    shapes = {
        "action": (1, 1, model.action_of(kind).width),
        "item": (1, 1, model.item_embedding.width),
        "state": (layers, 1, model.units),
    }
    return to_litert(step, shapes)


def _ranker(model: Reranker, limits: Limits) -> bytes:
    """Return an ONNX model of the ranker.

    Its inputs are `candidates` (1, k, d_c), `exposures` (1, m, 2 units) and `page_views` (1, n, 2 units). All sequences
    have their maximal length.
    """

    def rank(candidates: Any, exposures: Any, page_views: Any) -> Any:
        fused = {EXPOSURE: exposures, PAGE_VIEW: page_views}
        behaviours = {kind: BehaviourWindow(fused[kind], tf.constant([limits.of(kind)])) for kind in fused}
        length, every = tf.constant([limits.candidates]), tf.range(limits.candidates)[None]
        return model.ranker.rank(RankInputs(candidates, None, length, every, behaviours))

    shapes = {
        "candidates": (1, limits.candidates, model.item_embedding.width),
        **{kind.plural: (1, limits.of(kind), 2 * model.units) for kind in BEHAVIOUR_KINDS},
    }
    import tf2onnx

    function = _function(rank, shapes)
    try:
        proto, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=OPSET)
    except Exception as error:  # tf2onnx raises errors of any type
        raise ConversionError(f"cannot convert the ranker by tf2onnx: {first_line(error)}") from error
    return bytes(proto.SerializeToString())


def _function(call: Callable[..., Any], shapes: Mapping[str, tuple[int, ...]]) -> Any:
    return tf.function(
        call, input_signature=[tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()]
    )
