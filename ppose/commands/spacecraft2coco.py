"""Converts labels of a spacecraft's keypoints to COCO's format."""

import argparse

from ppose.options import add_conversion_options, whole_number


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_conversion_options(parser, "the labels, a JSON list of {filename, bbox, features}, or their folder")
    parser.add_argument(
        "--keypoint_set", required=True, choices=["tango11", "envisat16", "envisat12"], help="the spacecraft"
    )
    parser.add_argument(
        "--size",
        type=whole_number(1),
        nargs=2,
        metavar=("WIDTH", "HEIGHT"),
        help="size of all images (default: read from each image, which takes longer)",
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.converters.output import write_converted
    from ppose.converters.spacecraft import convert_spacecraft

    size = None if args.size is None else (args.size[0], args.size[1])
    write_converted(
        args.output, lambda: convert_spacecraft(args.input, args.keypoint_set, args.image_dir, size)
    )
