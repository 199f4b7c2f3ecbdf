"""Equalizes the channels' ranges before a rounding, whose one step must cover the largest channel.

After Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019,
section 4.1: the output of a depthwise convolution's norm is divided by a factor per channel, and the weights
of the following dense convolution are multiplied by it. The paper computes the factor from both weights'
ranges; here it comes from the range of the rounded values on images, and the depthwise weights are in float
or have a step per channel.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ppose.models.lite_hrnet import ConvNorm, SeparableConv
from ppose.paddle_internals import conv_groups
from ppose.quantization.convolutions import watch_inputs

# Lower limit of a channel's range, as a share of the largest one: some channels are always 0.
_LEAST = 1e-3
# Layers that run their sublayers in order, each on the output of the previous one, which nothing else uses.
_CHAINS = (nn.Sequential, SeparableConv)


def equalize(model: nn.Layer, images: Iterable[paddle.Tensor]) -> None:
    """Give all channels between a depthwise and a dense convolution the same range on images, in place.

    The network's function stays the same, in training and in eval mode; it is left in eval mode. ``images``
    are batches (N, 3, h, w), unused if the network has no such pair. Raises DataError for values that are not
    finite.
    """
    norms: dict[str, Any] = dict(_norms_before(model))
    if not norms:
        return
    ranges = {name: np.zeros(norm.weight.shape[0]) for name, norm in norms.items()}

    def widen(name: str, values: np.ndarray) -> None:
        np.maximum(ranges[name], np.abs(values).max(axis=(0, 2, 3)), out=ranges[name])

    watch_inputs(model, images, norms, widen)
    convs: dict[str, Any] = dict(model.named_sublayers())
    for name, norm in norms.items():
        if not ranges[name].any():
            continue
        factors = np.maximum(ranges[name], _LEAST * ranges[name].max())
        factors = (factors / np.exp(np.log(factors).mean())).astype(np.float32)
        for parameter in (norm.weight, norm.bias):
            parameter.set_value(parameter.numpy() / factors)
        weight = convs[name].weight
        weight.set_value(weight.numpy() * factors.reshape(1, -1, 1, 1))


def _norms_before(model: nn.Layer) -> Iterator[tuple[str, nn.BatchNorm2D]]:
    """The names of dense convolutions that follow a depthwise one, with the norm between them."""
    names = {layer: name for name, layer in model.named_sublayers()}
    for chain in model.sublayers():
        if not isinstance(chain, _CHAINS):
            continue
        layers = [layer for child in chain.children() for layer in _in_order(child)]
        for first, norm, second in zip(layers, layers[1:], layers[2:], strict=False):
            if (
                isinstance(first, nn.Conv2D)
                and conv_groups(first) > 1
                and isinstance(norm, nn.BatchNorm2D)
                and isinstance(second, nn.Conv2D)
                and conv_groups(second) == 1
            ):
                yield names[second], norm


def _in_order(layer: nn.Layer) -> list[nn.Layer | None]:
    """The sublayers of a chain's layer in order; None stands for an activation function."""
    if not isinstance(layer, ConvNorm):
        return [layer]
    norm = [] if layer.norm is None else [layer.norm]
    return [layer.conv, *norm] if layer.act is None else [layer.conv, *norm, None]
