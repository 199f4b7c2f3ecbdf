"""Hooks of the training loop: log, evaluation, checkpoints."""

import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from paddle import nn
from tqdm import tqdm

from ppose.engine.device import peak_memory
from ppose.engine.distributed.ranks import is_main
from ppose.engine.state import STATE_FILE
from ppose.engine.trainer import Hook, Interrupted, StepReport, Trainer
from ppose.files import to_json, write_bytes
from ppose.metrics.metric import to_record
from ppose.weights.checkpoint import save_weights

METRICS_FILE = "metrics.jsonl"

# Computes a network's metrics; it must call `Trainer.check_wanted` now and then.
EvaluateNetwork = Callable[[nn.Layer, Callable[[], None]], dict[str, float]]


class RunLog:
    """The logs in a run's folder: ``log/train.log`` for people, ``metrics.jsonl`` for programs.

    ``echo`` also prints the lines for people.
    """

    def __init__(self, folder: Path, *, echo: bool) -> None:
        self._text, self._metrics, self._echo = folder / "log" / "train.log", folder / METRICS_FILE, echo

    def begin(self, step: int) -> None:
        """Keep the records up to this step (of a resumed run), drop the rest."""
        lines = self._metrics.read_bytes().splitlines() if self._metrics.is_file() else []
        kept = [line for line in lines if _step_of(line) <= step] if step else []
        write_bytes(self._metrics, b"".join(line + b"\n" for line in kept))

    def write(self, text: str) -> None:
        """Add a line for people."""
        if self._echo:
            print(text, flush=True)
        _append(self._text, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}")

    def record(self, values: dict[str, Any]) -> None:
        """Add a record for programs; it has the key ``step``."""
        _append(self._metrics, to_json(values, self._metrics.name))


