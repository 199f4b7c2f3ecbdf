"""Hooks of quantization-aware training."""

import logging

import paddle
from paddle import nn

from ppose.engine.distributed.ranks import barrier, broadcast_state
from ppose.engine.distributed.sync_norm import SyncBatchNorm2D
from ppose.engine.trainer import Hook, Trainer
from ppose.quantization.qat import clipping_alphas, input_observers

_logger = logging.getLogger(__name__)

_LEAST_ALPHA = 1e-3
_NORMS = (nn.BatchNorm2D, nn.SyncBatchNorm, SyncBatchNorm2D)


class HoldRanges(Hook):
    """Freezes input ranges and batch norm statistics from epoch ``start`` on; None: never.

    All ranks take over the main rank's values. It is a hook of all ranks.
    """

    def __init__(self, start: int | None) -> None:
        self._start = start

    def before_epoch(self, trainer: Trainer) -> None:
        """Freeze them for this epoch if it is time."""
        if self._start is None or trainer.progress.epoch < self._start:
            return
        barrier()
        broadcast_state(trainer.model)
        norms = [layer for layer in trainer.model.sublayers() if isinstance(layer, _NORMS)]
        for layer in [*norms, *input_observers(trainer.model)]:
            layer.training = False


class KeepAlphasPositive(Hook):
    """Raises PACT's alphas that fall below 0.001 back to it, with one warning each.

    Alphas learn 1000 times as fast as weights, so a step may be larger than the alpha itself. Below 0 the
    clipping would flip the input's sign and break the network. It is a hook of all ranks.
    """

    def __init__(self) -> None:
        self._alphas: dict[str, paddle.Tensor] = {}
        self._lifted: set[str] = set()

    def before_train(self, trainer: Trainer) -> None:
        """Find the alphas."""
        self._alphas = clipping_alphas(trainer.model)

    def after_step(self, trainer: Trainer) -> None:
        """Raise those that are too low."""
        if not self._alphas:
            return
        values = paddle.concat(list(self._alphas.values())).numpy()
        for name, value in zip(self._alphas, values, strict=True):
            if value < _LEAST_ALPHA:
                self._alphas[name].set_value(paddle.full([1], _LEAST_ALPHA))
                self._warn(name, trainer.step)

    def _warn(self, name: str, step: int) -> None:
        if name not in self._lifted:
            self._lifted.add(name)
            _logger.warning(
                "PACT's alpha of %s fell towards 0 at step %d and was set to %g: alphas learn 1000 times as "
                "fast as weights; lower LearningRate.base_lr, or keep the layer in float (QAT.not_quantized)",
                name, step, _LEAST_ALPHA,
            )  # fmt: skip
