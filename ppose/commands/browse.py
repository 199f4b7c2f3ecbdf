"""Shows what training sees: samples after augmentation, their targets, and their mirrored copies."""

import argparse
from pathlib import Path

from ppose.options import add_config_options, whole_number


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_config_options(parser)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output/browse.html"),
        metavar="FILE.html|DIR",
        help="one page with all samples, or a folder of pictures (default: %(default)s)",
    )
    parser.add_argument(
        "--samples",
        type=whole_number(1),
        default=24,
        metavar="N",
        help="number of samples, spread over the TrainDataset (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed, as for train (default: %(default)s)"
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.data.browsing import draw_samples, list_keypoints
    from ppose.engine.task import Task
    from ppose.files import check_writable, write_bytes
    from ppose.reports.page import Code, Page, show_picture
    from ppose.visualize import encode_picture
    from ppose.workspace import load_config

    is_page = args.output.suffix.lower() in (".html", ".htm")
    check_writable(args.output if is_page else args.output / "sample.png")
    task = Task(load_config(args.config, args.overrides))
    drawn = draw_samples(
        task.dataset("TrainDataset"), task.reader("TrainReader"), task.keypoint_set, task.codec,
        count=args.samples, seed=args.seed,
    )  # fmt: skip
    page = Page(f"What training sees: {args.config}")
    page.sections["Keypoints"] = [Code("\n".join(list_keypoints(task.keypoint_set)))]
    page.sections["Samples"] = []
    count = 0
    for count, (words, picture) in enumerate(drawn, 1):
        if is_page:
            page.sections["Samples"].append(show_picture(encode_picture(picture, ".jpg", 88), "jpeg", words))
        else:
            write_bytes(args.output / f"{count:04d}.png", encode_picture(picture, ".png"))
            print(f"{count:04d}.png: {words}")
    if is_page:
        page.write(args.output)
    print(f"{args.output}: {count} samples")
