"""A picture of a run's curves."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppose.engine.hooks.run import METRICS_FILE
from ppose.engine.trainer import Hook, Trainer
from ppose.files import replacing

if TYPE_CHECKING:  # importing it takes most of a second
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Key in metrics.jsonl, label.
_CURVES = (
    ("loss", "loss (mean of its steps)"),
    ("student_loss", "of it: the student's"),
    ("distillation_loss", "of it: distillation"),
    ("lr", "learning rate"),
)


class DrawCurves(Hook):
    """At the end of a run, interrupted or not: `curves.png` in its folder, drawn from `metrics.jsonl`.

    ``measure`` is the number by which networks are compared.
    """

    def __init__(self, folder: Path, measure: str) -> None:
        self._folder, self._measure = folder, measure

    def after_train(self, trainer: Trainer) -> None:
        """Draw, once there is something to draw."""
        lines = (self._folder / METRICS_FILE).read_bytes().splitlines()
        if lines:
            records = [json.loads(line) for line in lines]
            figure = plot_curves(records, trainer.steps_per_epoch, self._measure)
            with replacing(self._folder / "curves.png") as temporary:
                figure.savefig(temporary, format="png", dpi=110)


def plot_curves(records: list[dict[str, Any]], steps_per_epoch: int, measure: str) -> "Figure":
    """Loss, learning rate and, where it was evaluated, ``measure`` over steps (below) and epochs (above)."""
    from matplotlib.figure import Figure  # without pyplot it needs no display, and keeps no state

    found = [
        (key, label)
        for key, label in (*_CURVES, (measure, measure))
        if any(key in record for record in records)
    ]
    figure = Figure(figsize=(8, 2.6 * len(found)), layout="constrained")
    panels = figure.subplots(len(found), sharex=True, squeeze=False)[:, 0]
    for (key, label), axes in zip(found, panels, strict=True):
        _plot(axes, key, label, records)
    panels[-1].set_xlabel("step")
    epochs = panels[0].secondary_xaxis(
        "top", functions=(lambda step: step / steps_per_epoch, lambda epoch: epoch * steps_per_epoch)
    )
    epochs.set_xlabel("epoch")
    return figure


def _plot(axes: "Axes", key: str, label: str, records: list[dict[str, Any]]) -> None:
    points = [(record["step"], record[key]) for record in records if key in record]
    marker = "." if len(points) < 50 else None  # a line through one point alone is not seen
    axes.plot(*zip(*points, strict=True), marker=marker, color="tab:blue")
    if key.endswith("loss"):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
