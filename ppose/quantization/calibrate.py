"""Post-training quantization: converts a trained network's convolutions to int8, calibrated on images."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import paddle
from paddle import nn

from ppose.errors import CheckpointError, ConfigError
from ppose.paddle_internals import conv_groups
from ppose.quantization.convolutions import find_convs, match_convs, watch_inputs
from ppose.quantization.equalize import equalize
from ppose.quantization.input_range import CHOICES, InputRange, choose_mse
from ppose.quantization.qat import clipping_alphas, is_quantization_aware
from ppose.quantization.scheme import ConvQuantization, WeightRange, quantize_conv2d
from ppose.workspace import register

Method = Literal["minmax", "percentile", "entropy", "mse"]


@register()
@dataclass(frozen=True, kw_only=True)
class PTQ:
    """The `PTQ` block: how to quantize a trained network.

    ``method`` chooses the range of each convolution's input (see `input_range`). ``not_quantized`` keeps
    convolutions in float, ``weights_only`` their inputs, by name or pattern (see `match_convs`). Inputs of
    1x1 pixels stay in float: rounding them takes longer than it saves. Depthwise convolutions, whose channels
    may differ widely in range, stay in float unless ``depthwise``. ``weights`` is portable for the same
    results on every processor, or full (see `scheme`).
    """

    method: Method = "mse"
    depthwise: bool = False
    not_quantized: list[str] | None = None
    weights_only: list[str] | None = None
    weights: WeightRange = "portable"


def quantize_network(model: nn.Layer, images: Iterable[paddle.Tensor], how: PTQ) -> nn.Layer:
    """A copy of a network, in eval mode, equalized (see `equalize`) and quantized (see `quantize_conv2d`).

    ``images`` are typical batches (N, 3, h, w), which are iterated over twice; the network itself is left in
    eval mode. Raises as `calibrate`.
    """
    model = copy.deepcopy(model)
    return quantized_copy(model, equalize_and_calibrate(model, images, how))


def equalize_and_calibrate(
    model: nn.Layer, images: Iterable[paddle.Tensor], how: PTQ
) -> dict[str, ConvQuantization]:
    """Equalize a network in place (see `equalize`), then `calibrate` it; raises as that."""
    choose_convs(model, how)  # raises before the images are read
    equalize(model, images)
    return calibrate(model, images, how)


def choose_convs(model: nn.Layer, how: PTQ) -> list[str]:
    """The names of the convolutions to quantize.

    Raises ConfigError for a pattern that matches no convolution's name, or if nothing is left to quantize,
    and CheckpointError for weights that are not finite.
    """
    if is_quantization_aware(model):
        raise ConfigError(
            "PTQ: this network was trained for int8 (slim: QAT); export it with tools/export_model.py"
        )
    kept = match_convs(model, how.not_quantized or [], "PTQ.not_quantized")
    match_convs(model, how.weights_only or [], "PTQ.weights_only")
    names = [
        name
        for name, conv in find_convs(model).items()
        if name not in kept and (how.depthwise or conv_groups(conv) == 1)
    ]
    if not names:
        raise ConfigError("PTQ: no convolution is left to quantize: all are in not_quantized or depthwise")
    _check_weights(model)
    return names


def calibrate(model: nn.Layer, images: Iterable[paddle.Tensor], how: PTQ) -> dict[str, ConvQuantization]:
    """The quantization of each convolution of `choose_convs` that runs, by name.

    ``images`` are batches (N, 3, h, w), which determine the ranges of the convolutions' inputs; the network
    is left in eval mode. Raises as `choose_convs`, and DataError for values that are not finite.
    """
    names = choose_convs(model, how)
    weights_only = match_convs(model, how.weights_only or [], "PTQ.weights_only")
    choose = CHOICES[how.method]
    return {
        name: ConvQuantization(None if name in weights_only or seen.is_vector else choose(seen), how.weights)
        for name, seen in observe_inputs(model, images, names).items()
    }


def observe_inputs(
    model: nn.Layer, images: Iterable[paddle.Tensor], names: Iterable[str]
) -> dict[str, InputRange]:
    """Observe the inputs of the convolutions of those names that run; the network is left in eval mode.

    Raises DataError for values that are not finite.
    """
    observed: dict[str, InputRange] = {}
    watch_inputs(
        model, images, names, lambda name, values: observed.setdefault(name, InputRange()).observe(values)
    )
    return observed


def find_clipping(model: nn.Layer, images: Iterable[paddle.Tensor]) -> dict[str, float]:
    """The clipping of each convolution's input with the least rounding error, by name; see `choose_mse`.

    ``images`` are batches (N, 3, h, w) for a float network, which is left in eval mode. The largest
    magnitudes are outliers: levels that reach them are too coarse for the rest. Raises DataError for values
    that are not finite.
    """
    observed = observe_inputs(model, images, find_convs(model))
    return {name: choose_mse(seen).largest for name, seen in observed.items()}


def begin_alphas(model: nn.Layer, clipping: dict[str, float]) -> None:
    """Set the alphas of a network with fake quantizers; those not named stay unchanged."""
    for name, alpha in clipping_alphas(model).items():
        if name in clipping:
            alpha.set_value(paddle.full([1], clipping[name]))


def quantized_copy(model: nn.Layer, quantizations: Mapping[str, ConvQuantization]) -> nn.Layer:
    """A copy of a network, in eval mode, with the convolutions of those names quantized."""
    quantized = copy.deepcopy(model)
    quantized.eval()
    convs = find_convs(quantized)
    for name, quantization in quantizations.items():
        quantize_conv2d(convs[name], quantization)
    return quantized


def _check_weights(model: nn.Layer) -> None:
    """Check the weights for NaN: ReLU turns it into 0 on some devices, so activations do not show it."""
    for key, value in model.state_dict().items():
        if not bool(paddle.isfinite(value).all()):
            raise CheckpointError(f"the weights are broken: {key} holds values that are not finite")
