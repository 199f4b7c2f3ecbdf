"""All private names of Paddle and paddleslim that ppose uses, each behind a function that explains it.

Written for Paddle 3.2.2 and paddleslim 2.6.0. "To check" in a docstring says what a new version may change;
if it does, tests of the callers fail.
"""

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, BinaryIO

import paddle
from paddle import nn
from paddle.nn.layer import layers
from paddle.nn.quant.quant_layers import (
    FakeQuantMovingAverageAbsMax,
    MAOutputScaleLayer,
    QuantizedConv2D,
)

__all__ = ["MAOutputScaleLayer", "QuantizedConv2D"]


# --- convolutions and batch norms ----------------------------------------------------------------------


def conv_groups(conv: nn.Layer) -> int:
    """The groups of a convolution. To check: `_groups`, of `nn.Conv2D` and `nn.Conv2DTranspose`."""
    return conv._groups


def conv_layout(conv: nn.Conv2D) -> dict[str, Any]:
    """Stride, padding, dilation and groups, as `F.conv2d` takes them.

    To check: `_updated_padding` is the padding that `nn.Conv2D.forward` hands on, with padding_mode zeros.
    """
    return {
        "stride": conv._stride,
        "padding": conv._updated_padding,
        "dilation": conv._dilation,
        "groups": conv._groups,
    }


def running_statistics(norm: nn.BatchNorm2D) -> tuple[paddle.Tensor, paddle.Tensor]:
    """The running mean (C,) and variance (C,) of a batch norm: the tensors themselves, not copies.

    To check: `_mean` and `_variance`; these names are also keys of checkpoints.
    """
    return norm._mean, norm._variance


def norm_epsilon(norm: nn.BatchNorm2D) -> float:
    """The epsilon that a batch norm adds to the variance. To check: `_epsilon`."""
    return norm._epsilon


def norm_momentum(norm: nn.BatchNorm2D) -> float:
    """The share of its statistics that a batch norm keeps per step, 0.9 by default. To check: `_momentum`."""
    return norm._momentum


def set_norm(norm: nn.BatchNorm2D, *, epsilon: float | None = None, momentum: float | None = None) -> None:
    """Set the epsilon or the momentum of a batch norm. To check: as in the two functions above.

    The batch norm reads both at each call.
    """
    if epsilon is not None:
        norm._epsilon = epsilon
    if momentum is not None:
        norm._momentum = momentum


def uses_running_statistics(norm: nn.BatchNorm2D) -> bool:
    """Whether a batch norm uses its running statistics in training too. To check: as below."""
    return bool(norm._use_global_stats)


def use_running_statistics(norm: nn.BatchNorm2D) -> None:
    """Make a batch norm use its running statistics in training too, and not update them.

    Paddle takes this in the constructor only. To check: `_use_global_stats` is read at each call.
    """
    norm._use_global_stats = True


# --- training ------------------------------------------------------------------------------------------


def learning_rate(optimizer: paddle.optimizer.Optimizer) -> float | paddle.optimizer.lr.LRScheduler:
    """The learning rate, or schedule, of an optimizer. To check: `_learning_rate`."""
    return optimizer._learning_rate


def set_cpu_threads(count: int) -> None:
    """Set the number of threads of CPU operators. To check: `set_num_threads` of `paddle.base.core`."""
    paddle.base.core.set_num_threads(count)


def rendezvous_store() -> Any:
    """The key-value store that connects all processes of a run, after `init_parallel_env`.

    To check: `create_or_get_global_tcp_store` of `paddle.base.core`, and that its `add` is atomic.
    """
    return paddle.base.core.create_or_get_global_tcp_store()


# --- static graphs -------------------------------------------------------------------------------------


@contextmanager
def without_layer_names() -> Iterator[None]:
    """Keep Paddle from recording the layer of every operator, which only its AutoParallel reads.

    It walks the whole program again after each layer: two thirds of the time to trace Lite-HRNet-30.
    To check: `name_struct` of `paddle.nn.layer.layers` is a context manager around a layer's forward.
    """
    noting: Any = layers.name_struct
    layers.name_struct = nullcontext  # type: ignore[assignment]
    try:
        yield
    finally:
        layers.name_struct = noting


def graph_operators(layer: Any) -> list[Any]:
    """The operators of a layer converted by `paddle.jit.to_static`, including constants.

    To check: `forward.concrete_program.main_program`, and that its first block holds all.
    """
    return layer.forward.concrete_program.main_program.global_block().ops


@contextmanager
def graphs_of_paddle_2() -> Iterator[None]:
    """Within it, new static graphs of any thread use Paddle 2's format, saved as `.pdmodel`.

    It acts like `FLAGS_enable_pir_api=0` before Paddle's import, and replaces functions that networks need
    but Paddle 3.2 restricts to its own graphs ("must be Value, but got Variable").
    To check: `DygraphOldIrGuard` of `paddle.pir_utils`; whether the functions still fail without `_append`.
    """
    from paddle.pir_utils import DygraphOldIrGuard

    cut: list[tuple[Any, str, str]] = [(paddle, "matmul", "matmul_v2"), (nn.functional, "sigmoid", "sigmoid")]
    before = [getattr(home, name) for home, name, _ in cut]
    with DygraphOldIrGuard():
        try:
            for (home, name, kind), function in zip(cut, before, strict=True):
                setattr(home, name, partial(_append, kind, function))
            yield
        finally:
            for (home, name, _), function in zip(cut, before, strict=True):
                setattr(home, name, function)


