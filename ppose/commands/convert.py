"""Converts labels to the format of another tool or dataset, and reports what that format cannot hold."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ppose.keypoints import KeypointSet

_FORMATS = (
    *("coco", "crowdpose", "posetrack", "yolo", "labelme", "cvat", "labelstudio", "deeplabcut", "sleap"),
    *("mpii", "aic", "openpose"),
)
_OF_ENDING = {".json": "coco", ".xml": "cvat", ".csv": "deeplabcut", ".slp": "sleap"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("source", type=Path, metavar="FROM", help="label file, or folder of label files")
    parser.add_argument("output", type=Path, metavar="TO", help="file or folder to write")
    parser.add_argument(
        "--from", dest="source_format", choices=_FORMATS, help="format of FROM (default: detected)"
    )
    parser.add_argument(
        "--to",
        dest="format",
        choices=_FORMATS,
        help="format to write (default: by ending; .json is coco, .xml cvat, .csv deeplabcut, .slp sleap)",
    )
    add_label_options(parser)


def add_label_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how to read labels."""
    parser.add_argument(
        "--image_dir",
        type=Path,
        metavar="DIR",
        help="folder of the images, read for data that the labels lack, such as image sizes",
    )
    parser.add_argument(
        "--keypoint_set",
        metavar="NAME|CONFIG",
        help="keypoints and their order: a built-in set, or a config (default: as in the file)",
    )
    parser.add_argument(
        "--categories", nargs="+", metavar="NAME", help="categories to read (default: all with keypoints)"
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.formats import FORMATS, find_losses, read_labels

    name = args.format or _OF_ENDING.get(args.output.suffix.lower())
    if name is None:
        parser.error(f"unknown format of {args.output}; give it with --to FORMAT")
    labels = read_labels(
        args.source,
        args.source_format,
        find_keypoint_set(args.keypoint_set),
        image_dir=args.image_dir,
        categories=args.categories,
    )
    FORMATS[name].write(args.output, labels)
    people, images, count = (
        len(labels.people),
        len(labels.annotations.images),
        labels.keypoint_set.num_keypoints,
    )
    print(f"{args.output}: {images} images, {people} people, {count} keypoints ({name})")
    for note in labels.annotations.notes:
        print(f"  {note}")
    if people and not (labels.people.visibility > 0).any():
        print("  nobody has a labelled keypoint: does --keypoint_set have the names of the labels?")
    for category, count in labels.annotations.dropped.items():
        print(f"  left out: {count} of category {category}")
    for loss in find_losses(labels, FORMATS[name].holds):
        print(f"  {name} cannot hold: {loss}")


def find_keypoint_set(name: str | None) -> "KeypointSet | None":
    """Return the built-in keypoint set of that name, or that of a config; None stays None."""
    from ppose.keypoints import get_keypoint_set

    if name is None:
        return None
    if not name.endswith((".yml", ".yaml")):
        return get_keypoint_set(name)
    from ppose.engine.task import Task
    from ppose.workspace import load_config

    return Task(load_config(name)).keypoint_set
