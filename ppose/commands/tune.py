"""Finds the fastest runtime for an exported model on this machine; `--runtime auto` then uses it."""

import argparse
from pathlib import Path

from ppose.options import whole_number


def _loss(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"got '{text}', expected a number from 0 to 1")
    return value


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "model",
        metavar="NAME|DIR",
        help="a folder of `ppose export`, or a name of `ppose models`; float and int8 exports of the same "
        "weights in folders beside it are tried too",
    )
    parser.add_argument(
        "--image_dir",
        type=Path,
        metavar="DIR",
        help="images to check the accuracy of int8 and bf16; without images, these are never chosen",
    )
    parser.add_argument(
        "--boxes",
        metavar="FILE",
        help="people in the images: COCO annotations (AP is compared if they have keypoints), or a JSON list "
        "of {image, bbox} (default: each image is one person)",
    )
    parser.add_argument(
        "--max_loss",
        type=_loss,
        metavar="X",
        help="largest accepted loss against float: of AP if keypoints are annotated (default: 0.01), else of "
        "OKS with the float export's poses (default: 0.03)",
    )
    parser.add_argument(
        "--seconds",
        type=whole_number(1),
        default=60,
        metavar="N",
        help="approximate duration (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table to this file")


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    if args.boxes is not None and args.image_dir is None:
        parser.error("--boxes needs --image_dir")

    from ppose.commandline import align_columns
    from ppose.files import check_writable, write_json
    from ppose.image_files import list_images
    from ppose.inference.tuning.report import list_choices, list_records, list_rows
    from ppose.inference.tuning.tune import tune
    from ppose.zoo.exports import find_folder

    if args.json is not None:
        check_writable(args.json)
    images = [] if args.image_dir is None else list_images(args.image_dir)
    folder = find_folder(args.model)
    tuning = tune(folder, images, args.boxes, max_loss=args.max_loss, seconds=args.seconds)
    print("\n".join(align_columns(list_rows(tuning), left=4)))
    for line in tuning.missing:
        print(f"not measured: {line}")
    for line in list_choices(tuning):
        print(line)
    if args.json is not None:
        write_json(args.json, list(list_records(tuning)))
