"""Converts weights of any known format to .safetensors, which holds only arrays."""

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("action", choices=["convert"], help="what to do")
    parser.add_argument("weights", metavar="FILE", help="weights file, folder of a run, or URL")
    parser.add_argument(
        "--output", metavar="FILE", help="file to write (default: the weights' own name with .safetensors)"
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.paths import show_name
    from ppose.weights.checkpoint import open_weights
    from ppose.weights.safetensors_file import write_safetensors

    file = open_weights(args.weights)
    output = Path(args.output) if args.output else Path(file.path.with_suffix(".safetensors").name)
    if not args.output and "://" not in args.weights:
        output = file.path.with_suffix(".safetensors")  # beside the weights, but not in the download cache
    if output.resolve() == file.path.resolve():
        parser.error(f"{show_name(output)} is the input itself: name another file with --output")
    write_safetensors(output, file.arrays)
    print(f"{show_name(output)}: {len(file.arrays)} arrays")
