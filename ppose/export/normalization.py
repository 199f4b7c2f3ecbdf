"""Normalisation inside the network, which then takes the image's pixels as they are."""

import numpy as np
import paddle
from paddle import nn

from ppose.errors import ExportError
from ppose.paddle_internals import conv_groups
from ppose.quantization.scheme import quantization_of
from ppose.transforms import NormalizeImage


@paddle.no_grad()
def fold_normalization(network: nn.Layer, normalize: NormalizeImage) -> tuple[np.ndarray, np.ndarray]:
    """Scale the weights of what takes the image, in place; returns what is left to do with pixels.

    Normalising is (pixel - mean) * factor per channel, RGB; the two (3,) are returned. The inputs of one that
    takes BGR change places. The factor goes into the weights exactly, and is 1 then; but not where they
    are rounded. The mean, in pixel values, cannot go into the bias: the convolution's padding is 0 in the
    normalised image, which is the mean in the pixels'; so it has to be subtracted before the convolution
    pads. Raises ExportError where no convolution takes three channels, or several do that are not alike, as
    the two of a stem without a split are.
    """
    first: list[nn.Conv2D] = [
        layer
        for layer in network.sublayers()
        if isinstance(layer, nn.Conv2D) and layer.weight.shape[1] * conv_groups(layer) == 3
    ]
    if len({(*conv.weight.shape, quantization_of(conv)) for conv in first}) != 1:
        raise ExportError(
            f"the normalisation needs one convolution that takes the image, found {len(first)}; "
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
