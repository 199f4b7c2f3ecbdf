"""Joins PoseTrack18's annotation files, one per video, into one file in COCO's format."""

import argparse

from ppose.options import add_conversion_options


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_conversion_options(parser, "a video's .json, or a folder of them, such as annotations/val")


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.converters.output import write_converted
    from ppose.converters.posetrack import convert_posetrack

    write_converted(args.output, lambda: convert_posetrack(args.input, args.image_dir))
