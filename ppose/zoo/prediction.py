"""Opens models for `ppose predict` from its parsed options, and runs it on images."""

import argparse
import os
from typing import Any

from ppose.boxes import DET_THRESHOLD
from ppose.errors import DataError, DeviceError, DownloadError
from ppose.image_files import list_images, read_boxes_and_sizes
from ppose.inference import command, summary
from ppose.inference.detectors import PersonDetector
from ppose.inference.pose_files import ImageFiles
from ppose.inference.poses import Poses
from ppose.inference.predictor import Predictor
from ppose.inference.runtimes import Hint
from ppose.paths import show_name
from ppose.zoo import NO_DETECTOR
from ppose.zoo.detectors import open_named
from ppose.zoo.exports import find_folder

_TENSORRT_BATCH = 16


def _predictor_options(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `Predictor.from_dir` for the runtime options."""
    options = {"batch_size": args.batch_size, "use_dark": args.use_dark}
    runtime = args.runtime or "auto"
    if args.run_mode != "paddle":
        precision = args.run_mode.removeprefix("trt_")
        batch = args.batch_size or _TENSORRT_BATCH
        return {"runtime": "paddle", "precision": precision, "tensorrt_batch": batch, **options}
    if not args.enable_mkldnn:  # which applies only to Paddle
        runtime = "paddle" if runtime == "auto" else runtime
        options["enable_mkldnn"] = False
    return {"runtime": runtime, "precision": args.precision, **options}


def open_predictor(args: argparse.Namespace) -> Predictor:
    """The predictor of --model with the runtime options."""
    options = _predictor_options(args)
    folder = find_folder(args.model, options["runtime"])
    is_long = args.image_dir is not None or args.video_file is not None
    hint: Hint = "throughput" if is_long else "latency"
    return Predictor.from_dir(folder, hint=hint, device=args.device, cpu_threads=args.cpu_threads, **options)


def open_detector(args: argparse.Namespace, *, hint: Hint = "latency") -> PersonDetector | None:
    """The requested detector, if any; if it is unavailable, the error names the ways without one."""
    if args.detector in (None, NO_DETECTOR):
        return None
    lowest = args.det_threshold if args.low_threshold is None else min(args.low_threshold, args.det_threshold)
    options = {"classes": args.det_class, "tiles": args.tiles, "hint": hint}
    options |= {"device": args.device, "cpu_threads": args.cpu_threads}
    try:
        return open_named(args.detector, lowest, **options)
    except (DeviceError, DownloadError) as error:
        raise type(error)(
            f"{error}; without a detector: give people with --boxes FILE, or treat an image as one person "
            f"with --detector {NO_DETECTOR}"
        ) from None


def _python_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of `ppose.Predictor` for the flags."""
    options = {} if args.detector in (None, NO_DETECTOR) else {"detector": args.detector}
    if args.det_threshold != DET_THRESHOLD:
        options["det_threshold"] = args.det_threshold
    given = {name: getattr(args, name) for name in ("runtime", "precision", "cpu_threads", "use_dark")}
    return options | {name: value for name, value in given.items() if value is not None}


def _open_writers(args: argparse.Namespace) -> list[Any]:
    from ppose.inference.label_files import open_labels, open_table

    writers = [open_table(args.output_dir)] if args.save_csv else []
    if args.save_labels is not None:
        writers.append(open_labels(args.save_labels, args.output_dir, args.threshold))
    return writers


def predict_images(args: argparse.Namespace, opening: tuple[Any, Any], results: dict[str, Any]) -> None:
    """Predict image files, and write pictures and other outputs; for FILE|DIR print people and next steps."""
    files = [args.image_file] if args.image_dir is None else list_images(args.image_dir)
    if args.image_dir is None and not os.path.lexists(args.image_file):  # before downloading models
        raise DataError(f"image not found: {show_name(args.image_file)}")
    boxes = {"classes": args.det_class, "threshold": args.det_threshold}

    def open_images() -> ImageFiles:
        if args.boxes is None:
            return ImageFiles(files)
        return ImageFiles(files, *read_boxes_and_sizes(args.boxes, files, **boxes))

    found: list[tuple[str, Poses]] = []
    writers = _open_writers(args) if args.save_csv or args.save_labels else []
    if args.source is not None:
        writers.append(found.extend)
    predictor = command.infer_images(
        files, *opening, args.output_dir, open_images=open_images, writers=writers, **results
    )
    if found:
        print(summary.describe_people(found))
        shown = next((i for i, (_, poses) in enumerate(found) if poses), 0)
        options = _python_options(args)
        print(summary.describe_run(predictor, args.model, files[shown], found[shown][1], options))
