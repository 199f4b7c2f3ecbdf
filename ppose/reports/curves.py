"""Plots the curves of training runs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # importing it takes most of a second
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Key in metrics.jsonl, label.
_CURVES = (
    ("loss", "loss (mean of its steps)"),
    ("student_loss", "student loss"),
    ("distillation_loss", "distillation loss"),
    ("lr", "learning rate"),
)
_COLOURS = (
    "tab:blue",
    "tab:orange",
    "tab:green",
    "tab:red",
    "tab:purple",
    "tab:brown",
    "tab:pink",
    "tab:cyan",
)

Records = Sequence[dict[str, Any]]


def plot_curves(
    records: Records, steps_per_epoch: float, measure: str, others: Mapping[str, Records] | None = None
) -> "Figure":
    """Loss, learning rate and, if evaluated, ``measure`` over steps (lower axis) and epochs (upper axis).

    ``others`` are further runs by name, drawn over it; the first name is that of ``records``.
    """
    from matplotlib.figure import Figure  # without pyplot it needs no display and keeps no state

    runs = {"": records} if others is None else others
    found = [
        (key, label)
        for key, label in (*_CURVES, (measure, measure))
        if any(key in record for run in runs.values() for record in run)
    ]
    figure = Figure(figsize=(8, 2.6 * len(found)), layout="constrained")
    panels = figure.subplots(len(found), sharex=True, squeeze=False)[:, 0]
    for (key, label), axes in zip(found, panels, strict=True):
        for number, (name, run) in enumerate(runs.items()):
            _plot(axes, key, run, name, _COLOURS[number % len(_COLOURS)])
        if key.endswith("loss"):
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    if len(runs) > 1:
        panels[0].legend()
    panels[-1].set_xlabel("step")
    epochs = panels[0].secondary_xaxis(
        "top", functions=(lambda step: step / steps_per_epoch, lambda epoch: epoch * steps_per_epoch)
    )
    epochs.set_xlabel("epoch")
    return figure


def _plot(axes: "Axes", key: str, records: Records, name: str, colour: str) -> None:
    points = [(record["step"], record[key]) for record in records if key in record]
    if points:
        marker = "." if len(points) < 50 else None  # a line with a single point is invisible
        axes.plot(*zip(*points, strict=True), marker=marker, color=colour, label=plain_label(name))


def plain_label(name: str) -> str:
    """A name without matplotlib's markup for formulas and hidden labels; at most 40 characters."""
    return name.replace("$", r"\$").lstrip("_")[:40]
