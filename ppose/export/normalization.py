"""Normalisation inside the network, which then takes the image's pixels as they are."""

import numpy as np
import paddle
from paddle import nn

from ppose.errors import ExportError
from ppose.transforms import NormalizeImage


@paddle.no_grad()
def fold_normalization(network: nn.Layer, normalize: NormalizeImage) -> np.ndarray:
    """Scale the weights of the first convolution, in place; returns what is to be subtracted from pixels.

    Normalising is (pixel - mean) * factor per channel. The factor goes into the weights exactly. The mean
    (3,), in pixel values, cannot go into the bias: the convolution's padding is 0 in the normalised image,
    which is the mean in the pixels'; so it has to be subtracted before the convolution pads. Raises
    ExportError where no convolution, or more than one, takes three channels.
    """
    first = [
        layer
        for layer in network.sublayers()
        if isinstance(layer, nn.Conv2D) and layer.weight.shape[1] * layer._groups == 3
    ]
    if len(first) != 1:
        raise ExportError(
            f"the normalisation needs one convolution that takes the image, found {len(first)}; "
            "export without --fuse_normalize"
        )
    weight = first[0].weight
    factor = paddle.to_tensor(normalize.factor).reshape([1, 3, 1, 1])
    weight.set_value(weight * factor)
    return (-normalize.offset.astype(np.float64) / normalize.factor).astype(np.float32)
