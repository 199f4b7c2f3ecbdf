"""Post-training quantization of a task's network, to an int8 export or to a report on its layers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paddle import nn

from ppose.engine.calibration import CalibrationImages
from ppose.engine.load import load_trained
from ppose.engine.task import Task
from ppose.export.export import Options, Report, export_model
from ppose.files import check_writable
from ppose.quantization.calibrate import PTQ, equalize_and_calibrate, quantized_copy
from ppose.quantization.convolutions import find_convs
from ppose.quantization.sensitivity import LayerSensitivity, heatmap_error, measure_sensitivity
from ppose.quantization.sensitivity_report import CSV_FILE, write_report

# Calibration images for the heatmap error per layer, and for that of the whole network.
_IMAGES_PER_LAYER, _IMAGES_COMPARED = 4, 16


@dataclass(frozen=True)
class Quantized:
    """A network before and after quantization, both in eval mode, and its export.

    ``network`` simulates the export in Paddle; ``error`` is its `heatmap_error` on calibration images.
    """

    trained: nn.Layer
    network: nn.Layer
    how: PTQ
    quantized_convs: int
    error: float
    report: Report

    def describe(self) -> str:
        """Return three lines for the user."""
        return (
            f"{self.quantized_convs} of {len(find_convs(self.trained))} convolutions in eight bits "
            f"({self.how.method}): heatmaps off by {100 * self.error:.1f} % of the network's in float, on "
            "calibration images\n"
            f"{self.report.describe()}"
        )


def quantize_and_export(
    task: Task, images: CalibrationImages, how: PTQ, folder: Path, options: Options
) -> Quantized:
    """Quantize the task's trained network, calibrated on ``images``, and export it to ``folder``.

    Raises as `load_trained`, `calibrate` and `export_model` do.
    """
    check_writable(folder / "infer_cfg.yml")
    trained = load_trained(task)
    quantizations = equalize_and_calibrate(trained, images, how)
    network = quantized_copy(trained, quantizations)
    error = heatmap_error(network, trained, [images.sample(_IMAGES_COMPARED)])
    report = export_model(task, folder.name, folder, options, trained=network)
    return Quantized(trained, network, how, len(quantizations), error, report)


def analyse_layers(
    task: Task,
    images: CalibrationImages,
    how: PTQ,
    folder: Path,
    measure_ap: Callable[[nn.Layer], float] | None,
    ap_layers: int,
) -> list[LayerSensitivity]:
    """`measure_sensitivity` of the task's trained network; also writes it to ``folder`` (`write_report`)."""
    check_writable(folder / CSV_FILE)
    trained = load_trained(task)
    quantizations = equalize_and_calibrate(trained, images, how)
    sample = [images.sample(_IMAGES_PER_LAYER)]
    rows = measure_sensitivity(trained, sample, quantizations, measure_ap, ap_layers)
    write_report(folder, rows)
    return rows
