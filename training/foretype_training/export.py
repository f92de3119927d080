"""From weights to the ONNX graphs of a bundle.

The graph is written node by node instead of being traced: so each cell becomes the one
fused operator that ONNX has for it, peepholes included, and nothing else is in it.
Operators are those of https://onnx.ai/onnx/operators/ at opset 17.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from foretype_models import alphabet, inputs
from foretype_models.architecture import STATE_NAMES, Architecture, Cell

Weights = Mapping[str, npt.NDArray[np.float32]]
"""By name, as in the network's state_dict and in weights.safetensors."""

OPSET = 17

_OPERATORS: dict[Cell, str] = {"lstm": "LSTM", "peephole": "LSTM", "gru": "GRU", "rnn": "RNN"}
_GATES: dict[Cell, list[int]] = {
    "lstm": [0, 3, 1, 2],  # ours stand in the order i, f, g, o, ONNX's i, o, f, g
    "peephole": [0, 3, 1, 2],
    "gru": [1, 0, 2],  # r, z, n against z, r, n
    "rnn": [0],
}


def to_onnx(architecture: Architecture, weights: Weights, embedded: float | None = None) -> bytes:
    """The fp32 network as an ONNX file; if `embedded` is given, with embeddings of 16 bits, their
    sum clipped to +-`embedded`: what becomes the int8 network.

    Inputs: `rows`, int64 (time, batch, features), see `foretype_models.inputs`, and the
    state, float32 (1, batch, hidden) each, by the names of `Architecture.state_names`.
    Outputs: `log_probs`, float32 (time, batch, alphabet), natural logarithms; the new state
    under the same names with `_out`; and `hidden`, (time, batch, hidden), the sum of all layers'
    hidden states, which the output reads.
    """
    graph = _Graph(weights)
    summed = _embedded(graph, inputs.features(architecture), halved=embedded is not None)
    if embedded is not None:
        bounds = [
            graph.array(f"bound{sign}", np.array(sign * embedded, np.float32)) for sign in (-1, 1)
        ]
        summed = graph.node("Clip", [summed, *bounds])
    layer = summed
    for number in range(architecture.layers):
        named = ["hidden"] if number == architecture.layers - 1 else None
        if number == 0:
            layer = _layer(graph, architecture, number, layer, named)
        else:
            output = _layer(graph, architecture, number, layer)
            layer = graph.node("Add", [layer, output], named)
    joined = graph.node("Concat", [layer, summed], axis=2)
    kernel = graph.array("output.kernel", weights["output.weight"].T)
    product = graph.node("MatMul", [joined, kernel])
    logits = graph.node("Add", [product, graph.weight("output.bias")])
    graph.node("LogSoftmax", [logits], ["log_probs"], axis=2)
    return graph.model(architecture).SerializeToString()


def _embedded(graph: _Graph, features: int, halved: bool) -> str:
    """The sum of the rows' embeddings, added up in one order however many symbols are read:
    a ReduceSum's order depends on that, and the answer's last bit with it."""
    name, kind = "embedding.weight", np.float16 if halved else np.float32
    table = graph.array(name, graph.weights[name].astype(kind))
    gathered = graph.node("Gather", [table, "rows"])
    if halved:
        gathered = graph.node("Cast", [gathered], to=TensorProto.FLOAT)
    if features > 1:
        parts = [f"feature{number}" for number in range(features)]
        graph.node("Split", [gathered, graph.constant("ones", [1] * features)], parts, axis=2)
        gathered = graph.node("Sum", parts)
    return graph.node("Squeeze", [gathered, graph.constant("feature_axis", [2])])


def _layer(
    graph: _Graph,
    architecture: Architecture,
    number: int,
    inputs: str,
    named: list[str] | None = None,
) -> str:
    """A recurrent operator, whose first axis of the state is the direction: there is one."""
    cell, hidden = architecture.cell, architecture.hidden_size
    state = [f"{name}{number}" for name in STATE_NAMES[cell]]
    parameters = _parameters(architecture, number, graph.weights)
    w, r, b = (graph.array(f"layers.{number}.{k}", parameters[k]) for k in ("w", "r", "b"))
    operands = [inputs, w, r, b, "", *state]  # "" stands for the optional sequence lengths
    if "p" in parameters:
        operands.append(graph.array(f"layers.{number}.p", parameters["p"]))
    attributes: dict[str, object] = {"hidden_size": hidden}
    if cell == "gru":
        attributes["linear_before_reset"] = 1
    outputs = [f"outputs{number}", *(f"{name}_out" for name in state)]
    graph.node(_OPERATORS[cell], operands, outputs, **attributes)
    direction = graph.constant("direction_axis", [1])
    return graph.node("Squeeze", [outputs[0], direction], named)


def _parameters(
    architecture: Architecture, number: int, weights: Weights
) -> dict[str, npt.NDArray[np.float32]]:
    """Weights w, r, b (and peepholes p) of a layer in ONNX's order of gates, (1, ...) each."""
    order, hidden = _GATES[architecture.cell], architecture.hidden_size

    def gates(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        parts = array.reshape(len(order), hidden, *array.shape[1:])
        return parts[order].reshape(array.shape)

    prefix = f"layers.{number}."
    if architecture.cell == "peephole":
        bias = gates(weights[prefix + "bias"])
        i, f, o = weights[prefix + "peephole"]
        return {
            "w": gates(weights[prefix + "weight_ih"])[None],
            "r": gates(weights[prefix + "weight_hh"])[None],
            "b": np.concatenate((bias, np.zeros_like(bias)))[None],
            "p": np.concatenate((i, o, f))[None],
        }
    prefix += "fused."
    biases = (gates(weights[prefix + name]) for name in ("bias_ih_l0", "bias_hh_l0"))
    return {
        "w": gates(weights[prefix + "weight_ih_l0"])[None],
        "r": gates(weights[prefix + "weight_hh_l0"])[None],
        "b": np.concatenate(list(biases))[None],
    }


class _Graph:
    """Collects nodes and weights; every node's first output names it."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, TensorProto] = {}

    def node(
        self,
        operator: str,
        operands: list[str],
        outputs: list[str] | None = None,
        **attributes: Any,
    ) -> str:
        outputs = outputs or [f"{operator.lower()}_{len(self._nodes)}"]
        self._nodes.append(helper.make_node(operator, operands, outputs, **attributes))
        return outputs[0]

    def array(self, name: str, array: npt.NDArray[Any]) -> str:
        self._initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def weight(self, name: str) -> str:
        return self.array(name, self.weights[name])

    def constant(self, name: str, values: list[int]) -> str:
        return self.array(name, np.array(values, dtype=np.int64))

    def model(self, architecture: Architecture) -> onnx.ModelProto:
        features = inputs.features(architecture)
        shape = [1, "batch", architecture.hidden_size]
        names = architecture.state_names

        def floats(name: str, shape: list[Any]) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        rows = helper.make_tensor_value_info("rows", TensorProto.INT64, ["time", "batch", features])
        graph = helper.make_graph(
            self._nodes,
            "foretype",
            [rows, *(floats(name, shape) for name in names)],
            [
                floats("log_probs", ["time", "batch", alphabet.SIZE]),
                *(floats(f"{name}_out", shape) for name in names),
                floats("hidden", ["time", "batch", architecture.hidden_size]),
            ],
            list(self._initializers.values()),
        )
        opset = helper.make_opsetid("", OPSET)
        # The oldest format that has this opset, so that older runtimes can read it.
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        onnx.checker.check_model(model)
        return model
