"""Evaluates a checkpoint, or an export, on a config's dataset, with the config's metric."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppose.options import (
    add_config_options,
    add_gpu_option,
    add_precision_option,
    add_runtime_option,
    choose_gpus,
    whole_number,
)

if TYPE_CHECKING:
    from ppose.inference.runtimes import RuntimeName


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_config_options(parser, required=False)
    add_gpu_option(parser)
    checkpoint = parser.add_mutually_exclusive_group()
    checkpoint.add_argument(
        "--test_model", "--model-file", metavar="FILE", help="checkpoint; same as -o weights=FILE"
    )
    checkpoint.add_argument(
        "--test_epoch",
        type=whole_number(1),
        metavar="N",
        help="checkpoint of epoch N: <save_dir>/<config>/model_dump/N.pdparams",
    )
    parser.add_argument(
        "--flip-test", action="store_true", help="use the flip test, whatever the config says"
    )
    parser.add_argument(
        "--use-detect-bbox",
        action="store_true",
        help="use the detected boxes of EvalDataset.bbox_file instead of the annotated ones",
    )
    parser.add_argument("--json", metavar="FILE", help="write the metrics to this file as flat JSON")
    parser.add_argument(
        "--save_prediction_only",
        action="store_true",
        help="write the results file in COCO's format (keypoints_results.json) and compute no metric",
    )
    parser.add_argument(
        "--output_eval",
        metavar="DIR",
        help="folder for the results file (default: <save_dir>/<config>/result)",
    )
    parser.add_argument(
        "--nms", choices=["oks", "soft_oks", "none"], help="how to remove duplicate people (default: oks)"
    )
    parser.add_argument("--oks_thre", type=float, help="OKS above which people are duplicates (default: 0.9)")
    parser.add_argument(
        "--in_vis_thre",
        type=float,
        help="keypoint scores above this are averaged into the person's score (default: 0.2; 0: all)",
    )
    parser.add_argument("--no_rescore", action="store_true", help="score people by their box score alone")
    parser.add_argument(
        "--model",
        "--model_dir",
        metavar="NAME|DIR",
        help="evaluate this exported model instead of the config's weights: a name from `ppose models` (its "
        "config is then the default of --config), or a folder of `ppose export`",
    )
    add_runtime_option(parser, default=None)
    add_precision_option(parser, default=None)


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    if args.model is None and (args.runtime or args.precision):
        parser.error("--runtime and --precision need an exported model: --model NAME|DIR")
    if args.config is None:
        args.config = find_config_of(args.model)
        if args.config is None:
            parser.error(
                "the following arguments are required: -c/--config, or --model with a name of `ppose models`"
            )
    if args.model is not None and (args.test_model or args.test_epoch or args.flip_test):
        parser.error("--test_model, --test_epoch and --flip-test cannot be used with --model")
    if args.save_prediction_only and args.json:
        parser.error("--json needs metrics, but --save_prediction_only computes none")

    choose_gpus(args.gpu)
    from ppose.engine.device import select_device
    from ppose.engine.distributed.ranks import is_main, join_ranks
    from ppose.engine.evaluate import RESULTS_FILE, evaluate
    from ppose.engine.load import load_trained
    from ppose.engine.network_runtime import network_predictor
    from ppose.engine.static_network import quickest_form
    from ppose.engine.task import Task
    from ppose.export.evaluate import open_exported
    from ppose.files import check_writable, write_json
    from ppose.inference.paddle_pose import read_export
    from ppose.inference.runtimes import avoid_saturation, name_precision
    from ppose.metrics import format_table
    from ppose.metrics.metric import to_record
    from ppose.workspace import load_config
    from ppose.zoo.exports import find_folder

    cfg = load_config(args.config, args.overrides)
    asked = what_flags_override(args, cfg)
    if args.test_epoch:
        check_epoch(args.test_epoch, Path(asked[0].removeprefix("weights=")))
    task = Task(load_config(args.config, [*args.overrides, *asked]) if asked else cfg)
    device = select_device(task.settings.use_gpu)
    join_ranks(device)
    folder = args.output_eval or Path(task.settings.save_dir) / Path(args.config).stem / "result"
    results_file = Path(folder) / RESULTS_FILE
    if args.save_prediction_only or args.json:
        check_writable(results_file if args.save_prediction_only else args.json)
    dataset = task.dataset("EvalDataset")
    metric = task.metric(dataset, **metric_options(args))
    if args.model is None:
        network = quickest_form(load_trained(task), task.codec.input_size, len(dataset))
        predictor = network_predictor(task, network, "EvalReader")
    else:
        runtime: RuntimeName = args.runtime or "auto"
        precision = args.precision or "fp32"
        exported = avoid_saturation(read_export(find_folder(args.model, runtime)), runtime)
        predictor = open_exported(task, exported, runtime, device=device, precision=precision)
    evaluate(task, predictor, dataset, metric)
    if not is_main():
        return
    if args.save_prediction_only:
        metric.write_results(results_file)
        print(f"{len(dataset)} people in {dataset.boxes}: {results_file}")
        return
    metrics = metric.compute()
    if args.model is not None:
        shown = name_precision(exported, precision)
        print(f"model: {args.model} in {predictor.runtime_name}, {shown}")
    print(format_table(metrics, f"boxes: {dataset.boxes}"))
    if args.json:
        write_json(args.json, to_record(metrics))


def find_config_of(model: str | None) -> str | None:
    """Return the config of a published model; None without a name, or for a folder."""
    from ppose.weights.registry import find_model

    return None if model is None or Path(model).is_dir() else find_model(model, "pose").config


def what_flags_override(args: argparse.Namespace, cfg: dict[str, Any]) -> list[str]:
    """Return the overrides that the flags stand for; ``cfg`` is the config without them."""
    asked = []
    if args.test_epoch:
        folder = Path(cfg.get("save_dir", "output")) / Path(args.config).stem
        asked.append(f"weights={folder / 'model_dump' / str(args.test_epoch)}.pdparams")
    if args.test_model:
        asked.append(f"weights={args.test_model}")
    if args.flip_test:
        asked.append(f"{cfg['architecture']}.flip=true")
    if args.use_detect_bbox:
        asked.append("EvalDataset.use_gt_bbox=false")
    return asked


def check_epoch(epoch: int, file: Path) -> None:
    """Raise CheckpointError if the run kept no checkpoint of that epoch; the error lists those it has."""
    from ppose.errors import CheckpointError
    from ppose.paths import show_name

    if file.is_file():
        return
    kept = sorted(int(other.stem) for other in file.parent.glob("*.pdparams") if other.stem.isdecimal())
    there = f"expected one of {', '.join(map(str, kept))}" if kept else "the run has no checkpoints"
    raise CheckpointError(f"--test_epoch {epoch}: no weights at {show_name(file)}; {there}")


def metric_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the metric's options that flags set, beside those of the config."""
    given = {"nms": args.nms, "oks_threshold": args.oks_thre, "visible_threshold": args.in_vis_thre}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if args.nms == "none":
        options["nms"] = None
    if args.no_rescore:
        options["rescore"] = False
    if args.save_prediction_only:
        options["annotations"] = None
    return options
