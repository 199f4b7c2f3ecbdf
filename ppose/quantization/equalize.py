"""Channels of one range before a rounding: its step is the largest channel's, whatever the others need.

After Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019,
section 4.1: what a depthwise convolution's norm gives is divided by a factor for each channel, and the
weights of the dense convolution that takes it are multiplied with it. There both weights' ranges make the
factor; here it is the range of what is rounded, on images, and the depthwise weights are in float or have a
step for each channel.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ppose.models.lite_hrnet import ConvNorm, SeparableConv
from ppose.paddle_internals import conv_groups
from ppose.quantization.convolutions import watch_inputs

# Of the largest channel's range, what the range of one is taken to be at least: some are always 0.
_LEAST = 1e-3
# What runs its layers in order, each on what the one before it gives, which nothing else takes.
_CHAINS = (nn.Sequential, SeparableConv)


def equalize(model: nn.Layer, images: Iterable[paddle.Tensor]) -> None:
    """Give all channels between a depthwise and a dense convolution the same range on images, in place.

    The network computes what it did, in training and in eval mode; in the latter it is left. ``images`` are
    batches (N, 3, h, w), which do not matter where the network has no such pair. Raises DataError for values
    that are not finite.
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
    """The names of dense convolutions that take what a depthwise one gives, with the norm between them."""
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
    """What a layer of a chain computes, one after the other; None stands for an activation function."""
    if not isinstance(layer, ConvNorm):
        return [layer]
    norm = [] if layer.norm is None else [layer.norm]
    return [layer.conv, *norm] if layer.act is None else [layer.conv, *norm, None]
