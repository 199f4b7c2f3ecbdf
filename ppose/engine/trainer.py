"""The training loop."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import paddle
from paddle import nn

from ppose.engine.ema import MovingAverage
from ppose.engine.state import (
    Progress,
    TrainState,
    copy_arrays,
    optimizer_arrays,
    set_arrays,
    set_optimizer_arrays,
    write_state,
)
from ppose.errors import PposeError
from ppose.files import replacing

_logger = logging.getLogger(__name__)

Batch = dict[str, paddle.Tensor]
Loss = Callable[[paddle.Tensor, paddle.Tensor, paddle.Tensor], paddle.Tensor]


_ADVICE = "Look at the data, try a lower LearningRate.base_lr or clip_grad_by_norm, and --resume"


class DivergenceError(PposeError, ArithmeticError):
    """The loss is no longer a finite number."""


class Loader(Protocol):
    """Batches of one epoch, from batch ``start`` on; the same for the same (epoch, start)."""

    epoch: int
    start: int

    def __len__(self) -> int:
        """The batches of a whole epoch."""

    def __iter__(self) -> Iterator[Batch]:
        """image (N, 3, h, w), heatmaps (N, K, H, W), target_weight (N, K, 1), index (N,)."""


@dataclass(frozen=True)
class StepReport:
    """The last step: its loss, learning rate, images, and seconds waited for data and taken in all."""

    loss: float
    learning_rate: float
    images: int
    data_time: float
    step_time: float


class Hook:
    """What is done beside the loop; each method is called with the trainer, in the hooks' order.

    before_train
    for each epoch:   before_epoch, then for each step: after_step; then after_epoch
    after_train

    After the last step of an epoch, ``progress.epoch`` counts that epoch too. A run that is interrupted goes
    from after_step straight to after_train; an error ends it with none of them.
    """

    def before_train(self, trainer: "Trainer") -> None: ...
    def before_epoch(self, trainer: "Trainer") -> None: ...
    def after_step(self, trainer: "Trainer") -> None: ...
    def after_epoch(self, trainer: "Trainer") -> None: ...
    def after_train(self, trainer: "Trainer") -> None: ...


class Trainer:
    """Trains a network on a loader's batches for a number of epochs.

    A step is ``accumulate`` batches, whose gradients are averaged over their images. ``average`` follows the
    weights after each step. ``seed`` is for the network's own random choices. A batch whose loss is not
    finite is written to ``diagnostics``, a folder, before DivergenceError stops the run.
    """

    def __init__(
        self,
        model: nn.Layer,
        loader: Loader,
        optimizer: paddle.optimizer.Optimizer,
        loss: Loss,
        hooks: Sequence[Hook] = (),
        *,
        epochs: int,
        accumulate: int = 1,
        average: MovingAverage | None = None,
        seed: int = 0,
        diagnostics: Path | None = None,
    ) -> None:
        self.model, self.loader, self.optimizer, self.loss = model, loader, optimizer, loss
        self.hooks, self.epochs, self.average, self.seed = hooks, epochs, average, seed
        self._accumulate, self._diagnostics = accumulate, diagnostics
        self.steps_per_epoch = math.ceil(len(loader) / accumulate)
        self.progress = Progress()
        self.report: StepReport | None = None
        self.interrupted = False
        self._stopping = False

    @property
    def step(self) -> int:
        """Steps done, from the beginning of the first epoch."""
        return self.progress.epoch * self.steps_per_epoch + self.progress.step_in_epoch

    def fit(self) -> None:
        """Train until the last epoch is done, or ``stop`` is called."""
        self._set_schedule()
        self._call("before_train")
        while self.progress.epoch < self.epochs and not self._stopping:
            self._call("before_epoch")
            if self._run_epoch():
                self._call("after_epoch")
        self._call("after_train")

    def stop(self, *, interrupted: bool) -> None:
        """End the run after this step; ``interrupted``: before its time, to be resumed."""
        self._stopping = True
        self.interrupted = interrupted

    def averaged(self) -> AbstractContextManager:
        """Within it the network holds the moving average of its weights, where there is one."""
        return nullcontext() if self.average is None else self.average.applied()

    def save(self, path: str | Path) -> None:
        """Write everything that `resume` needs to a file; OSError names it.

        DivergenceError, with the earlier file as it was, where weights or statistics are not finite: the loss
        need not show it, since Paddle's ReLU makes 0 of NaN.
        """
        model = copy_arrays(self.model.state_dict())
        broken = [name for name, array in model.items() if not np.isfinite(array).all()]
        if broken:
            raise DivergenceError(
                f"{len(broken)} arrays of weights are not finite at step {self.step}, the first is "
                f"{broken[0]}; {path} is left as it was. {_ADVICE}"
            )
        state = TrainState(
            progress=self.progress,
            steps_per_epoch=self.steps_per_epoch,
            seed=self.seed,
            optimizer_name=type(self.optimizer).__name__,
            model=model,
            average=copy_arrays(self.average.arrays) if self.average else {},
            optimizer=optimizer_arrays(self.optimizer, self.model),
        )
        write_state(path, state)

    def resume(self, state: TrainState) -> None:
        """Go on from a state; CheckpointError where it is of another network or optimizer.

        Where an epoch has another number of steps than it had, a half-done epoch begins anew.
        """
        set_arrays(self.model.state_dict(), state.model, "the weights")
        set_optimizer_arrays(self.optimizer, self.model, state.optimizer, state.optimizer_name)
        if self.average is not None:
            if not state.average:
                _logger.warning("the training state has no moving average: it starts from the weights")
            set_arrays(self.average.arrays, state.average or state.model, "the moving average")
        self.progress = replace(state.progress)
        if state.steps_per_epoch != self.steps_per_epoch and self.progress.step_in_epoch:
            _logger.warning(
                "an epoch had %d steps and has %d now: epoch %d begins anew",
                state.steps_per_epoch, self.steps_per_epoch, self.progress.epoch + 1,
            )  # fmt: skip
            self.progress.step_in_epoch = 0

    def _run_epoch(self) -> bool:
        """Train the rest of this epoch; False where it was stopped on the way."""
        self.model.train()
        self.loader.epoch = self.progress.epoch
        self.loader.start = self.progress.step_in_epoch * self._accumulate
        batches = iter(self.loader)
        while True:
            begin = time.perf_counter()
            group = list(islice(batches, self._accumulate))
            if not group:
                break
            data_time = time.perf_counter() - begin
            learning_rate = self.optimizer.get_lr()
            loss = self._train_step(group)
            self.progress.step_in_epoch += 1
            if self.average is not None:
                self.average.update(self.step)
            images = sum(len(batch["image"]) for batch in group)
            step_time = time.perf_counter() - begin
            self.report = StepReport(loss, learning_rate, images, data_time, step_time)
            self._call("after_step")
            if self._stopping and self.progress.step_in_epoch < self.steps_per_epoch:
                return False
        self.progress.epoch += 1
        self.progress.step_in_epoch = 0
        return True

    def _train_step(self, group: Sequence[Batch]) -> float:
        """One step of the optimizer; returns the loss, a mean over the images."""
        # The network's random numbers depend on the step alone, so that a resumed run draws the same ones.
        paddle.seed(int(np.random.SeedSequence((self.seed, self.step)).generate_state(1)[0]))
        images = sum(len(batch["image"]) for batch in group)
        mean = 0.0
        for batch in group:
            heatmaps = self.model(batch["image"])
            loss = self.loss(heatmaps, batch["heatmaps"], batch["target_weight"])
            share = len(batch["image"]) / images
            (loss * share).backward()
            # Read once the backward pass is queued, so that a GPU is not left idle between the two.
            value = float(loss)
            if not math.isfinite(value):
                raise self._diverged(batch, heatmaps, value)
            mean += value * share
        self.optimizer.step()
        self.optimizer.clear_grad()
        self._set_schedule(self.step + 1)
        return mean

    def _set_schedule(self, step: int | None = None) -> None:
        scheduler = self.optimizer._learning_rate  # no public way leads to it
        if isinstance(scheduler, paddle.optimizer.lr.LRScheduler):
            scheduler.step(self.step if step is None else step)

    def _diverged(self, batch: Batch, heatmaps: paddle.Tensor, loss: float) -> DivergenceError:
        step = self.step + 1
        broken = [n for n, p in self.model.named_parameters() if not bool(paddle.isfinite(p).all())]
        text = f"the loss is {loss} at step {step} (epoch {self.progress.epoch + 1})"
        text += f"; {len(broken)} arrays of weights are not finite, the first is {broken[0]}" if broken else (
            "; the weights are finite"
        )  # fmt: skip
        if self._diagnostics is not None:
            file = self._diagnostics / f"diverged_step_{step}.npz"
            with replacing(file) as temporary, temporary.open("wb") as out:
                np.savez(out, loss=np.float64(loss), prediction=heatmaps.numpy(), **copy_arrays(batch))
            text += f"; its batch is in {file}"
        return DivergenceError(f"{text}. {_ADVICE}")

    def _call(self, moment: str) -> None:
        for hook in self.hooks:
            getattr(hook, moment)(self)
