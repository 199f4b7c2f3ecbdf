"""Draws a run's curves."""

import json
from pathlib import Path

from ppose.engine.hooks.run import METRICS_FILE
from ppose.engine.trainer import Hook, Trainer
from ppose.files import replacing
from ppose.reports.curves import plot_curves


class DrawCurves(Hook):
    """Draws `curves.png` from `metrics.jsonl` in the run's folder at the end of a run, even if interrupted.

    ``measure`` is the number by which networks are compared.
    """

    def __init__(self, folder: Path, measure: str) -> None:
        self._folder, self._measure = folder, measure

    def after_train(self, trainer: Trainer) -> None:
        """Draw, if there is something to draw."""
        lines = (self._folder / METRICS_FILE).read_bytes().splitlines()
        if lines:
            records = [json.loads(line) for line in lines]
            figure = plot_curves(records, trainer.steps_per_epoch, self._measure)
            with replacing(self._folder / "curves.png") as temporary:
                figure.savefig(temporary, format="png", dpi=110)
