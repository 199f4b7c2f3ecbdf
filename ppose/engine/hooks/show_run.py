"""Sends a run's curves and sample pictures to loggers."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ppose.engine.hooks.run import METRICS_FILE
from ppose.engine.hooks.samples import list_pictures
from ppose.engine.loggers import RunLogger
from ppose.engine.trainer import Hook, Trainer
from ppose.transforms import read_image


class ShowRun(Hook):
    """Sends new content of the run's files, `metrics.jsonl` and `vis/`, to loggers.

    Must come after the hooks that write these files.
    """

    def __init__(self, folder: Path, loggers: Sequence[RunLogger], config: dict[str, Any]) -> None:
        self._folder, self._loggers, self._config = folder, loggers, config
        self._records: BinaryIO | None = None  # open, at the position read so far
        self._last_epoch = 0

    def before_train(self, trainer: Trainer) -> None:
        """Open the loggers, and send what a resumed run kept."""
        for logger in self._loggers:
            logger.begin(self._folder.name, self._config)
        self._send(self._new_pictures(trainer))

    def after_step(self, trainer: Trainer) -> None:
        """Send new records."""
        self._send([])

    def after_epoch(self, trainer: Trainer) -> None:
        """Send new records and pictures."""
        self._send(self._new_pictures(trainer))
        for logger in self._loggers:
            logger.flush()

    def after_train(self, trainer: Trainer) -> None:
        """Close the logs."""
        self._close()
        for logger in self._loggers:
            logger.close()

    def _send(self, pictures: list[tuple[int, Path]]) -> None:
        """Send new numbers and these pictures in the order of steps, numbers first."""
        for record in self._new_records():
            while pictures and pictures[0][0] < record["step"]:
                self._send_picture(*pictures.pop(0))
            scalars = name_scalars(record)
            for logger in self._loggers:
                logger.add_scalars(scalars, record["step"])
        for step, file in pictures:
            self._send_picture(step, file)

    def _send_picture(self, step: int, file: Path) -> None:
        picture = read_image(file)
        for logger in self._loggers:
            logger.add_picture("train/samples", picture, step)

    def _new_records(self) -> list[dict[str, Any]]:
        path = self._folder / METRICS_FILE
        if self._records is None or not os.path.samestat(os.fstat(self._records.fileno()), path.stat()):
            self._close()  # the file is a new one if somebody deleted the folder
            self._records = path.open("rb")
        return [json.loads(line) for line in self._records.read().splitlines()]

    def _close(self) -> None:
        if self._records is not None:
            self._records.close()

    def _new_pictures(self, trainer: Trainer) -> list[tuple[int, Path]]:
        """Step and file of the new pictures."""
        new = [(e, file) for e, file in list_pictures(self._folder / "vis") if e > self._last_epoch]
        self._last_epoch = max([self._last_epoch, *(epoch for epoch, _ in new)])
        return [(epoch * trainer.steps_per_epoch, file) for epoch, file in new]


def name_scalars(record: dict[str, Any]) -> dict[str, float]:
    """Tags and values of a line of `metrics.jsonl`.

    Leaves out metrics without a value, and -1 (nobody of that size).
    data_share is the share of a step's time spent waiting for data.
    """
    values = {name: value for name, value in record.items() if name not in ("epoch", "step")}
    if "loss" not in values:
        known = {name: value for name, value in values.items() if value is not None and value >= 0}
        return {f"eval/{name}": value for name, value in known.items()}
    values["data_share"] = values["data_time"] / values["step_time"]
    return {f"train/{name}": value for name, value in values.items()}