def _append(path: Path, line: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _step_of(line: bytes) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")  # half a line of a killed run


class LogProgress(Hook):
    """Logs loss with parts, rate, times, images/s and time left, every ``every`` steps and after each epoch.

    Losses and times are means over the last ``every`` steps. A terminal shows a bar instead of lines.
    """

    def __init__(self, log: RunLog, every: int) -> None:
        self._log, self._every = log, every
        self._window: deque[StepReport] = deque(maxlen=every)
        self._bar = tqdm(disable=True)

    def before_train(self, trainer: Trainer) -> None:
        """Open the log."""
        self._log.begin(trainer.step)
        done = f", from step {trainer.step}" if trainer.step else ""
        self._log.write(f"training {trainer.epochs} epochs of {trainer.steps_per_epoch} steps{done}")

    def before_epoch(self, trainer: Trainer) -> None:
        """Open the epoch's bar, shown on a terminal only."""
        self._bar = tqdm(
            total=trainer.steps_per_epoch,
            initial=trainer.progress.step_in_epoch,
            desc=f"epoch {trainer.progress.epoch + 1}/{trainer.epochs}",
            unit="step",
            disable=None,
            leave=False,
        )

    def after_step(self, trainer: Trainer) -> None:
        """Count the step, and log if it is time."""
        self._window.append(trainer.report)
        self._bar.update()
        step = trainer.progress.step_in_epoch
        if step % self._every and step != trainer.steps_per_epoch:
            return
        values = self._values(trainer)
        self._bar.set_postfix(loss=f"{values['loss']:.3g}", images_s=f"{values['images_per_s']:.1f}")
        left = (trainer.epochs * trainer.steps_per_epoch - trainer.step) * values["step_time"]
        parts = "".join(f"{name} {values[name]:.6f} " for name in trainer.report.parts)
        self._log.write(
            f"epoch {values['epoch']}/{trainer.epochs} step {step}/{trainer.steps_per_epoch} "
            f"loss {values['loss']:.6f} {parts}lr {values['lr']:.3g} data {values['data_time']:.3f} s "
            f"step {values['step_time']:.3f} s {values['images_per_s']:.1f} images/s "
            f"to go {timedelta(seconds=round(left))}"
        )
        self._log.record(values)

    def after_epoch(self, trainer: Trainer) -> None:
        """Close the epoch's bar."""
        self._bar.close()

    def after_train(self, trainer: Trainer) -> None:
        """Close a bar that an interruption left open."""
        self._bar.close()

    def _values(self, trainer: Trainer) -> dict[str, Any]:
        steps, total = len(self._window), sum(report.step_time for report in self._window)
        return {
            "epoch": trainer.progress.epoch + 1,
            "step": trainer.step,
            "loss": sum(report.loss for report in self._window) / steps,
            **{
                name: sum(report.parts[name] for report in self._window) / steps
                for name in trainer.report.parts
            },
            "lr": trainer.report.learning_rate,
            "data_time": sum(report.data_time for report in self._window) / steps,
            "step_time": total / steps,
            "images_per_s": sum(report.images for report in self._window) / total,
            **peak_memory(),
        }


class SaveCheckpoints(Hook):
    """Saves the run in its folder, each file whole or not at all.

    After every epoch `train_state.npz`, from which a run resumes. Every ``every`` epochs and after the last
    `model_dump/<epoch>.pdparams` and its state, `.npz`; the newest ``keep`` stay. At the end
    `model_final.pdparams`. An interrupted run saves `train_state.npz` at its last step. Weights files hold
    the moving average if there is one.
    """

    def __init__(self, folder: Path, *, every: int, keep: int) -> None:
        self._folder, self._dumps, self._every, self._keep = folder, folder / "model_dump", every, keep

    def after_epoch(self, trainer: Trainer) -> None:
        """Save the state, and a dump if it is time."""
        trainer.save(self._folder / STATE_FILE)
        if is_due(trainer, self._every):
            with trainer.averaged():
                save_weights(trainer.model, self._dumps / f"{trainer.progress.epoch}.pdparams")
            trainer.save(self._dumps / f"{trainer.progress.epoch}.npz")
            self._rotate(trainer.progress.epoch)

    def after_train(self, trainer: Trainer) -> None:
        """Save the state of an interrupted run, or the weights of a finished one."""
        if trainer.interrupted:
            trainer.save(self._folder / STATE_FILE)
            return
        with trainer.averaged():
            save_weights(trainer.model, self._folder / "model_final.pdparams")

    def _rotate(self, newest: int) -> None:
        epochs = {int(file.stem) for file in self._dumps.iterdir() if file.stem.isdigit()}
        # Later epochs belong to an earlier run in this folder; they must not push out this run's dumps.
        for epoch in sorted(epoch for epoch in epochs if epoch <= newest)[: -self._keep]:
            for ending in ("pdparams", "npz"):
                (self._dumps / f"{epoch}.{ending}").unlink(missing_ok=True)


class Evaluate(Hook):
    """Evaluates the network every ``every`` epochs and after the last, and keeps `best_model.pdparams`.

    ``evaluate`` gives the metrics of a network; the log shows those of ``headline``, and the first of these
    decides which network is best. With ``patience`` the run stops after that many epochs without a better
    one. Must come after SaveCheckpoints, so that a failing evaluation loses nothing. It is a hook of all
    ranks, which share the evaluation; the main rank writes. If a run was interrupted or killed between saving
    and evaluating, resuming it evaluates first.
    """

    def __init__(
        self,
        evaluate: EvaluateNetwork,
        folder: Path,
        log: RunLog,
        *,
        headline: Sequence[str],
        every: int,
        patience: int | None = None,
    ) -> None:
        self._headline = headline
        self._evaluate, self._folder, self._log = evaluate, folder, log
        self._every, self._patience = every, patience

    def before_train(self, trainer: Trainer) -> None:
        """Run the missed evaluation of the last saved epoch."""
        progress = trainer.progress
        if progress.evaluated < progress.epoch and progress.step_in_epoch == 0:
            self.after_epoch(trainer)

    def after_epoch(self, trainer: Trainer) -> None:
        """Evaluate if it is time."""
        if not is_due(trainer, self._every):
            return
        with suppress(Interrupted):
            self._evaluate_and_save(trainer)

    def _evaluate_and_save(self, trainer: Trainer) -> None:
        progress = trainer.progress
        with trainer.averaged():
            metrics = to_record(self._evaluate(trainer.network, trainer.check_wanted))
            value = metrics[self._headline[0]]
            if value is not None and (progress.best is None or value > progress.best):
                if is_main():
                    save_weights(trainer.model, self._folder / "best_model.pdparams")
                progress.best, progress.best_epoch = value, progress.epoch
        progress.evaluated = progress.epoch
        gives_up = self._patience is not None and progress.epoch - progress.best_epoch >= self._patience
        if gives_up:
            trainer.stop(interrupted=False)
        if is_main():
            trainer.save(self._folder / STATE_FILE)
            self._record(trainer, metrics, gives_up)

    def _record(self, trainer: Trainer, metrics: dict[str, float | None], gives_up: bool) -> None:
        progress = trainer.progress
        self._log.record({"epoch": progress.epoch, "step": trainer.step, **metrics})
        shown = ", ".join(f"{name} {_show(metrics[name])}" for name in self._headline)
        best = f"best {self._headline[0]} {_show(progress.best)}, epoch {progress.best_epoch}"
        self._log.write(f"epoch {progress.epoch}: {shown} ({best})")
        if gives_up:
            self._log.write(f"stopped early: no better {self._headline[0]} since epoch {progress.best_epoch}")


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def is_due(trainer: Trainer, every: int) -> bool:
    """Whether work for every ``every`` epochs, and after the last, is due now."""
    return trainer.progress.epoch % every == 0 or trainer.progress.epoch == trainer.epochs
