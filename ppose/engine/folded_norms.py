"""Weights whose batch norms are folded into the convolutions, as exported models have them.

Such a norm has running mean 0 and variance 1 and passes its input through, scaled and shifted. That is right
in evaluation, but in training it normalises by each batch, and the network is lost within a few steps.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import paddle
from paddle import nn


def find_folded_norms(model: nn.Layer) -> list[nn.BatchNorm2D]:
    """The batch norms of a network that learn, if all of them have mean 0 and variance 1 (to 1e-3)."""
    norms = [
        layer
        for layer in model.sublayers()
        if isinstance(layer, nn.BatchNorm2D) and not layer._use_global_stats
    ]
    is_folded = all(
        np.abs(norm._mean.numpy()).max() < 1e-3 and np.abs(norm._variance.numpy() - 1).max() < 1e-3
        for norm in norms
    )
    return norms if is_folded else []


@paddle.no_grad()
def unfold_norms(model: nn.Layer, norms: Iterable[nn.BatchNorm2D], images: Iterable[paddle.Tensor]) -> None:
    """Give batch norms the statistics of their inputs on ``images`` (N, 3, h, w), and their outputs back.

    With a norm's measured mean m and variance v, and its old ones m0 and v0, its scale and shift become
    g' = g sqrt((v + eps) / (v0 + eps)) and b' = b + g (m - m0) / sqrt(v0 + eps): in evaluation the network is
    the same function as before, and in training it is nearly that.
    """
    sums: dict[int, list[Any]] = {id(norm): [0.0, 0.0, 0] for norm in norms}

    def add(norm: nn.Layer, inputs: Any) -> Any:
        maps = inputs[0].numpy().astype(np.float64)
        total = sums[id(norm)]
        total[0] += maps.sum(axis=(0, 2, 3))
        total[1] += np.square(maps).sum(axis=(0, 2, 3))
        total[2] += maps.size // maps.shape[1]

    hooks = [norm.register_forward_pre_hook(add) for norm in norms]
    model.eval()
    for image in images:
        model(image)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        first, second, count = sums[id(norm)]
        mean = first / count
        _set_statistics(norm, mean, np.maximum(second / count - mean**2, 0.0))


def _set_statistics(norm: Any, mean: np.ndarray, variance: np.ndarray) -> None:
    old_mean, old_variance, scale, shift = (
        tensor.numpy().astype(np.float64) for tensor in (norm._mean, norm._variance, norm.weight, norm.bias)
    )
    deviation = np.sqrt(old_variance + norm._epsilon)
    new = {
        norm.weight: scale * np.sqrt(variance + norm._epsilon) / deviation,
        norm.bias: shift + scale * (mean - old_mean) / deviation,
        norm._mean: mean,
        norm._variance: variance,
    }
    for tensor, values in new.items():
        tensor.set_value(values.astype(np.float32))
