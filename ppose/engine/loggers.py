"""Loggers that show a training run while it runs: the protocol, and three implementations.

Their packages are imported only if a config asks for them.
"""

import importlib
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol

import numpy as np

from ppose.errors import ConfigError
from ppose.workspace import Given, register


class RunLogger(Protocol):
    """Shows numbers and pictures over the optimizer's steps, which never decrease.

    Each run makes a new one, also a resumed run, which then sends everything it kept since its first step:
    the logger must replace what an earlier process logged, or log beside it.
    """

    def begin(self, run: str, config: dict[str, Any]) -> None:
        """Start a run with that name and config."""

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        """Add numbers by name, such as train/loss and eval/AP."""

    def add_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """Add a picture (H, W, 3) uint8, RGB."""

    def flush(self) -> None:
        """Make everything added visible; called after each epoch."""

    def close(self) -> None:
        """End the run, finished or not."""


def _import(package: str, logger: str, instead: str = "take it out of the config") -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"{logger} needs {package}, which cannot be imported ({error}): pip install {package}, or "
            f"{instead}"
        ) from None


class _WriterLog:
    """The common part of VisualDL's and TensorBoard's writers; `begin` opens one."""

    _writer: Any

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        """Add them."""
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, step)

    def add_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """Add it."""
        self._writer.add_image(name, picture, step, dataformats="HWC")

    def flush(self) -> None:
        """Write it out."""
        self._writer.flush()

    def close(self) -> None:
        """Close the log."""
        self._writer.close()


@register(RunLogger)
class VisualDLLog(_WriterLog):
    """VisualDL's log in ``log_dir``, by default `log/<run>` in the current folder.

    VisualDL shows only the newest log of a folder, so each process writes one with everything the run kept.
    """

    def __init__(self, run: Given[str], log_dir: str | None = None) -> None:
        self._make_writer = _import("visualdl", "VisualDLLog", "set -o use_vdl=false").LogWriter
        self._log_dir = Path(log_dir or Path("log") / run)

    def begin(self, run: str, config: dict[str, Any]) -> None:
        """Open a new log."""
        # Nanoseconds make the name unique: VisualDL appends to a log of the same name.
        name = f"vdlrecords.{time.time_ns()}.log"
        self._writer = self._make_writer(logdir=str(self._log_dir), file_name=name, display_name=run)


@register(RunLogger)
class TensorBoardLog(_WriterLog):
    """TensorBoard's log in ``log_dir``, by default `log/tensorboard/<run>` in the current folder.

    Deletes logs that an earlier process of ppose left there, since this log repeats them. Needs tensorboardX.
    """

    _SUFFIX = ".ppose"

    def __init__(self, run: Given[str], log_dir: str | None = None) -> None:
        self._make_writer = _import("tensorboardX", "TensorBoardLog").SummaryWriter
        self._log_dir = Path(log_dir or Path("log") / "tensorboard" / run)

    def begin(self, run: str, config: dict[str, Any]) -> None:
        """Open a new log, replacing older ones."""
        for file in self._log_dir.glob(f"events.out.tfevents.*{self._SUFFIX}"):
            file.unlink()
        self._writer = self._make_writer(str(self._log_dir), filename_suffix=self._SUFFIX)


@register(RunLogger)
class WandbLog:
    """A run of Weights & Biases, in ``log_dir`` (by default `log` in the current folder).

    ``mode`` offline only writes to that folder, and `wandb sync` uploads it; online uploads at once. Each
    process makes its own run, with everything the run kept.
    """

    def __init__(
        self,
        project: str = "ppose",
        log_dir: str = "log",
        mode: Literal["offline", "online"] = "offline",
    ) -> None:
        self._wandb = _import("wandb", "WandbLog")
        self._project, self._log_dir, self._mode = project, Path(log_dir), mode

    def begin(self, run: str, config: dict[str, Any]) -> None:
        """Begin a run."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._run = self._wandb.init(
            project=self._project,
            name=run,
            config=config,
            dir=str(self._log_dir),
            mode=self._mode,
            settings=self._wandb.Settings(console="off", save_code=False, disable_git=True, silent=True),
        )

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        """Add them."""
        self._run.log(values, step=step)

    def add_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """Add it."""
        self._run.log({name: self._wandb.Image(picture)}, step=step)

    def flush(self) -> None:
        """Do nothing: everything is written at once."""

    def close(self) -> None:
        """End the run."""
        self._run.finish()
