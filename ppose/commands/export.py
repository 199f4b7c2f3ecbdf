"""Exports a trained network to Paddle Inference or ONNX, with all that is needed to run it."""

import argparse
from pathlib import Path

from ppose.options import add_config_options, add_export_options
from ppose.processor_settings import silence_tracing


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_config_options(parser)
    add_export_options(parser, "<config>", for_lite=True)
    parser.add_argument("--batch", type=int, metavar="N", help="fixed batch size of the graph (default: any)")
    parser.add_argument(
        "--fuse_normalize", action="store_true", help="normalise in the graph; it then takes uint8 images"
    )
    parser.add_argument("--flip_test", action="store_true", help="do the flip test in the graph")
    parser.add_argument(
        "--triton",
        type=Path,
        metavar="DIR",
        help="also write the model into this Triton model repository; needs --format onnx",
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    if args.triton is not None and args.format != "onnx":
        parser.error("--triton needs --format onnx")
    silence_tracing()

    from ppose.engine.device import select_device
    from ppose.engine.task import Task
    from ppose.export.export import Options, export_model
    from ppose.export.triton import write_triton
    from ppose.workspace import load_config

    task = Task(load_config(args.config, args.overrides))
    select_device(task.settings.use_gpu)
    options = Options(
        format=args.format,
        batch=args.batch,
        fuse_normalize=args.fuse_normalize,
        flip_test=args.flip_test,
        decode_in_graph=args.decode_in_graph,
    )
    name = Path(args.config).stem
    report = export_model(task, name, Path(args.output_dir) / name, options)
    print(report.describe())
    if args.triton is not None:
        print(f"{write_triton(report.model, args.triton)}: config.pbtxt, 1/model.onnx, infer_cfg.yml")