def _append(kind: str, function: Any, x: Any, y: Any = None, **options: Any) -> Any:
    """Call a function; in a graph of Paddle 2, append an operator of this kind instead.

    To check: `Variable` and `LayerHelper` of `paddle.base`, and that matmul_v2 calls its transpose_x trans_x.
    """
    values = {"x": x} if y is None else {"x": x, "y": y}
    if not any(isinstance(value, paddle.base.framework.Variable) for value in values.values()):
        return function(*values.values(), **options)
    helper = paddle.base.layer_helper.LayerHelper(kind)
    out = helper.create_variable_for_type_inference(dtype=x.dtype)
    attributes = {key.replace("transpose", "trans"): value for key, value in options.items()}
    inputs = {key.upper(): value for key, value in values.items()}
    helper.append_op(type=kind, inputs=inputs, outputs={"Out": out}, attrs=attributes)
    return out


# --- fake quantizers -----------------------------------------------------------------------------------


class MovingAverageQuantizer(FakeQuantMovingAverageAbsMax):
    """Paddle's fake quantizer whose range is a moving average of a tensor's largest magnitude.

    To check: `_moving_rate` and `_quant_bits` are read at each call; `_scale` is the average of the sum
    `_accum` over the count `_state`. These names are also keys of checkpoints.
    """

    def begin(self, rate: float, value: float) -> None:
        """Set the decay of the average; its sum and count start at ``value``."""
        self._moving_rate = rate
        for tensor in (self._state, self._accum):
            tensor.set_value(paddle.full([1], value))

    def set_bits(self, bits: int) -> None:
        """Set the number of bits; the lowest level is not used."""
        self._quant_bits = bits

    @property
    def largest(self) -> float:
        """The value of the highest level."""
        return float(self._scale.numpy()[0])

    @property
    def total(self) -> float:
        """The sum of largest magnitudes, multiplied by the decay before each new one is added."""
        return float(self._accum.numpy()[0])

    @property
    def count(self) -> float:
        """The number of largest magnitudes, with the same decay."""
        return float(self._state.numpy()[0])


def skip_quantization(layer: nn.Layer) -> None:
    """Make paddleslim leave a layer in float. To check: its QAT looks for `skip_quant`."""
    layer.skip_quant = True


def observed_layer(observer: MAOutputScaleLayer) -> Any:
    """The layer whose outputs paddleslim's observer observes. To check: `_layer`."""
    return observer._layer


def input_quantizer(conv: QuantizedConv2D) -> nn.Layer:
    """The fake quantizer of a wrapped convolution's input. To check: `_fake_quant_input`."""
    return conv._fake_quant_input


def weight_quantizer(conv: QuantizedConv2D) -> nn.Layer:
    """The fake quantizer of a wrapped convolution's weight. To check: `_fake_quant_weight`."""
    return conv._fake_quant_weight


def set_weight_quantizer(conv: QuantizedConv2D, quantizer: nn.Layer) -> None:
    """Replace the fake quantizer of a wrapped convolution's weight. To check: `_fake_quant_weight`."""
    conv._fake_quant_weight = quantizer


def clipping_alpha(conv: QuantizedConv2D) -> paddle.Tensor | None:
    """PACT's alpha (1,) of a wrapped convolution; None without PACT. To check: `_act_preprocess.alpha`."""
    return None if conv._act_preprocess is None else conv._act_preprocess.alpha


# --- graphs in files -----------------------------------------------------------------------------------


def is_whole(weights: BinaryIO) -> bool:
    """Whether a `.pdiparams` file holds all its tensors, and no more; Paddle accepts truncated files.

    To check: `SerializeToStream` of phi's DenseTensor: version (4 bytes), levels (8) with a length (8) and
    content each, version (4), length of the description (4), a message `VarType.TensorDesc`, the values.
    """
    from google.protobuf.message import DecodeError
    from paddle.base.proto import framework_pb2

    messages: Any = framework_pb2
    end = weights.seek(0, 2)
    weights.seek(0)
    try:
        while weights.tell() < end:
            levels = struct.unpack("<IQ", weights.read(12))[1]
            for _ in range(min(levels, 99)):
                weights.seek(struct.unpack("<Q", weights.read(8))[0], 1)
            size = struct.unpack("<Ii", weights.read(8))[1]
            description = messages.VarType.TensorDesc.FromString(weights.read(max(size, 0)))
            width = _WIDTHS[messages.VarType.Type.Name(description.data_type)]
            weights.seek(width * math.prod(description.dims), 1)
    except (struct.error, DecodeError, KeyError, ValueError, OverflowError, OSError):
        return False
    return end > 0 and weights.tell() == end


_WIDTHS = {"FP32": 4, "FP64": 8, "FP16": 2, "BF16": 2, "INT64": 8, "INT32": 4, "INT16": 2, "INT8": 1}
_WIDTHS |= {"UINT8": 1, "BOOL": 1}


def is_program(data: bytes) -> bool:
    """Whether the content of a `.pdmodel` file is a graph; loading another one crashes the process.

    To check: the format, a protobuf message `ProgramDesc`.
    """
    from google.protobuf.message import DecodeError

    try:
        return bool(_read_program(data).blocks)
    except DecodeError:
        return False


def program_inputs(data: bytes) -> dict[str, tuple[int, ...]]:
    """The shapes of the inputs of a `.pdmodel` file's graph, by name, -1 for any.

    To check: each input is the output of an operator `feed`, and its variable has a `dense_tensor`.
    """
    block = _read_program(data).blocks[0]
    names = {out.arguments[0] for op in block.ops if op.type == "feed" for out in op.outputs}
    return {var.name: tuple(var.type.dense_tensor.tensor.dims) for var in block.vars if var.name in names}


def _read_program(data: bytes) -> Any:
    from paddle.base.proto import framework_pb2

    messages: Any = framework_pb2
    return messages.ProgramDesc.FromString(data)
