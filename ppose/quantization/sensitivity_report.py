"""Writes the sensitivity of a network's layers as a table, a file and a picture."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ppose.files import replacing
from ppose.quantization.sensitivity import EVERYTHING, NOTHING, LayerSensitivity

if TYPE_CHECKING:  # importing it takes most of a second
    from matplotlib.figure import Figure

CSV_FILE, PICTURE_FILE = "analysis.csv", "analysis.png"

_LISTED = 30


def write_report(folder: Path, rows: Sequence[LayerSensitivity]) -> None:
    """Write `analysis.csv`, one line per row, and `analysis.png`, the worst layers as bars, to a folder."""
    with replacing(folder / CSV_FILE) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", "heatmap_error", "AP"])
        writer.writerows([row.layer, f"{row.error:.6g}", _ap(row, "")] for row in rows)
    figure = plot_sensitivity(rows)
    with replacing(folder / PICTURE_FILE) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def format_report(rows: Sequence[LayerSensitivity]) -> str:
    """The worst layers as a table: heatmap error and, if measured, AP of each layer quantized alone."""
    lines = [f"{row.error:>13.4f}  {_ap(row, '-'):>6}  {row.layer}" for row in rows[:_LISTED]]
    more = [f"and {len(rows) - _LISTED} more"] if len(rows) > _LISTED else []
    return "\n".join([f"{'heatmap error':>13}  {'AP':>6}  quantized", *lines, *more])


def plot_sensitivity(rows: Sequence[LayerSensitivity]) -> "Figure":
    """The heatmap errors of the worst layers as bars, with the AP beside them."""
    from matplotlib.figure import Figure  # without pyplot it needs no display and keeps no state

    shown = [row for row in rows if row.layer != NOTHING][:_LISTED][::-1]
    figure = Figure(figsize=(10, 1.2 + 0.24 * len(shown)), layout="constrained")
    axes = figure.subplots()
    colours = ["tab:grey" if row.layer == EVERYTHING else "tab:blue" for row in shown]
    bars = axes.barh([row.layer for row in shown], [row.error for row in shown], color=colours)
    axes.bar_label(bars, [_ap(row, "", "AP ") for row in shown], padding=3, fontsize=8)
    axes.set_xlabel("relative error of the heatmaps with only this convolution in int8")
    axes.tick_params(axis="y", labelsize=8)
    axes.margins(x=0.12, y=0.01)
    axes.grid(axis="x", alpha=0.3)
    if rows[0].ap is not None:
        figure.suptitle(f"AP in float {rows[0].ap:.4f}")
    return figure


def _ap(row: LayerSensitivity, missing: str, before: str = "") -> str:
    return missing if row.ap is None else f"{before}{row.ap:.4f}"
