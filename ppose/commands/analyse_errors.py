"""Says what is wrong with the people of a results file, on one HTML page; compares two."""

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "results",
        nargs="+",
        metavar="RESULTS",
        help="a results file in COCO's format (keypoints_results.json), or two to compare",
    )
    add_dataset_options(parser)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output/errors.html"),
        metavar="FILE",
        help="the page (default: %(default)s)",
    )


def add_dataset_options(parser: argparse.ArgumentParser) -> None:
    """The annotations and images that results belong to."""
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="FILE|CONFIG",
        help="the annotation file, or a config, whose EvalDataset and keypoint set are taken",
    )
    parser.add_argument(
        "-o",
        "--opt",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="override keys of the config",
    )
    parser.add_argument(
        "--image_dir", type=Path, metavar="DIR", help="of an annotation file (default: images/ beside it)"
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Do what the parsed options say."""
    if len(args.results) > 2:
        parser.error(f"got {len(args.results)} results files, expected one, or two to compare")
    from ppose.commands.check import open_datasets
    from ppose.files import check_writable
    from ppose.metrics import format_table
    from ppose.reports.analysis import analyse, compare
    from ppose.reports.error_page import make_page
    from ppose.reports.results import Evaluation, make_truth, read_results

    check_writable(args.output)
    ((_, dataset, keypoint_set),) = open_datasets(
        [args.dataset], args.overrides, args.image_dir, ["EvalDataset"]
    )
    truth = make_truth(dataset.annotations)
    evaluations = [
        Evaluation.of(read_results(path, dataset.annotations, keypoint_set), truth, keypoint_set)
        for path in args.results
    ]
    analyses = [analyse(evaluation) for evaluation in evaluations]
    comparison = compare(evaluations[0], evaluations[1]) if len(evaluations) == 2 else None
    names = name_results(args.results)
    title = f"Errors of {' and '.join(names)}"
    make_page(title, names, analyses, comparison, dataset.annotations, dataset.read_image).write(args.output)
    for name, analysis in zip(names, analyses, strict=True):
        print(format_table(analysis.table, name).removeprefix("boxes: "))
    print(f"the page: {args.output}")


def name_results(files: list[str]) -> list[str]:
    """The files' names, with as many of their folders as tell them apart."""
    parts = [Path(file).parts for file in files]
    depth = 1
    while len({part[-depth:] for part in parts}) < len(files) and depth < max(map(len, parts)):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]
