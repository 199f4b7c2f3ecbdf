"""Finds the poses in millions of images (folders, tar shards, parquet), on this machine or a Ray cluster."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppose.options import add_box_options, add_precision_option, add_runtime_option, whole_number

if TYPE_CHECKING:
    from ppose.batch.engines import Engine


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input", required=True, metavar="URL",
        help="folder, file or pattern ('shards/*.tar'): images, tar shards (WebDataset) or parquet; "
        "a path, file://, s3://, gs://, memory:// or any other URL of fsspec",
    )  # fmt: skip
    parser.add_argument(
        "--output_dir", required=True, metavar="URL", help="folder for the parquet parts of this job"
    )
    parser.add_argument(
        "--image_column", default="image", metavar="NAME",
        help="parquet column with image files as bytes, or with URLs (default: %(default)s)",
    )  # fmt: skip
    people = parser.add_mutually_exclusive_group()
    people.add_argument("--boxes", metavar="FILE", help="people in image files, as for `ppose predict`")
    people.add_argument(
        "--boxes_column", metavar="NAME",
        help="parquet column, or key in each .json of a tar shard, with lists of [x, y, width, height]",
    )  # fmt: skip
    people.add_argument("--det_model_dir", metavar="DIR", help="person detector exported by PaddleDetection")
    add_box_options(parser, "detected boxes, and of --boxes that have scores")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--model_dir", required=True, metavar="DIR", help="folder of tools/export_model.py")
    _add_input(parser)
    parser.add_argument(
        "--images_per_part", type=whole_number(1), default=1000, metavar="N",
        help="images per part from image files and parquet; a tar shard is one part (default: %(default)s)",
    )  # fmt: skip
    add_runtime_option(parser)
    add_precision_option(parser)
    parser.add_argument(
        "--batch_size", type=whole_number(1), default=16, help="people per batch (default: %(default)s)"
    )
    parser.add_argument(
        "--engine", choices=["threads", "ray"],
        help="threads of this process, or Ray on this machine (default: threads; ray with --address)",
    )  # fmt: skip
    parser.add_argument("--address", metavar="HOST:PORT", help="Ray cluster to use; auto: the running one")
    parser.add_argument(
        "--concurrency", type=whole_number(1), metavar="N",
        help="workers, each with its own models (default: as many as the cores, or the GPUs, allow)",
    )  # fmt: skip
    parser.add_argument(
        "--num_cpus", type=whole_number(1), default=1, metavar="N", help="cores per worker (default: 1)"
    )
    parser.add_argument(
        "--num_gpus", type=float, default=0, metavar="N",
        help="GPUs per worker, may be a fraction (default: 0: run on the CPU)",
    )  # fmt: skip


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.address and args.engine == "threads":
        parser.error("--address needs --engine ray, got --engine threads")
    if args.num_gpus < 0:
        parser.error(f"--num_gpus: got {args.num_gpus:g}, expected 0 or more")
    if args.det_class and not (args.boxes or args.det_model_dir):
        parser.error("--det_class needs --det_model_dir or --boxes")
    for option in ("input", "output_dir"):
        if "://" not in getattr(args, option):  # workers have another current folder
            setattr(args, option, str(Path(getattr(args, option)).absolute()))


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    _check(parser, args)
    from ppose.batch.command import run_batch
    from ppose.batch.worker import Settings
    from ppose.processor import own_cores

    detector = None
    device = {"device": "gpu" if args.num_gpus else "cpu", "cpu_threads": args.num_cpus}
    if args.det_model_dir:
        detector = {
            "model_dir": _absolute(args.det_model_dir),
            "threshold": args.det_threshold,
            "classes": args.det_class,
            **device,
        }
    settings = Settings(
        input=args.input,
        output=args.output_dir,
        image_column=args.image_column,
        boxes_column=args.boxes_column,
        box_file=args.boxes,
        classes=args.det_class,
        threshold=args.det_threshold,
        images_per_part=args.images_per_part,
        predictor={
            "model_dir": _absolute(args.model_dir),
            "runtime": args.runtime,
            "precision": args.precision,
            "batch_size": args.batch_size,
            "batches": [args.batch_size],
            **device,
        },
        detector=detector,
    )
    if args.engine != "ray" and not args.address:
        from ppose.batch.engines import run_in_threads

        workers = args.concurrency or (1 if args.num_gpus else max(1, own_cores() // args.num_cpus))
        run_batch(settings, partial(run_in_threads, concurrency=workers))
        return
    _run_on_ray(args, settings)


def _run_on_ray(args: argparse.Namespace, settings: Any) -> None:
    import ray.data  # noqa: F401 (or else says how to install it)

    from ppose.batch.command import run_batch
    from ppose.batch.on_ray import connected, count_workers, run_on_ray
    from ppose.errors import DataError
    from ppose.interrupts import saves
    from ppose.processor import own_cores

    for url in (settings.input, settings.output):
        if url.startswith("memory:"):
            raise DataError(f"{url} is in this process's memory: Ray's workers need a folder or a store")
    cores = max(own_cores(), args.num_cpus * (args.concurrency or 1))
    with saves(), connected(args.address, cores):
        workers = args.concurrency or count_workers(args.num_cpus, args.num_gpus)
        options = {"concurrency": workers, "num_cpus": args.num_cpus, "num_gpus": args.num_gpus}
        engine: Engine = partial(run_on_ray, **options)
        run_batch(settings, engine)


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).absolute())
