"""Batch norms with statistics over the batches of all ranks, as if one process had them all.

y = gamma * (x - mean) / sqrt(var + eps) + beta, with mean and var over the images and pixels of all ranks
(Ioffe and Szegedy, ICML 2015; across devices: Peng et al., MegDet, CVPR 2018).
"""

from typing import Any

import paddle
import paddle.distributed as dist
from paddle import nn
from paddle.autograd import PyLayer

from ppose.engine.distributed.ranks import rank_count
from ppose.paddle_internals import norm_epsilon, norm_momentum, running_statistics, uses_running_statistics

_AXES = (0, 2, 3)


def synchronise_norms(model: nn.Layer, device: str) -> None:
    """Replace the batch norms of a network; frozen ones (``freeze_norm``) stay unchanged.

    Paddle's own layer runs on GPUs only; the CPU uses `SyncBatchNorm2D`.
    """
    if rank_count() == 1:
        return
    for layer in [model, *model.sublayers()]:
        for name, norm in layer.named_children():
            if isinstance(norm, nn.BatchNorm2D) and not uses_running_statistics(norm):
                convert = SyncBatchNorm2D if device == "cpu" else nn.SyncBatchNorm.convert_sync_batchnorm
                layer.add_sublayer(name, convert(norm))


class SyncBatchNorm2D(nn.Layer):
    """Shares a batch norm's arrays under the same names; input (N, C, H, W), N may differ between ranks."""

    def __init__(self, norm: nn.BatchNorm2D) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self._mean, self._variance = running_statistics(norm)
        self._momentum, self._epsilon = norm_momentum(norm), norm_epsilon(norm)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Normalise by the running statistics; in training by those of all ranks, which update them."""
        if not self.training:
            return nn.functional.batch_norm(
                x, self._mean, self._variance, self.weight, self.bias, epsilon=self._epsilon
            )
        mean, variance, count = _statistics(x.detach())
        with paddle.no_grad():
            for running, new in ((self._mean, mean), (self._variance, variance)):
                paddle.assign(self._momentum * running + (1 - self._momentum) * new.flatten(), output=running)
        return _Normalise.apply(x, self.weight, self.bias, mean, variance, count, self._epsilon)


class _Normalise(PyLayer):
    """With x^ = (x - mean) / sqrt(var + eps) and sums over all n pixels of all ranks, the gradient is
    dx = gamma / sqrt(var + eps) * (dy - sum(dy) / n - x^ * sum(dy * x^) / n)."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> paddle.Tensor:
        x, weight, bias, mean, variance, count, epsilon = args
        inverse = 1 / (variance + epsilon).sqrt()  # Paddle's rsqrt is coarse on the CPU
        normalised = (x - mean) * inverse
        ctx.save_for_backward(normalised, weight, inverse, count)
        return normalised * weight.reshape([1, -1, 1, 1]) + bias.reshape([1, -1, 1, 1])

    @staticmethod
    def backward(ctx: Any, *args: Any) -> tuple[paddle.Tensor, ...]:
        (dy,) = args
        normalised, weight, inverse, count = ctx.saved_tensor()
        d_bias, d_weight = dy.sum(_AXES), (dy * normalised).sum(_AXES)
        sums = paddle.stack([d_bias, d_weight])
        dist.all_reduce(sums)  # only for dx: the parameters' gradients are summed with all others
        means = (sums / count).reshape([2, 1, -1, 1, 1])
        dx = weight.reshape([1, -1, 1, 1]) * inverse * (dy - means[0] - normalised * means[1])
        return dx, d_weight, d_bias


def _statistics(x: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Mean and variance (1, C, 1, 1) over the pixels of all ranks, and the number of pixels."""
    pixels = x.shape[0] * x.shape[2] * x.shape[3]
    sums = paddle.concat([x.sum(_AXES), paddle.full([1], pixels, x.dtype)])
    dist.all_reduce(sums)
    count = sums[-1]
    mean = (sums[:-1] / count).reshape([1, -1, 1, 1])
    squares = (x - mean).square().sum(_AXES)
    dist.all_reduce(squares)
    return mean, (squares / count).reshape([1, -1, 1, 1]), count
