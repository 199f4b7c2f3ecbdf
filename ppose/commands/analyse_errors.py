"""Reports the errors in a results file on one HTML page; compares two results files."""

import argparse
from pathlib import Path

from ppose.commands.datasets import add_results_options, name_results, open_results


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_results_options(parser, "a results file in COCO's format (keypoints_results.json), or two to compare")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output/errors.html"),
        metavar="FILE",
        help="the page to write (default: %(default)s)",
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    if len(args.results) > 2:
        parser.error(f"got {len(args.results)} results files, expected one, or two to compare")
    from ppose.files import check_writable
    from ppose.metrics import format_table
    from ppose.reports.analysis import analyse, compare
    from ppose.reports.error_page import make_page

    check_writable(args.output)
    dataset, evaluations = open_results(args)
    analyses = [analyse(evaluation) for evaluation in evaluations]
    comparison = compare(evaluations[0], evaluations[1]) if len(evaluations) == 2 else None
    names = name_results(args.results)
    title = f"Errors of {' and '.join(names)}"
    make_page(title, names, analyses, comparison, dataset.annotations, dataset.read_image).write(args.output)
    for name, analysis in zip(names, analyses, strict=True):
        print(format_table(analysis.table, name))
    print(f"page: {args.output}")
