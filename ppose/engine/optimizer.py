"""Learning rate and optimizer, as the config describes them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import paddle

from ppose.errors import ConfigError
from ppose.schedules import LinearWarmup, Schedule, multiply
from ppose.workspace import register

_logger = logging.getLogger(__name__)


@register()
class LearningRate:
    """``base_lr`` times the factors of all ``schedulers``, updated every step."""

    def __init__(self, base_lr: float = 0.001, schedulers: Sequence[Schedule] = ()) -> None:
        self._base_lr, self._schedulers = base_lr, schedulers

    def __call__(self, steps_per_epoch: int, scale: float = 1.0) -> paddle.optimizer.lr.LRScheduler:
        """A Paddle scheduler, to step once per training step; ``scale`` multiplies the rate."""
        return paddle.optimizer.lr.LambdaDecay(
            self._base_lr * scale, lambda step: multiply(self._schedulers, step, steps_per_epoch)
        )

    def check(self, steps: int) -> None:
        """Warn if more than half of a training of that many steps is warm-up."""
        warm_up = max((its.steps for its in self._schedulers if isinstance(its, LinearWarmup)), default=0)
        if 2 * warm_up > steps:
            _logger.warning(
                "the learning rate warms up for %d of the training's %d steps, so the network learns little: "
                "get more steps by a smaller batch_size or a larger epoch, or shorten LinearWarmup in "
                "LearningRate.schedulers",
                min(warm_up, steps),
                steps,
            )


@dataclass(frozen=True)
class Regularizer:
    """The `regularizer` block: weight decay by ``factor`` times the weights (L2) or their signs (L1)."""

    type: Literal["L1", "L2"] = "L2"
    factor: float = 0.0

    def make(self) -> Any:
        """Paddle's regularizer; None for the factor 0."""
        kinds = {"L1": paddle.regularizer.L1Decay, "L2": paddle.regularizer.L2Decay}
        return kinds[self.type](self.factor) if self.factor else None


_NO_DECAY = Regularizer()


@register()
class OptimizerBuilder:
    """A Paddle optimizer: ``optimizer`` names it with its arguments, ``regularizer`` is L1 or L2 decay."""

    _OPTIMIZERS = ("Adam", "AdamW", "Momentum", "SGD")

    def __init__(
        self,
        optimizer: dict[str, Any] | None = None,
        regularizer: Regularizer = _NO_DECAY,
        clip_grad_by_norm: float | None = None,
    ) -> None:
        self._arguments = dict(optimizer or {"type": "Adam"})
        self._name = self._arguments.pop("type", "Adam")
        if self._name not in self._OPTIMIZERS:
            raise ConfigError(
                f"optimizer.type: got {self._name}, expected one of {', '.join(self._OPTIMIZERS)}"
            )
        self._decay = regularizer.make()
        self._clip = None if clip_grad_by_norm is None else paddle.nn.ClipGradByGlobalNorm(clip_grad_by_norm)

    def __call__(
        self, learning_rate: paddle.optimizer.lr.LRScheduler, parameters: Sequence[paddle.Tensor]
    ) -> paddle.optimizer.Optimizer:
        """The optimizer over these parameters."""
        arguments = {"grad_clip": self._clip, **self._arguments}
        if self._decay is not None and self._name == "AdamW":
            raise ConfigError("regularizer: AdamW has its own decay; set optimizer.weight_decay instead")
        if self._decay is not None:
            arguments.setdefault("weight_decay", self._decay)
        try:
            return getattr(paddle.optimizer, self._name)(
                learning_rate=learning_rate, parameters=list(parameters), **arguments
            )
        except TypeError as error:
            raise ConfigError(f"optimizer: {self._name} does not take these arguments: {error}") from None
