"""Finds the poses of millions of images: folders, tar shards, parquet, here or on a Ray cluster."""

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
        "a path, file://, s3://, gs://, memory://, or what else fsspec knows",
    )  # fmt: skip
    parser.add_argument(
        "--output_dir", required=True, metavar="URL", help="folder for the parts, parquet; of one job"
    )
    parser.add_argument(
        "--image_column", default="image", metavar="NAME",
        help="of parquet: files' bytes, or URLs (default: %(default)s)",
    )  # fmt: skip
    people = parser.add_mutually_exclusive_group()
    people.add_argument(
        "--boxes", metavar="FILE", help="of image files: people, as `ppose predict` takes them"
    )
    people.add_argument(
        "--boxes_column", metavar="NAME",
        help="of parquet, or a key in each .json of tar shards: lists of [x, y, width, height]",
    )  # fmt: skip
    people.add_argument(
        "--det_model_dir", metavar="DIR", help="person detector that PaddleDetection has exported"
    )
    add_box_options(parser, "a detector's, or of --boxes that have scores,")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--model_dir", required=True, metavar="DIR", help="folder of tools/export_model.py")
    _add_input(parser)
    parser.add_argument(
        "--images_per_part", type=whole_number(1), default=1000, metavar="N",
        help="of image files and parquet; a tar shard is one part (default: %(default)s)",
    )  # fmt: skip
    add_runtime_option(parser)
    add_precision_option(parser)
    parser.add_argument(
        "--batch_size", type=whole_number(1), default=16, help="most people at once (default: %(default)s)"
    )
    parser.add_argument(
        "--engine", choices=["threads", "ray"],
        help="threads of this process, or Ray on this machine (default: threads; ray with --address)",
    )  # fmt: skip
    parser.add_argument("--address", metavar="HOST:PORT", help="Ray cluster to work on; auto: the one around")
    parser.add_argument(
        "--concurrency", type=whole_number(1), metavar="N",
        help="workers, each with its own models (default: as many as there are cores for, or GPUs)",
    )  # fmt: skip
    parser.add_argument(
        "--num_cpus", type=whole_number(1), default=1, metavar="N", help="cores of a worker (default: 1)"
    )
    parser.add_argument(
        "--num_gpus", type=float, default=0, metavar="N",
        help="GPUs of a worker, or a part of one (default: 0, the network runs on cores)",
    )  # fmt: skip


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.address and args.engine == "threads":
        parser.error("--address is a Ray cluster's, --engine is threads")
    if args.num_gpus < 0:
        parser.error("--num_gpus is a number from 0 on")
    if args.det_class and not (args.boxes or args.det_model_dir):
        parser.error("--det_class is of the detector of --det_model_dir, or of --boxes")
    for option in ("input", "output_dir"):
        if "://" not in getattr(args, option):  # workers have another current folder
            setattr(args, option, str(Path(getattr(args, option)).absolute()))


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Do what the parsed options say."""
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
            raise DataError(f"{url} is in this process's memory, where Ray's workers are not")
    cores = max(own_cores(), args.num_cpus * (args.concurrency or 1))
    with saves(), connected(args.address, cores):
        workers = args.concurrency or count_workers(args.num_cpus, args.num_gpus)
        options = {"concurrency": workers, "num_cpus": args.num_cpus, "num_gpus": args.num_gpus}
        engine: Engine = partial(run_on_ray, **options)
        run_batch(settings, engine)


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).absolute())
