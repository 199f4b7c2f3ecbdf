"""Draws people or satellites with exact keypoints, in COCO's format: DIR/train and DIR/val."""

import argparse
from functools import partial
from pathlib import Path

# First scene number for validation, so high that no training set, of any size or seed, has these scenes.
VAL_FIRST_INDEX = 1_000_000_000
FOLDERS = {"people": "dataset/synthetic", "satellites": "dataset/satellites"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--of", choices=FOLDERS, default="people", help="what to draw (default: %(default)s)")
    parser.add_argument(
        "--output", metavar="DIR", help="folder to fill (default: dataset/synthetic, or dataset/satellites)"
    )
    parser.add_argument(
        "--images", type=int, default=600, help="training images, 0 for none (default: %(default)s)"
    )
    parser.add_argument(
        "--val_images", type=int, default=150, help="validation images (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    parser.add_argument(
        "--most_people", type=int, default=3, help="most people per picture (default: %(default)s)"
    )
    parser.add_argument(
        "--variety",
        type=float,
        default=1.0,
        help="variety of poses, views and occlusions of people, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="drawing processes (default: one per core); the pictures do not depend on it",
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.data.synthetic import write_dataset, write_satellites
    from ppose.processor import own_cores

    workers = own_cores() if args.workers is None else args.workers
    write = write_satellites
    if args.of == "people":
        write = partial(write_dataset, people=(1, args.most_people), variety=args.variety)
    parts = (("train", args.images, 0), ("val", args.val_images, VAL_FIRST_INDEX))
    for name, images, first_index in parts:
        if not images:
            continue
        folder = Path(args.output or FOLDERS[args.of]) / name
        drawn = write(folder, images, args.seed, first_index=first_index, workers=workers)
        print(f"{folder}: {images} images, {drawn} {args.of} (images/, annotations.json)")
