"""Makes weights trainable whose batch norms are folded into the convolutions, as in exported models.

Such a norm has running mean 0 and variance 1, and only scales and shifts its input. That is right in
evaluation, but in training it normalises by each batch, which destroys the network within a few steps.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ppose.paddle_internals import norm_epsilon, running_statistics, uses_running_statistics


def find_folded_norms(model: nn.Layer) -> list[nn.BatchNorm2D]:
    """The trainable batch norms of a network, if all of them have mean 0 and variance 1 (to 1e-3)."""
    norms = [
        layer
        for layer in model.sublayers()
        if isinstance(layer, nn.BatchNorm2D) and not uses_running_statistics(layer)
    ]
    return norms if all(map(_is_folded, norms)) else []


def _is_folded(norm: nn.BatchNorm2D) -> bool:
    mean, variance = (tensor.numpy() for tensor in running_statistics(norm))
    return bool(np.abs(mean).max() < 1e-3 and np.abs(variance - 1).max() < 1e-3)


@paddle.no_grad()
def unfold_norms(model: nn.Layer, norms: Iterable[nn.BatchNorm2D], images: Iterable[paddle.Tensor]) -> None:
    """Set batch norms to the statistics of their inputs on ``images`` (N, 3, h, w), with the same outputs.

    With a norm's measured mean m and variance v, and its old ones m0 and v0, its scale and shift become
    g' = g sqrt((v + eps) / (v0 + eps)) and b' = b + g (m - m0) / sqrt(v0 + eps): in evaluation the network
    is the same function as before, in training nearly the same.
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
    tensors, epsilon = (*running_statistics(norm), norm.weight, norm.bias), norm_epsilon(norm)
    old_mean, old_variance, scale, shift = (tensor.numpy().astype(np.float64) for tensor in tensors)
    deviation = np.sqrt(old_variance + epsilon)
    new_scale = scale * np.sqrt(variance + epsilon) / deviation
    new_shift = shift + scale * (mean - old_mean) / deviation
    new = dict(zip(tensors, (mean, variance, new_scale, new_shift), strict=True))
    for tensor, values in new.items():
        tensor.set_value(values.astype(np.float32))
