"""A run's curves and sample pictures in VisualDL."""

import json
import time
from pathlib import Path
from typing import Any

from ppose.engine.hooks.run import METRICS_FILE
from ppose.engine.hooks.samples import list_pictures
from ppose.engine.trainer import Hook, Trainer
from ppose.errors import ConfigError
from ppose.transforms import read_image


class VisualLog(Hook):
    """Writes what the run's own files hold, `metrics.jsonl` and `vis/`, to a log for VisualDL as it comes.

    The axis is the optimizer's steps. VisualDL shows the newest log of a folder alone, so a resumed run
    writes one with all that it kept first. Stands after the hooks that write these files. Raises ConfigError
    where VisualDL is not installed.
    """

    def __init__(self, folder: Path, log_dir: Path) -> None:
        try:
            from visualdl import LogWriter
        except ImportError as error:
            raise ConfigError(
                f"use_vdl is true, but VisualDL cannot be imported ({error}): pip install visualdl, or set "
                "-o use_vdl=false"
            ) from None
        self._make_writer, self._folder, self._log_dir = LogWriter, folder, log_dir
        self._position = 0
        self._last_epoch = 0

    def before_train(self, trainer: Trainer) -> None:
        """Begin a log, with what a resumed run kept."""
        # By the nanosecond: to a log of the same name VisualDL would add.
        name = f"vdlrecords.{time.time_ns()}.log"
        self._writer = self._make_writer(
            logdir=str(self._log_dir), file_name=name, display_name=self._folder.name
        )
        self._add_scalars()
        self._add_pictures(trainer)

    def after_step(self, trainer: Trainer) -> None:
        """Add what was recorded."""
        self._add_scalars()

    def after_epoch(self, trainer: Trainer) -> None:
        """Add what was recorded and drawn."""
        self._add_scalars()
        self._add_pictures(trainer)
        self._writer.flush()

    def after_train(self, trainer: Trainer) -> None:
        """Close the log."""
        self._writer.close()

    def _add_scalars(self) -> None:
        with (self._folder / METRICS_FILE).open("rb") as file:
            file.seek(self._position)
            lines = file.read()
        self._position += len(lines)
        for line in lines.splitlines():
            record = json.loads(line)
            for tag, value in name_scalars(record).items():
                self._writer.add_scalar(tag=tag, value=value, step=record["step"])

    def _add_pictures(self, trainer: Trainer) -> None:
        for epoch, file in list_pictures(self._folder / "vis"):
            if epoch > self._last_epoch:
                step = epoch * trainer.steps_per_epoch
                self._writer.add_image(tag="train/samples", img=read_image(file), step=step)
                self._last_epoch = epoch


def name_scalars(record: dict[str, Any]) -> dict[str, float]:
    """Tag and value of everything in a line of `metrics.jsonl`; metrics of -1 (nobody of that size) are none.

    data_share is the part of a step's time that went by waiting for data.
    """
    values = {name: value for name, value in record.items() if name not in ("epoch", "step")}
    if "loss" not in values:
        return {f"eval/{name}": value for name, value in values.items() if value >= 0}
    values["data_share"] = values["data_time"] / values["step_time"]
    return {f"train/{name}": value for name, value in values.items()}
