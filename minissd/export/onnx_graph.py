"""Building an ONNX graph: nodes one after another, their constants, and the finished model.

ONNX writes a network as a list of nodes, each an operator with named inputs and outputs; weights are constants by
name. Maps are (N, C, H, W) there, channels first. The number of images stays open; every other size is fixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

import minissd
from minissd.backend import Array, to_cpu
from minissd.errors import InputError, check

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

# Operator set 17 and file format 8 came together, with ONNX 1.12 in June 2022: every runtime since then reads the file,
# and no node used here is said better in a later set.
OPSET = 17
IR_VERSION = 8

INSTALL = "pip install 'minissd[onnx]'"


def onnx_package() -> ModuleType:
    """Return the package `onnx`, which is imported only here.

    Raises:
        InputError: It is not installed; the message says how to get it.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise InputError(f"the package {error.name} is not installed: {INSTALL}") from error
    return onnx


@dataclass(frozen=True)
class Map:
    """A feature map of the graph.

    Attributes:
        name: Of the tensor (N, C, H, W).
        channels, height, width: Its fixed sizes.
    """

    name: str
    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Port:
    """An input or output of the finished model.

    Attributes:
        name: Of the tensor.
        dtype: Of its numbers.
        shape: Its sizes; a word for one that stays open.
        description: One line for the reader of the file.
    """

    name: str
    dtype: np.dtype | type
    shape: tuple[int | str, ...]
    description: str

    def __str__(self) -> str:
        sizes = ", ".join(map(str, self.shape))
        return f"{self.name} {np.dtype(self.dtype).name} ({sizes}): {self.description}"


class Graph:
    """A graph that grows node by node, in the order in which a runtime visits them.

    Raises:
        InputError: The package `onnx` is not installed.
    """

    def __init__(self):
        self._onnx = onnx_package()
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._names: set[str] = set()

    def node(self, operator: str, *inputs: str, name: str, **attributes: Any) -> str:
        """Append a node with one output.

        Args:
            operator: Of ONNX's own set, such as "Conv".
            inputs: Names of tensors that are there already.
            name: Of the node and of its output.
            attributes: The operator's settings.

        Returns:
            The name of the output.
        """
        return self.nodes(operator, *inputs, names=(name,), **attributes)[0]

    def nodes(
        self, operator: str, *inputs: str, names: Sequence[str], **attributes: Any
    ) -> list[str]:
        """Append a node with several outputs and return their names; otherwise as `node`."""
        for name in names:
            self._claim(name)
        made = self._onnx.helper.make_node(operator, inputs, names, name=names[0], **attributes)
        self._nodes.append(made)
        return list(names)

    def constant(self, numbers: Array | float, name: str) -> str:
        """Add fixed numbers, float32 in the file, and return their name."""
        return self._fix(np.array(to_cpu(numbers), np.float32, order="C"), name)

    def integers(self, numbers: Array | int | Sequence[int], name: str) -> str:
        """Add fixed whole numbers (places, sizes, axes), int64 in the file, and return their name."""
        return self._fix(np.array(numbers, np.int64), name)

    def _fix(self, values: np.ndarray, name: str) -> str:
        self._claim(name)
        self._constants.append(self._onnx.numpy_helper.from_array(values, name))
        return name

    def model(
        self,
        inputs: Sequence[Port],
        outputs: Mapping[str, Port],
        description: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> ModelProto:
        """Finish the model and let ONNX's own checker judge it.

        Args:
            inputs: What the user feeds.
            outputs: What comes out, under the name of the tensor in the graph that holds it.
            description: For the reader of the file.
            metadata: Texts by name that travel along.

        Raises:
            ValueError: The checker found a fault.
        """
        for tensor, port in outputs.items():
            self.node("Identity", tensor, name=port.name)
        helper = self._onnx.helper
        graph = helper.make_graph(
            self._nodes,
            "minissd",
            [self._value_info(port) for port in inputs],
            [self._value_info(port) for port in outputs.values()],
            self._constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="minissd",
            producer_version=minissd.__version__,
            doc_string=description,
        )
        helper.set_model_props(model, dict(metadata or {}))
        self._judge(model)
        return model

    def _claim(self, name: str) -> None:
        check(name not in self._names, "name", "one that is not in the graph yet", name)
        self._names.add(name)

    def _value_info(self, port: Port) -> ValueInfoProto:
        helper = self._onnx.helper
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
        return helper.make_tensor_value_info(port.name, kind, port.shape, port.description)

    def _judge(self, model: ModelProto) -> None:
        """Check names, operators and attributes, and follow types and shapes through the graph."""
        errors = (self._onnx.checker.ValidationError, self._onnx.shape_inference.InferenceError)
        try:
            self._onnx.checker.check_model(model, full_check=True)
        except errors as error:
            raise ValueError(f"the network does not make a valid ONNX graph: {error}") from error
