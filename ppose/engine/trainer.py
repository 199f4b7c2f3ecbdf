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

from ppose.engine.divergence import ADVICE, DivergenceError, describe_weights, write_diagnostics
from ppose.engine.ema import MovingAverage
from ppose.engine.precision import Precision
from ppose.engine.ranks import add_up, gather, meet, rank_count, sum_gradients, this_rank
from ppose.engine.state import (
    Progress,
    TrainState,
    copy_arrays,
    optimizer_arrays,
    set_arrays,
    set_optimizer_arrays,
    write_state,
)

_logger = logging.getLogger(__name__)

Batch = dict[str, paddle.Tensor]
Loss = Callable[[paddle.Tensor, paddle.Tensor, paddle.Tensor], paddle.Tensor]


class Loader(Protocol):
    """This rank's batches of one epoch, from batch ``start`` on; the same for the same (epoch, start).

    All ranks have as many; their sizes may differ.
    """

    epoch: int
    start: int

    def __len__(self) -> int:
        """The batches of a whole epoch."""

    def __iter__(self) -> Iterator[Batch]:
        """image (N, 3, h, w), heatmaps (N, K, H, W), target_weight (N, K, 1), index (N,)."""


@dataclass(frozen=True)
class StepReport:
    """The last step: loss and images of all ranks, rate, seconds waited for data and taken in all."""

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

    The network is in training mode from before_epoch on; a hook may put parts of it into eval mode there.
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

    A step is ``accumulate`` batches of each rank, whose gradients are averaged over all their images: that is
    the gradient of one large batch, whatever the number of ranks. ``average`` follows the weights after each
    step. ``seed`` is for the network's own random choices. A batch whose loss is not finite is written to
    ``diagnostics``, a folder, before DivergenceError stops the run, on all ranks.
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
        precision: Precision | None = None,
        seed: int = 0,
        diagnostics: Path | None = None,
    ) -> None:
        self.model, self.loader, self.optimizer, self.loss = model, loader, optimizer, loss
        self.hooks, self.epochs, self.average, self.seed = hooks, epochs, average, seed
        self._accumulate, self._diagnostics = accumulate, diagnostics
        self._precision = precision or Precision()
        self.steps_per_epoch = math.ceil(len(loader) / accumulate)
        self.progress = Progress()
        self.report: StepReport | None = None
        self.interrupted = False
        self._stopping = False
        self._wishes = [0, 0]  # to stop: done, interrupted

    @property
    def step(self) -> int:
        """Steps done, from the beginning of the first epoch."""
        return self.progress.epoch * self.steps_per_epoch + self.progress.step_in_epoch

    def fit(self) -> None:
        """Train until the last epoch is done, or ``stop`` is called."""
        self._set_schedule()
        self._call("before_train")
        while self.progress.epoch < self.epochs and not self._stopping:
            self.model.train()
            self._call("before_epoch")
            if self._run_epoch():
                self._call("after_epoch")
                self._take_up_wishes()
        self._call("after_train")

    def stop(self, *, interrupted: bool) -> None:
        """End the run on all ranks after this step; ``interrupted``: before its time, to be resumed."""
        self._wishes[interrupted] = 1

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
                f"{broken[0]}; {path} is left as it was. {ADVICE}"
            )
        state = TrainState(
            progress=self.progress,
            steps_per_epoch=self.steps_per_epoch,
            ranks=rank_count(),
            seed=self.seed,
            scaler=self._precision.state,
            optimizer_name=type(self.optimizer).__name__,
            model=model,
            average=copy_arrays(self.average.arrays) if self.average else {},
            optimizer=optimizer_arrays(self.optimizer, self.model),
        )
        write_state(path, state)

    def resume(self, state: TrainState) -> None:
        """Go on from a state; CheckpointError where it is of another network or optimizer.

        Where the number of ranks or of an epoch's steps has changed, a half-done epoch begins anew: its order
        is another.
        """
        set_arrays(self.model.state_dict(), state.model, "the weights")
        set_optimizer_arrays(self.optimizer, self.model, state.optimizer, state.optimizer_name)
        if self.average is not None:
            if not state.average:
                _logger.warning("the training state has no moving average: it starts from the weights")
            set_arrays(self.average.arrays, state.average or state.model, "the moving average")
        self._precision.resume(state.scaler)
        self.progress = replace(state.progress)
        before, now = (state.ranks, state.steps_per_epoch), (rank_count(), self.steps_per_epoch)
        if before != now and self.progress.step_in_epoch:
            _logger.warning(
                "the run had %d ranks and %d steps an epoch, and has %d and %d now: epoch %d begins anew",
                *before, *now, self.progress.epoch + 1,
            )  # fmt: skip
            self.progress.step_in_epoch = 0

    def _run_epoch(self) -> bool:
        """Train the rest of this epoch; False where it was stopped on the way."""
        meet()  # the hooks take longer on the main rank
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
            loss, images = self._train_step(group)
            self.progress.step_in_epoch += 1
            if self.average is not None:
                self.average.update(self.step)
            step_time = time.perf_counter() - begin
            self.report = StepReport(loss, learning_rate, images, data_time, step_time)
            self._call("after_step")
            self._take_up_wishes()
            if self._stopping and self.progress.step_in_epoch < self.steps_per_epoch:
                return False
        self.progress.epoch += 1
        self.progress.step_in_epoch = 0
        return True

    def _train_step(self, group: Sequence[Batch]) -> tuple[float, int]:
        """One step of the optimizer; returns the mean loss over all ranks' images, and their number."""
        # The network's random numbers depend on step and rank alone: a resumed run draws the same ones.
        entropy = (self.seed, self.step, this_rank())
        paddle.seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        images = int(add_up(np.array([sum(len(batch["image"]) for batch in group)]))[0])
        mean, broken = 0.0, None
        for batch in group:
            share = len(batch["image"]) / images
            heatmaps, value = self._backward(batch, share)
            mean += value * share
            if broken is None and not math.isfinite(value):
                broken = batch, heatmaps, value
        means = gather(mean)
        if not np.isfinite(means).all():
            raise self._diverged(means, broken)
        sum_gradients(self.model)
        self._precision.step(self.optimizer)
        self.optimizer.clear_grad()
        self._set_schedule(self.step + 1)
        return float(means.sum()), images

    def _backward(self, batch: Batch, share: float) -> tuple[paddle.Tensor, float]:
        """Add a batch's gradients, times its share of the step; returns its heatmaps and loss."""
        with self._precision.autocast():
            heatmaps = self.model(batch["image"])
        loss = self.loss(heatmaps.astype("float32"), batch["heatmaps"], batch["target_weight"])
        self._precision.backward(loss * share)
        # Read once the backward pass is queued, so that a GPU is not left idle between the two.
        return heatmaps, float(loss)

    def _take_up_wishes(self) -> None:
        """Stop where any rank was asked to, so that all stop after the same step."""
        done, interrupted = add_up(np.array(self._wishes)) > 0
        self._stopping, self.interrupted = bool(done or interrupted), bool(interrupted and not done)

    def _set_schedule(self, step: int | None = None) -> None:
        scheduler = self.optimizer._learning_rate  # no public way leads to it
        if isinstance(scheduler, paddle.optimizer.lr.LRScheduler):
            scheduler.step(self.step if step is None else step)

    def _diverged(
        self, means: np.ndarray, broken: tuple[Batch, paddle.Tensor, float] | None
    ) -> DivergenceError:
        step, rank = self.step + 1, int(np.flatnonzero(~np.isfinite(means))[0])
        whose = f" of rank {rank}" if len(means) > 1 else ""
        text = f"the loss{whose} is {means[rank]} at step {step} (epoch {self.progress.epoch + 1})"
        text += describe_weights(self.model)
        if broken is not None and self._diagnostics is not None:
            name = f"diverged_step_{step}" + (f"_rank_{this_rank()}" if whose else "")
            file = self._diagnostics / f"{name}.npz"
            write_diagnostics(file, *broken)
            text += f"; its batch is in {file}"
        return DivergenceError(f"{text}. {ADVICE}")

    def _call(self, moment: str) -> None:
        for hook in self.hooks:
            getattr(hook, moment)(self)
