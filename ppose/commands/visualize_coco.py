"""Draws results files beside the annotations, for the worst and the best images."""

import argparse
from pathlib import Path

from ppose.commands.datasets import add_results_options, name_results, open_results
from ppose.options import whole_number


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_results_options(
        parser,
        "results files in COCO's format (keypoints_results.json); the first one's OKS ranks the images",
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        default=Path("output/visualize"),
        metavar="DIR",
        help="folder for the pictures, in worst/ and best/ by rank (default: %(default)s)",
    )
    parser.add_argument(
        "--count",
        type=whole_number(1),
        default=20,
        metavar="N",
        help="pictures of each kind (default: %(default)s)",
    )
    parser.add_argument(
        "--draw_threshold", type=float, default=0.2, help="lowest keypoint score drawn (default: %(default)s)"
    )
    parser.add_argument(
        "--score_threshold",
        type=float,
        default=0.0,
        help="lowest score of people drawn (default: %(default)s)",
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    import numpy as np

    from ppose.errors import DataError
    from ppose.files import check_writable, write_bytes
    from ppose.metrics.coco_evaluation import image_rows
    from ppose.paths import cut_name, show_name
    from ppose.reports.side_by_side import draw_side_by_side, mean_oks
    from ppose.visualize import encode_picture

    check_writable(args.output_dir / "worst" / "picture.jpg")
    dataset, evaluations = open_results(args)
    oks = mean_oks(evaluations[0])
    order = np.argsort(oks, kind="stable")[: np.isfinite(oks).sum()]
    rows, names = image_rows(dataset.annotations), name_results(args.results)
    drawn, problems = 0, []
    for folder, numbers in (("worst", order), ("best", order[::-1])):
        for rank, number in enumerate(numbers[: args.count].tolist(), start=1):
            row = int(rows[number])
            try:
                image = dataset.read_image(row)
            except DataError as error:
                problems.append(str(error))
                continue
            picture = draw_side_by_side(
                image, number, evaluations, names,
                threshold=args.draw_threshold, score_threshold=args.score_threshold,
            )  # fmt: skip
            stem = Path(dataset.annotations.images.file_names[row]).stem
            name = cut_name(f"{rank:04d}_oks_{oks[number]:.3f}_{stem}", ".jpg")
            file = args.output_dir / folder / name
            write_bytes(file, encode_picture(picture, ".jpg"))
            drawn += 1
    print(f"{drawn} pictures in {show_name(args.output_dir)}")
    if problems:
        raise DataError(f"{len(problems)} images could not be read: {problems[0]}")
