"""Post-training quantization: a trained network's convolutions in eight bits, by what goes through them."""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import paddle
from paddle import nn

from ppose.errors import CheckpointError, ConfigError, DataError
from ppose.slim.choice import find_kept
from ppose.slim.input_range import CHOICES, InputRange
from ppose.slim.qat import is_quantization_aware
from ppose.slim.scheme import ConvQuantization, quantize_conv2d
from ppose.workspace import register

Method = Literal["minmax", "percentile", "entropy", "mse"]


@register
@dataclass(frozen=True, kw_only=True)
class PTQ:
    """The `PTQ` block: how to quantize a trained network.

    ``method`` chooses the range of each convolution's input (see `input_range`). ``not_quantized`` keeps
    convolutions in float, ``weights_only`` their inputs, by name or pattern (see `find_kept`). Inputs of 1x1
    pixels are in float: rounding them takes longer than it saves. Depthwise convolutions, one channel of
    which may be far smaller than the next, are in float unless ``depthwise``.
    """

    method: Method = "mse"
    depthwise: bool = False
    not_quantized: list[str] | None = None
    weights_only: list[str] | None = None


def quantize_network(model: nn.Layer, images: Iterable[paddle.Tensor], how: PTQ) -> nn.Layer:
    """A copy of a network, in eval mode, with quantized convolutions (see `quantize_conv2d`).

    ``images`` are batches (N, 3, h, w) of what the network will see, from which the ranges of the
    convolutions' inputs are taken; the network itself is left in eval mode. Raises ConfigError for a pattern
    that no convolution's name matches, or where nothing is left to quantize, CheckpointError for weights and
    DataError for values that are not finite.
    """
    return quantized_copy(model, calibrate(model, images, how))


def calibrate(model: nn.Layer, images: Iterable[paddle.Tensor], how: PTQ) -> dict[str, ConvQuantization]:
    """How to quantize each convolution that runs and is not to stay in float, by name; see above."""
    if is_quantization_aware(model):
        raise ConfigError(
            "PTQ: this network was trained for eight bits (slim: QAT); tools/export_model.py exports it"
        )
    kept = find_kept(model, how.not_quantized or [], "PTQ.not_quantized")
    weights_only = find_kept(model, how.weights_only or [], "PTQ.weights_only")
    names = [
        name
        for name, conv in find_convs(model).items()
        if name not in kept and (how.depthwise or conv._groups == 1)
    ]
    if not names:
        raise ConfigError("PTQ: no convolution is left to quantize: all are in not_quantized or depthwise")
    _check_weights(model)
    choose = CHOICES[how.method]
    return {
        name: ConvQuantization(None if name in weights_only or seen.is_vector else choose(seen))
        for name, seen in observe_inputs(model, images, names).items()
    }


def find_convs(model: nn.Layer) -> dict[str, nn.Conv2D]:
    """The convolutions of a network by name; transposed ones are not among them."""
    return {name: layer for name, layer in model.named_sublayers() if isinstance(layer, nn.Conv2D)}


@paddle.no_grad()
def observe_inputs(
    model: nn.Layer, images: Iterable[paddle.Tensor], names: Iterable[str]
) -> dict[str, InputRange]:
    """What goes into the convolutions of those names, of those that run; the network is left in eval mode.

    Raises DataError for values that are not finite.
    """
    observed: dict[str, InputRange] = {}
    convs = find_convs(model)
    hooks = [convs[name].register_forward_pre_hook(_make_observer(name, observed)) for name in names]
    model.eval()
    try:
        for image in images:
            if not bool(paddle.isfinite(model(image)).all()):
                raise DataError("calibration: the network gives heatmaps that are not finite")
    finally:
        for hook in hooks:
            hook.remove()
    return observed


def quantized_copy(model: nn.Layer, quantizations: Mapping[str, ConvQuantization]) -> nn.Layer:
    """A copy of a network, in eval mode, with the convolutions of those names quantized."""
    quantized = copy.deepcopy(model)
    quantized.eval()
    convs = find_convs(quantized)
    for name, quantization in quantizations.items():
        quantize_conv2d(convs[name], quantization)
    return quantized


def _check_weights(model: nn.Layer) -> None:
    """ReLU turns NaN into 0 on some devices, so what goes through the network does not show it."""
    for key, value in model.state_dict().items():
        if not bool(paddle.isfinite(value).all()):
            raise CheckpointError(f"the weights are broken: {key} holds values that are not finite")


def _make_observer(
    name: str, observed: dict[str, InputRange]
) -> Callable[[nn.Layer, tuple[paddle.Tensor, ...]], None]:
    def observe(conv: nn.Layer, inputs: tuple[paddle.Tensor, ...]) -> None:
        try:
            observed.setdefault(name, InputRange()).observe(inputs[0].numpy())
        except ValueError:
            raise DataError(f"calibration: the input of the convolution {name} is not finite") from None

    return observe
