"""Changes the weights of convolutions: folds batch norms into them, permutes their channels."""

from typing import Any

import numpy as np
from paddle import nn

from ppose.paddle_internals import conv_groups, norm_epsilon, running_statistics
from ppose.quantization.convolutions import output_axis, weights_of
from ppose.quantization.scheme import ConvQuantization, mark_quantized

_CONVOLUTIONS = (nn.Conv2D, nn.Conv2DTranspose)


def fold_norms(network: nn.Layer) -> None:
    """Fold each batch norm, in place, into the convolution that is registered right before it.

    In eval mode a norm with running mean m, variance v, gain g and shift b gives
    g (x - m) / sqrt(v + eps) + b per channel (Ioffe and Szegedy, ICML 2015): one factor for the weights and
    one shift for the bias, computed in float64 and rounded once. An Identity replaces the norm. The norm must
    take that convolution's output, as in ppose's networks; a norm after no convolution stays unchanged.
    """
    for parent in network.sublayers(include_self=True):
        before: nn.Layer | None = None
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.BatchNorm2D) and isinstance(before, _CONVOLUTIONS):
                _fold(before, layer)
                setattr(parent, name, nn.Identity())
            before = layer


def set_weights(layer: nn.Conv2D, weight: np.ndarray, bias: np.ndarray) -> None:
    """Set a convolution's weight and bias, of any shape that its groups allow."""
    for name, value in (("weight", weight), ("bias", bias)):
        parameter = layer.create_parameter(value.shape)
        parameter.set_value(value.astype(parameter.numpy().dtype))
        setattr(layer, name, parameter)


def make_conv2d(
    weight: np.ndarray, bias: np.ndarray, *, groups: int = 1, quantization: ConvQuantization | None
) -> nn.Conv2D:
    """Return a convolution of stride 1 that keeps the map's size, with rounded weights if quantized."""
    # Created with the fewest weights, since `set_weights` replaces them.
    layer = nn.Conv2D(groups, groups, weight.shape[-1], padding=weight.shape[-1] // 2, groups=groups)
    set_weights(layer, weight, bias)
    if quantization is not None:
        mark_quantized(layer, quantization)
    return layer


def permute_path(path: nn.Layer, inputs: np.ndarray, outputs: np.ndarray) -> None:
    """Permute the input and output channels of a chain of convolutions, in place.

    Channel p of the new input is channel inputs[p] of the old, and likewise for the output. Depthwise
    convolutions before the first dense one keep the order of the input, those after the last that of the
    output; at least one must be dense.
    """
    convs = [layer for layer in path.sublayers() if isinstance(layer, nn.Conv2D)]
    dense = [k for k, conv in enumerate(convs) if conv_groups(conv) == 1]
    for k, conv in enumerate(convs):
        weight, bias = weights_of(conv)
        if k < dense[0] or k > dense[-1]:
            order = inputs if k < dense[0] else outputs
            weight, bias = weight[order], bias[order]
        if k == dense[0]:
            weight = weight[:, inputs]
        if k == dense[-1]:
            weight, bias = weight[outputs], bias[outputs]
        set_weights(conv, weight, bias)


def scale_conv2d(conv: nn.Conv2D, factor: float) -> None:
    """Multiply a convolution's output by ``factor``, in place."""
    weight, bias = weights_of(conv)
    set_weights(conv, factor * weight, factor * bias)


def _fold(layer: Any, norm: Any) -> None:
    mean, variance, gain, shift = (
        x.numpy().astype(np.float64) for x in (*running_statistics(norm), norm.weight, norm.bias)
    )
    factor = gain / np.sqrt(variance + norm_epsilon(norm))
    weight, bias = weights_of(layer)
    shape = [1, 1, 1, 1]
    shape[output_axis(layer)] = -1
    set_weights(layer, weight * factor.reshape(shape), (bias - mean) * factor + shift)
