"""Converts MPII's release (mpii_human_pose_v1_u12_1.mat) to COCO's format."""

import argparse

from ppose.options import add_conversion_options


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_conversion_options(parser, "the release's .mat, or a folder that holds it")
    parser.add_argument(
        "--split",
        choices=["train", "test"],
        default="train",
        help="images to convert (default: %(default)s); test images have no people",
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.converters.mpii import convert_mpii
    from ppose.converters.output import write_converted

    write_converted(args.output, lambda: convert_mpii(args.input, args.split, args.image_dir))
