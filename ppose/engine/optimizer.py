"""Learning rate and optimizer, as the config describes them."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import paddle

from ppose.errors import ConfigError
from ppose.workspace import Component, register

# step -> factor on the base learning rate
Schedule = Callable[[int], float]


@register(kind="schedule")
class PiecewiseDecay:
    """Times ``gamma`` from each of the ``milestones`` (epochs) on."""

    def __init__(self, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self._milestones, self._gamma = milestones, gamma

    def __call__(self, step: int, steps_per_epoch: int) -> float:
        """The factor at this step."""
        return self._gamma ** sum(step >= epoch * steps_per_epoch for epoch in self._milestones)


@register(kind="schedule")
class CosineDecay:
    """Half a cosine from 1 down to ``min_lr_ratio``, over ``max_epochs`` (SGDR, Loshchilov and Hutter, 2017).

    factor = r + (1 - r) * (1 + cos(pi * t)) / 2, with t the share of the steps done, at most 1.
    """

    def __init__(self, max_epochs: int, min_lr_ratio: float = 0.0) -> None:
        self._epochs, self._least = _positive("max_epochs", max_epochs), min_lr_ratio

    def __call__(self, step: int, steps_per_epoch: int) -> float:
        """The factor at this step."""
        done = min(step / (self._epochs * steps_per_epoch), 1.0)
        return self._least + (1 - self._least) * (1 + math.cos(math.pi * done)) / 2


@register(kind="schedule")
class PolynomialDecay:
    """From 1 down to ``min_lr_ratio`` over ``max_epochs``: r + (1 - r) * (1 - t) ** power.

    t is the share of the steps done, at most 1 (the `poly` policy of DeepLab, Chen et al., 2018).
    """

    def __init__(self, max_epochs: int, power: float = 0.9, min_lr_ratio: float = 0.0) -> None:
        self._epochs, self._power, self._least = _positive("max_epochs", max_epochs), power, min_lr_ratio

    def __call__(self, step: int, steps_per_epoch: int) -> float:
        """The factor at this step."""
        done = min(step / (self._epochs * steps_per_epoch), 1.0)
        return self._least + (1 - self._least) * (1 - done) ** self._power


@register(kind="schedule")
class LinearWarmup:
    """From ``start_factor`` to 1 over the first ``steps`` steps, in a straight line."""

    def __init__(self, steps: int = 500, start_factor: float = 1 / 3) -> None:
        self._steps, self._start_factor = steps, start_factor

    def __call__(self, step: int, steps_per_epoch: int) -> float:
        """The factor at this step."""
        progress = min(step / self._steps, 1.0) if self._steps else 1.0
        return self._start_factor + (1 - self._start_factor) * progress


@register
class LearningRate:
    """``base_lr`` times the factors of all ``schedulers``, changed every step."""

    def __init__(
        self, base_lr: float = 0.001, schedulers: Sequence[Annotated[Callable, Component("schedule")]] = ()
    ) -> None:
        self._base_lr, self._schedulers = base_lr, schedulers

    def __call__(self, steps_per_epoch: int, scale: float = 1.0) -> paddle.optimizer.lr.LRScheduler:
        """A Paddle scheduler to be stepped once per training step; ``scale`` multiplies the rate."""

        def factor(step: int) -> float:
            value = 1.0
            for schedule in self._schedulers:
                value *= schedule(step, steps_per_epoch)
            return value

        return paddle.optimizer.lr.LambdaDecay(self._base_lr * scale, factor)


@register
class OptimizerBuilder:
    """A Paddle optimizer: ``optimizer`` names it with its arguments, ``regularizer`` is L1 or L2 decay."""

    _OPTIMIZERS = ("Adam", "AdamW", "Momentum", "SGD")

    def __init__(
        self,
        optimizer: dict[str, Any] | None = None,
        regularizer: dict[str, Any] | None = None,
        clip_grad_by_norm: float | None = None,
    ) -> None:
        self._arguments = dict(optimizer or {"type": "Adam"})
        self._name = self._arguments.pop("type", "Adam")
        if self._name not in self._OPTIMIZERS:
            raise ConfigError(
                f"optimizer.type: got {self._name}, expected one of {', '.join(self._OPTIMIZERS)}"
            )
        self._decay = _make_regularizer(regularizer)
        self._clip = None if clip_grad_by_norm is None else paddle.nn.ClipGradByGlobalNorm(clip_grad_by_norm)

    def __call__(
        self, learning_rate: paddle.optimizer.lr.LRScheduler, parameters: Sequence[paddle.Tensor]
    ) -> paddle.optimizer.Optimizer:
        """The optimizer over these parameters."""
        arguments = {"grad_clip": self._clip, **self._arguments}
        if self._decay is not None and self._name == "AdamW":
            raise ConfigError("regularizer: AdamW decays by itself; set optimizer.weight_decay in its place")
        if self._decay is not None:
            arguments.setdefault("weight_decay", self._decay)
        try:
            return getattr(paddle.optimizer, self._name)(
                learning_rate=learning_rate, parameters=list(parameters), **arguments
            )
        except TypeError as error:
            raise ConfigError(f"optimizer: {self._name} does not take these arguments: {error}") from None


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ConfigError(f"{name} is {value}, expected 1 or more")
    return value


def _make_regularizer(block: dict[str, Any] | None) -> Any:
    if block is None or not block.get("factor"):
        return None
    kinds = {"L1": paddle.regularizer.L1Decay, "L2": paddle.regularizer.L2Decay}
    kind = block.get("type", "L2")
    if kind not in kinds:
        raise ConfigError(f"regularizer.type: got {kind}, expected L1 or L2")
    return kinds[kind](block["factor"])
