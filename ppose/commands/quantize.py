"""Quantizes a trained network to int8 without training, and exports it."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppose.options import add_config_options, add_export_options
from ppose.processor_settings import silence_tracing

if TYPE_CHECKING:
    from collections.abc import Callable

    from paddle.nn import Layer

    from ppose.engine.calibration import CalibrationImages
    from ppose.engine.task import Task
    from ppose.quantization.sensitivity import LayerSensitivity

_logger = logging.getLogger(__name__)

# People of the EvalDataset that the AP of single layers is measured on.
AP_PEOPLE = 100


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_config_options(parser)
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--calib_dir", metavar="DIR", help="calibrate on the images of a folder")
    images.add_argument(
        "--calib_dataset",
        choices=["TrainDataset", "EvalDataset"],
        help="calibrate on people of this dataset of the config; better than whole images",
    )
    parser.add_argument(
        "--boxes",
        metavar="FILE",
        help="people in --calib_dir: COCO annotations, or a JSON list of {image, bbox} "
        "(default: each image is one person)",
    )
    parser.add_argument(
        "--calib_images", type=int, default=128, metavar="N", help="number of people (default: %(default)s)"
    )
    parser.add_argument(
        "--method",
        choices=["minmax", "percentile", "entropy", "mse"],
        help="overrides the config's PTQ.method",
    )
    parser.add_argument(
        "--not_quantized",
        nargs="+",
        metavar="LAYER",
        help="convolutions to keep in float, by name or pattern; overrides the config's PTQ.not_quantized",
    )
    add_export_options(parser, "<config>_int8")
    parser.add_argument(
        "--eval",
        action="store_true",
        help="print AP on the EvalDataset: float, simulated int8, and exported",
    )
    parser.add_argument(
        "--analyse",
        action="store_true",
        help="export nothing; rank the layers by how much quantizing each alone changes the heatmaps",
    )
    parser.add_argument(
        "--analyse_ap",
        type=int,
        default=10,
        metavar="N",
        help="AP of the N worst layers on a part of the EvalDataset (default: %(default)s; 0: none)",
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    if args.boxes is not None and args.calib_dir is None:
        parser.error("--boxes needs --calib_dir")
    if args.calib_images < 1 or args.analyse_ap < 0:
        parser.error("expected --calib_images 1 or more, and --analyse_ap 0 or more")
    if args.eval and args.analyse:
        parser.error("--eval needs an export, but --analyse exports nothing")
    silence_tracing()

    from ppose.engine.device import select_device
    from ppose.engine.task import Task
    from ppose.export.export import Options
    from ppose.export.onnx_graph import require_onnx
    from ppose.export.post_training import analyse_layers, quantize_and_export
    from ppose.workspace import load_config

    task = Task(load_config(args.config, args.overrides))
    select_device(task.settings.use_gpu)
    if args.format == "onnx":
        require_onnx()
    flags = {key: getattr(args, key) for key in ("method", "not_quantized") if getattr(args, key) is not None}
    how = replace(task.ptq(), **flags)
    images, measure_ap = find_images(task, args), make_measure_ap(task, args)
    folder = Path(args.output_dir) / f"{Path(args.config).stem}_int8"
    if args.analyse:
        print_analysis(folder, analyse_layers(task, images, how, folder, measure_ap, args.analyse_ap))
        images.check()
        return
    dataset = task.dataset("EvalDataset") if args.eval else None
    options = Options(format=args.format, decode_in_graph=args.decode_in_graph)
    quantized = quantize_and_export(task, images, how, folder, options)
    print(quantized.describe())
    if args.format == "paddle":
        _logger.info("Paddle Inference computes int8 in float; --format onnx is faster")
    if dataset is not None:
        networks = {"in float": quantized.trained, "in eight bits, simulated": quantized.network}
        report_ap(task, folder, networks, dataset)
    images.check()


def find_images(task: "Task", args: argparse.Namespace) -> "CalibrationImages":
    """Return the calibration images, from the folder or the dataset that the user names."""
    from ppose.engine.calibration import CalibrationImages

    if args.calib_dir is None:
        return CalibrationImages.from_dataset(task, args.calib_dataset, args.calib_images)
    return CalibrationImages.from_folder(task, args.calib_dir, args.calib_images, args.boxes)


def make_measure_ap(task: "Task", args: argparse.Namespace) -> "Callable[[Layer], float] | None":
    """Return a function that gives a network's AP on a part of the EvalDataset; None if not asked for."""
    from ppose.engine.calibration import make_sampled_ap
    from ppose.errors import DataError

    try:
        return make_sampled_ap(task, AP_PEOPLE) if args.analyse and args.analyse_ap else None
    except DataError as error:
        raise DataError(f"{error} (needed for AP; --analyse_ap 0 skips it)") from None


def print_analysis(folder: Path, rows: "list[LayerSensitivity]") -> None:
    """Print the most sensitive layers, and the files that list all of them."""
    from ppose.quantization.sensitivity_report import CSV_FILE, PICTURE_FILE, format_report

    print(f"{format_report(rows)}\nfull list: {folder / CSV_FILE}, {folder / PICTURE_FILE}")


def report_ap(task: "Task", folder: Path, networks: "dict[str, Layer]", dataset: Any) -> None:
    """Print the AP of the networks and of the export."""
    from ppose.export.evaluate import compare_ap, open_exported
    from ppose.inference.model_folder import read_model_folder

    # The int8 export itself, even if it saturates on this processor and a float export lies beside it.
    exported = open_exported(task, read_model_folder(folder), "auto")
    found = compare_ap(task, networks, exported, dataset)
    print(f"{task.settings.headline[0]} without flip test, {dataset.boxes}:")
    for way, ap in found.items():
        print(f"{ap:.4f} {way}")
