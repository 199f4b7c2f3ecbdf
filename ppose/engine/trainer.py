"""The training loop."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import paddle
from paddle import nn

from ppose.engine.distributed.ranks import (
    all_gather,
    all_reduce,
    all_reduce_gradients,
    barrier,
    rank_count,
    this_rank,
)
from ppose.engine.divergence import ADVICE, DivergenceError, report_divergence
from ppose.engine.ema import MovingAverage
from ppose.engine.objective import Batch, Objective
from ppose.engine.precision import Precision
from ppose.engine.state import (
    Progress,
    TrainState,
    copy_arrays,
    optimizer_arrays,
    set_arrays,
    set_optimizer_arrays,
    write_state,
)
from ppose.paddle_internals import learning_rate
from ppose.processor_settings import describe_settings, settings_in_force

_logger = logging.getLogger(__name__)


class Loader(Protocol):
    """This rank's batches of one epoch, from batch ``start`` on; the same for the same (epoch, start).

    All ranks have the same number of batches; their sizes may differ.
    """

    epoch: int
    start: int

    def examples(self, count: int) -> Batch:
        """One batch of up to ``count`` samples, spread over the data."""

    def __len__(self) -> int:
        """The batches of a whole epoch."""

    def __iter__(self) -> Iterator[Batch]:
        """image (N, 3, h, w), heatmaps (N, K, H, W), target_weight (N, K, 1), index (N,)."""


@dataclass(frozen=True)
class StepReport:
    """A step: loss, parts and images of all ranks, rate, seconds waited for data, and seconds in total."""

    loss: float
    parts: dict[str, float]
    learning_rate: float
    images: int
    data_time: float
    step_time: float


class Interrupted(Exception):
    """A run must end early."""


class Hook:
    """Work beside the loop; each method is called with the trainer, in the order of the hooks.

    before_train
    for each epoch:   before_epoch, then for each step: after_step; then after_epoch
    after_train

    The network is in training mode from before_epoch on; a hook may put parts of it into eval mode there.
    After the last step of an epoch, ``progress.epoch`` counts that epoch too. An interrupted run goes from
    after_step straight to after_train; after an error none of them is called.
    """

    def before_train(self, trainer: "Trainer") -> None: ...
    def before_epoch(self, trainer: "Trainer") -> None: ...
    def after_step(self, trainer: "Trainer") -> None: ...
    def after_epoch(self, trainer: "Trainer") -> None: ...
    def after_train(self, trainer: "Trainer") -> None: ...


class Trainer:
    """Trains a network, for an objective, on a loader's batches for a number of epochs.

    A step is ``accumulate`` batches of each rank, with gradients averaged over all their images: the gradient
    of one large batch, whatever the number of ranks. ``average`` follows the weights after each step.
    ``network`` is the model in a faster form with the same parameters: the network runs, the model is saved.
    ``seed`` is for the network's own random choices. A batch whose loss is not finite is written to the
    folder ``diagnostics`` before DivergenceError stops the run, on all ranks.
    """

    def __init__(
        self,
        model: nn.Layer,
        loader: Loader,
        optimizer: paddle.optimizer.Optimizer,
        objective: Objective,
        hooks: Sequence[Hook] = (),
        *,
        epochs: int,
        accumulate: int = 1,
        average: MovingAverage | None = None,
        precision: Precision | None = None,
        network: nn.Layer | None = None,
        seed: int = 0,
        diagnostics: Path | None = None,
    ) -> None:
        self.model, self.loader, self.optimizer, self.objective = model, loader, optimizer, objective
        self.network = model if network is None else network
        self.hooks, self.epochs, self.average, self.seed = hooks, epochs, average, seed
        self._accumulate, self._diagnostics = accumulate, diagnostics
        self._precision = precision or Precision()
        learnt = {f"objective.{name}": parameter for name, parameter in objective.learnt.named_parameters()}
        self._parameters = {**dict(model.named_parameters()), **learnt}
        self.steps_per_epoch = math.ceil(len(loader) / accumulate)
        self.progress = Progress()
        self.report = StepReport(math.nan, {}, 0.0, 0, 0.0, 0.0)
        self.interrupted = False
        self._stopping = False
        self._stop_requests = [0, 0]  # done, interrupted

    @property
    def step(self) -> int:
        """Steps done, from the beginning of the first epoch."""
        return self.progress.epoch * self.steps_per_epoch + self.progress.step_in_epoch

    def fit(self) -> None:
        """Train until the last epoch is done, or ``stop`` is called."""
        self._set_schedule()
        self._call("before_train")
        self._agree_on_stop()
        while self.progress.epoch < self.epochs and not self._stopping:
            self.network.train()
            self._call("before_epoch")
            if self._run_epoch():
                self._call("after_epoch")
                self._agree_on_stop()
        self._call("after_train")

    def stop(self, *, interrupted: bool) -> None:
        """End the run on all ranks after this step; ``interrupted``: early, to be resumed later."""
        self._stop_requests[interrupted] = 1

    def check_wanted(self) -> None:
        """Raise `Interrupted` if the run must end early, unless other ranks would wait for this one."""
        if self._stop_requests[True] and rank_count() == 1:
            raise Interrupted

    def averaged(self) -> AbstractContextManager:
        """Context in which the network holds the moving average of its weights, if there is one."""
        return nullcontext() if self.average is None else self.average.applied()

    def save(self, path: str | Path) -> None:
        """Write everything that `resume` needs to a file; OSError names it.

        Raises DivergenceError, and keeps the earlier file, if weights or statistics are not finite: the loss
        need not show it, since Paddle's ReLU turns NaN into 0.
        """
        model = copy_arrays(self.model.state_dict())
        objective = copy_arrays(self.objective.learnt.state_dict())
        broken = [name for name, array in {**model, **objective}.items() if not np.isfinite(array).all()]
        if broken:
            raise DivergenceError(
                f"{len(broken)} arrays of weights are not finite at step {self.step}, the first is "
                f"{broken[0]}; {path} stays unchanged. {ADVICE}"
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
            objective=objective,
            optimizer=optimizer_arrays(self.optimizer, self._parameters),
            teacher=self.objective.teacher,
            processor_settings=settings_in_force(),
        )
        write_state(path, state)

    def resume(self, state: TrainState) -> None:
        """Resume from a state; CheckpointError if it is of another network or optimizer.

        If the number of ranks or of steps per epoch has changed, a half-done epoch starts over, since its
        order differs.
        """
        set_arrays(self.model.state_dict(), state.model, "the weights")
        set_arrays(self.objective.learnt.state_dict(), state.objective, "what is learnt beside the weights")
        set_optimizer_arrays(self.optimizer, self._parameters, state.optimizer, state.optimizer_name)
        if self.average is not None:
            if not state.average:
                _logger.warning("the training state has no moving average: starting it from the weights")
            set_arrays(self.average.arrays, state.average or state.model, "the moving average")
        self._precision.resume(state.scaler)
        settings = settings_in_force()
        if paddle.device.get_device() == "cpu" and settings != state.processor_settings:
            _logger.warning(
                "Paddle's CPU settings were %s and are %s now: losses may differ in rounding",
                describe_settings(state.processor_settings), describe_settings(settings),
            )  # fmt: skip
        self.progress = replace(state.progress)
        before, now = (state.ranks, state.steps_per_epoch), (rank_count(), self.steps_per_epoch)
        if before != now and self.progress.step_in_epoch:
            _logger.warning(
                "the run had %d ranks and %d steps per epoch, and has %d and %d now: epoch %d starts over",
                *before, *now, self.progress.epoch + 1,
            )  # fmt: skip
            self.progress.step_in_epoch = 0

    def _run_epoch(self) -> bool:
        """Train the rest of this epoch; False if it was stopped before its end."""
        barrier()  # the hooks take longer on the main rank
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
            losses, images = self.train_step(group)
            self.progress.step_in_epoch += 1
            if self.average is not None:
                self.average.update(self.step)
            step_time = time.perf_counter() - begin
            self.report = StepReport(losses.pop("loss"), losses, learning_rate, images, data_time, step_time)
            self._call("after_step")
            self._agree_on_stop()
            if self._stopping and self.progress.step_in_epoch < self.steps_per_epoch:
                return False
        self.progress.epoch += 1
        self.progress.step_in_epoch = 0
        return True

    def train_step(self, group: Sequence[Batch]) -> tuple[dict[str, float], int]:
        """One step of the optimizer; returns the mean `loss` and parts over all images, and their number."""
        # The network's random numbers depend only on step and rank, so a resumed run draws the same ones.
        entropy = (self.seed, self.step, this_rank())
        paddle.seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        images = int(all_reduce(np.array([sum(len(batch["image"]) for batch in group)]))[0])
        means: dict[str, float] = {}
        broken = None
        for batch in group:
            share = len(batch["image"]) / images
            heatmaps, losses = self._backward(batch, share)
            means = {name: means.get(name, 0.0) + value * share for name, value in losses.items()}
            if broken is None and not math.isfinite(losses["loss"]):
                broken = batch, heatmaps, losses
        of_ranks = dict(zip(means, all_gather(list(means.values())).T, strict=True))
        if not np.isfinite(of_ranks["loss"]).all():
            place = {"step": self.step + 1, "epoch": self.progress.epoch + 1}
            raise report_divergence(self.model, of_ranks["loss"], broken, self._diagnostics, **place)
        all_reduce_gradients(self._parameters.values())
        self._precision.step(self.optimizer)
        self.optimizer.clear_grad()
        self._set_schedule(self.step + 1)
        return {name: float(values.sum()) for name, values in of_ranks.items()}, images

    def _backward(self, batch: Batch, share: float) -> tuple[paddle.Tensor, dict[str, float]]:
        """Add a batch's gradients, times its share of the step; returns its heatmaps, `loss` and parts."""
        with self._precision.autocast():
            outcome = self.objective(self.network, batch, self.step)
        self._precision.backward(outcome.loss * share)
        # Read them after the backward pass is queued, so that a GPU does not idle in between.
        values = {"loss": outcome.loss, **outcome.parts}
        return outcome.heatmaps, {name: float(value) for name, value in values.items()}

    def _agree_on_stop(self) -> None:
        """Stop if any rank was asked to; all ranks stop after the same step."""
        done, interrupted = all_reduce(np.array(self._stop_requests)) > 0
        self._stopping, self.interrupted = bool(done or interrupted), bool(interrupted and not done)

    def _set_schedule(self, step: int | None = None) -> None:
        scheduler = learning_rate(self.optimizer)
        if isinstance(scheduler, paddle.optimizer.lr.LRScheduler):
            scheduler.step(self.step if step is None else step)

    def _call(self, moment: str) -> None:
        for hook in self.hooks:
            getattr(hook, moment)(self)
