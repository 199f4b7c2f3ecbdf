"""Rewrites labels in another tool's or dataset's format, and says what that cannot hold."""

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
    """What the command takes."""
    parser.add_argument("source", type=Path, metavar="FROM", help="a file, or a folder of files, of labels")
    parser.add_argument("output", type=Path, metavar="TO", help="the file or folder to write")
    parser.add_argument(
        "--from", dest="source_format", choices=_FORMATS, help="the format of FROM (default: by its looks)"
    )
    parser.add_argument(
        "--to",
        dest="format",
        choices=_FORMATS,
        help="the format to write (default: .json is coco, .xml cvat, .csv deeplabcut, .slp sleap)",
    )
    add_label_options(parser)


def add_label_options(parser: argparse.ArgumentParser) -> None:
    """What says how labels are to be read."""
    parser.add_argument(
        "--image_dir",
        type=Path,
        metavar="DIR",
        help="where the images are, for what labels do not say, such as their sizes",
    )
    parser.add_argument(
        "--keypoint_set",
        metavar="NAME|CONFIG",
        help="the keypoints and their order: a built-in set, or a config's (default: the file's own)",
    )
    parser.add_argument(
        "--categories", nargs="+", metavar="NAME", help="those to read (default: all with these keypoints)"
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Do what the parsed options say."""
    from ppose.formats import FORMATS, find_losses, read_labels

    name = args.format or _OF_ENDING.get(args.output.suffix.lower())
    if name is None:
        parser.error(f"--to FORMAT says in which format to write {args.output}")
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
        print("  nobody has a labelled keypoint: has --keypoint_set the names of the labels?")
    for category, count in labels.annotations.dropped.items():
        print(f"  left out: {count} of category {category}")
    for loss in find_losses(labels, FORMATS[name].holds):
        print(f"  {name} cannot say: {loss}")


def find_keypoint_set(name: str | None) -> "KeypointSet | None":
    """The built-in set of that name, or that of a config; None stays None."""
    from ppose.keypoints import get_keypoint_set

    if name is None:
        return None
    if not name.endswith((".yml", ".yaml")):
        return get_keypoint_set(name)
    from ppose.engine.task import Task
    from ppose.workspace import load_config

    return Task(load_config(name)).keypoint_set
