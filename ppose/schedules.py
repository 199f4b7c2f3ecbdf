"""Schedules: factors on a learning rate or a loss that change during training."""

import math
from collections.abc import Sequence
from typing import Protocol

from ppose.errors import ConfigError
from ppose.workspace import register


class Schedule(Protocol):
    """A factor that changes from step to step."""

    def __call__(self, step: int, steps_per_epoch: int) -> float:
        """The factor at this step, counted from 0."""


def multiply(schedules: Sequence[Schedule], step: int, steps_per_epoch: int) -> float:
    """The product of all factors at this step."""
    return math.prod(schedule(step, steps_per_epoch) for schedule in schedules)


@register(Schedule)
class PiecewiseDecay:
    """Multiplied by ``gamma`` at each of the ``milestones`` (epochs)."""

    def __init__(self, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self._milestones, self._gamma = milestones, gamma

    def __call__(self, step: int, steps_per_epoch: int) -> float:
        """The factor at this step."""
        return self._gamma ** sum(step >= epoch * steps_per_epoch for epoch in self._milestones)


@register(Schedule)
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


@register(Schedule)
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


@register(Schedule)
class LinearWarmup:
    """Linear from ``start_factor`` to 1 over the first ``steps`` steps."""

    def __init__(self, steps: int = 500, start_factor: float = 1 / 3) -> None:
        self.steps, self._start_factor = steps, start_factor

    def __call__(self, step: int, steps_per_epoch: int) -> float:
        """The factor at this step."""
        progress = min(step / self.steps, 1.0) if self.steps else 1.0
        return self._start_factor + (1 - self._start_factor) * progress


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ConfigError(f"{name} is {value}, expected 1 or more")
    return value
