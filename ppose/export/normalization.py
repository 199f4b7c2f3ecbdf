"""Moves the normalisation into the network, which then takes the image's raw pixels."""

import numpy as np
import paddle
from paddle import nn

from ppose.errors import ExportError
from ppose.paddle_internals import conv_groups
from ppose.quantization.scheme import quantization_of
from ppose.transforms import NormalizeImage


@paddle.no_grad()
def fold_normalization(network: nn.Layer, normalize: NormalizeImage) -> tuple[np.ndarray, np.ndarray]:
    """Scale the weights of the convolution that takes the image, in place; returns mean (3,) and factor (3,).

    The graph must still compute (pixel - mean) * factor per channel, RGB. If the network takes BGR, the
    weights' input channels are reversed. The factor is folded into the weights exactly and returned as 1,
    except if they are rounded. The mean, in pixel values, cannot go into the bias: the convolution pads with
    0 in the normalised image, which is the mean in pixels, so it must be subtracted before the padding.
    Raises ExportError if no convolution takes three channels, or if several do that are not alike; the two of
    a stem without a split are.
    """
    first: list[nn.Conv2D] = [
        layer
        for layer in network.sublayers()
        if isinstance(layer, nn.Conv2D) and layer.weight.shape[1] * conv_groups(layer) == 3
    ]
    if len({(*conv.weight.shape, quantization_of(conv)) for conv in first}) != 1:
        raise ExportError(
            f"the normalisation needs a single convolution that takes the image, found {len(first)}; "
            "export without --fuse_normalize"
        )
    mean = (-normalize.offset.astype(np.float64) / normalize.factor).astype(np.float32)
    factor = normalize.factor.astype(np.float32)
    if normalize.channel_order == "bgr":
        mean, factor = mean[::-1].copy(), factor[::-1].copy()
        for conv in first:
            conv.weight.set_value(conv.weight.flip(axis=1))
    if quantization_of(first[0]) is not None:
        return mean, factor
    for conv in first:
        conv.weight.set_value(conv.weight * paddle.to_tensor(factor).reshape([1, 3, 1, 1]))
    return mean, np.ones_like(factor)
