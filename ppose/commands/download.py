"""Downloads a dataset, or parts of it, to where configs look for it; resumes interrupted downloads."""

import argparse
from pathlib import Path

_DATASETS = ("coco", "mpii")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "dataset",
        nargs="?",
        choices=_DATASETS,
        default="coco",
        help="dataset to download (default: %(default)s)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="PART",
        help="parts to download; coco: annotations, test-dev (image names), detections (person boxes in "
        "val2017), val2017, train2017; mpii: annotations, images (default: all)",
    )
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="target folder (default: dataset/coco or dataset/mpii)"
    )
    parser.add_argument(
        "--mirror", metavar="URL", help="URL of a mirror that has the files under their own names"
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.downloads.datasets import DATASETS, fetch_parts

    known = {part.name: part for part in DATASETS[args.dataset]}
    unknown = [name for name in args.only or () if name not in known]
    if unknown:
        parser.error(f"--only: {args.dataset} has no '{unknown[0]}', it has {', '.join(known)}")
    parts = [part for name, part in known.items() if args.only is None or name in args.only]
    folder = args.dir or Path("dataset") / args.dataset
    kept = fetch_parts(parts, folder, args.mirror)
    for part in parts:
        done = "was there" if part.name in kept else "done"
        print(f"{part.name:<12} {done}: {', '.join(str(folder / made) for made in part.makes)}")
